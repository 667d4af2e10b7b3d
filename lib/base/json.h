// JSON as read-only values. Text is untrusted: depth and size are capped, UTF-8 is validated,
// duplicate keys are refused, and members keep their order (chat templates show it).
#ifndef LLMCORE_LIB_BASE_JSON_H_
#define LLMCORE_LIB_BASE_JSON_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "absl/strings/string_view.h"
#include "lib/base/page_memory.h"
#include "lib/base/status.h"

namespace llmcore::core {

class JsonDocument;
class JsonObject;
class JsonObjectDocument;

// Part of a JsonDocument, in whose memory it and all that it holds lie.
class JsonValue {
 public:
  // Of values, one after the other.
  class Array {
   public:
    Array() = default;
    Array(const JsonValue* values, size_t size) : values_(values), size_(size) {}
    size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    inline const JsonValue* begin() const;
    inline const JsonValue* end() const;
    inline const JsonValue& front() const;
    inline const JsonValue& operator[](size_t index) const;

   private:
    const JsonValue* values_ = nullptr;
    size_t size_ = 0;
  };

  JsonValue() = default;  // null
  JsonValue(const JsonValue&) = default;
  JsonValue& operator=(const JsonValue&) = delete;
  // Would outlive its memory.
  JsonValue(JsonDocument&&) = delete;  // NOLINT: not a conversion

  // "null", "boolean", "integer", "number", "string", "array" or "object".
  absl::string_view kind_name() const;

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_number() const { return if_int() != nullptr || if_double() != nullptr; }

  // The value when it is of that kind, else NULL. Integers beyond int64 are doubles.
  const bool* if_bool() const { return std::get_if<bool>(&value_); }
  const int64_t* if_int() const { return std::get_if<int64_t>(&value_); }
  const double* if_double() const { return std::get_if<double>(&value_); }
  const absl::string_view* if_string() const { return std::get_if<absl::string_view>(&value_); }
  const Array* if_array() const { return std::get_if<Array>(&value_); }
  const JsonObject* if_object() const {
    const auto* object = std::get_if<const JsonObject*>(&value_);
    return object == nullptr ? nullptr : *object;
  }

  // The same with an error "must be an integer, is a string" otherwise. AsDouble takes integers.
  absl::StatusOr<bool> AsBool() const;
  absl::StatusOr<int64_t> AsInt() const;
  absl::StatusOr<double> AsDouble() const;
  absl::StatusOr<absl::string_view> AsString() const;
  absl::StatusOr<const Array*> AsArray() const;
  absl::StatusOr<const JsonObject*> AsObject() const;

 private:
  friend class JsonBuilder;
  using Value = std::variant<std::monostate, bool, int64_t, double, absl::string_view, Array,
                             const JsonObject*>;
  explicit JsonValue(Value value) : value_(value) {}

  Value value_;
};

inline const JsonValue* JsonValue::Array::begin() const {
  return values_;
}
inline const JsonValue* JsonValue::Array::end() const {
  return values_ + size_;
}
inline const JsonValue& JsonValue::Array::front() const {
  return values_[0];
}
inline const JsonValue& JsonValue::Array::operator[](size_t index) const {
  return values_[index];
}

// Members in the order of the text. Likewise part of a document.
class JsonObject {
 public:
  struct Member {
    absl::string_view first;  // the key
    JsonValue second;
  };

  JsonObject() = default;  // without members
  JsonObject(const JsonObject&) = default;
  JsonObject& operator=(const JsonObject&) = delete;
  JsonObject(JsonObjectDocument&&) = delete;  // NOLINT: not a conversion

  std::span<const Member> members() const { return members_; }
  size_t size() const { return members_.size(); }

  // An object of this member alone, which outlives it.
  explicit JsonObject(const Member* member);

  // NULL when there is none. Logarithmic.
  const JsonValue* Find(absl::string_view key) const;

  // The member, converted; an error naming the key when it is missing or of another kind.
  absl::StatusOr<const JsonValue*> Get(absl::string_view key) const;
  absl::StatusOr<bool> GetBool(absl::string_view key) const;
  absl::StatusOr<int64_t> GetInt(absl::string_view key) const;
  absl::StatusOr<double> GetDouble(absl::string_view key) const;
  absl::StatusOr<absl::string_view> GetString(absl::string_view key) const;
  absl::StatusOr<const JsonValue::Array*> GetArray(absl::string_view key) const;
  absl::StatusOr<const JsonObject*> GetObject(absl::string_view key) const;

  // The same where a missing or null member stands for `fallback`.
  absl::StatusOr<bool> GetBoolOr(absl::string_view key, bool fallback) const;
  absl::StatusOr<int64_t> GetIntOr(absl::string_view key, int64_t fallback) const;
  absl::StatusOr<double> GetDoubleOr(absl::string_view key, double fallback) const;
  absl::StatusOr<absl::string_view> GetStringOr(absl::string_view key,
                                                absl::string_view fallback) const;

 private:
  friend class JsonBuilder;

  std::span<const Member> members_;
  const uint32_t* by_key_ = nullptr;  // indexes of members_, sorted by key
};

// The value of a text, and the memory of all that it holds, which goes back to the system as a
// whole. Moving it moves no value but itself.
class JsonDocument : public JsonValue {
 public:
  JsonDocument(JsonDocument&& other) noexcept
      : JsonValue(static_cast<const JsonValue&>(other)), memory_(std::move(other.memory_)) {}

 private:
  friend class JsonBuilder;
  friend class JsonObjectDocument;
  JsonDocument(const JsonValue& root, std::unique_ptr<const PageArena> memory)
      : JsonValue(root), memory_(std::move(memory)) {}

  std::unique_ptr<const PageArena> memory_;
};

// The same where the value is an object.
class JsonObjectDocument : public JsonObject {
 public:
  // `document` is one of an object.
  explicit JsonObjectDocument(JsonDocument document)
      : JsonObject(*document.if_object()), memory_(std::move(document.memory_)) {}
  JsonObjectDocument(JsonObjectDocument&& other) noexcept
      : JsonObject(static_cast<const JsonObject&>(other)), memory_(std::move(other.memory_)) {}

 private:
  std::unique_ptr<const PageArena> memory_;
};

struct JsonLimits {
  size_t max_bytes = size_t{64} << 20;
  int max_depth = 128;
  size_t max_values = size_t{16} << 20;  // a value takes some 40 bytes, however short its text
};

// INVALID_ARGUMENT with the byte offset for anything that is not one JSON text within the limits.
absl::StatusOr<JsonDocument> ParseJson(absl::string_view text, const JsonLimits& limits = {});

// Reads and parses a file whose root is an object; errors name the file.
absl::StatusOr<JsonObjectDocument> ReadJsonObject(const std::string& path,
                                                  const JsonLimits& limits = {});

// Appends `text` as a JSON string with its quotes, escaped as Python's json.dumps does. Invalid
// UTF-8 becomes U+FFFD. With `ensure_ascii` all but printable ASCII is escaped, in UTF-16 code
// units.
void AppendJsonString(absl::string_view text, std::string* out, bool ensure_ascii = false);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_JSON_H_
