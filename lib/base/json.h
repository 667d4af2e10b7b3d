// JSON as read-only values. Text is untrusted: depth and size are capped, UTF-8 is validated,
// duplicate keys are refused, and members keep their order (chat templates show it).
#ifndef LLMCORE_LIB_BASE_JSON_H_
#define LLMCORE_LIB_BASE_JSON_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::core {

class JsonObject;

class JsonValue {
 public:
  using Array = std::vector<JsonValue>;

  JsonValue();  // null
  explicit JsonValue(bool value);
  explicit JsonValue(int64_t value);
  explicit JsonValue(double value);
  explicit JsonValue(std::string value);
  explicit JsonValue(Array value);
  explicit JsonValue(JsonObject value);
  JsonValue(JsonValue&&) noexcept;
  JsonValue& operator=(JsonValue&&) noexcept;
  ~JsonValue();

  // "null", "boolean", "integer", "number", "string", "array" or "object".
  absl::string_view kind_name() const;

  bool is_null() const { return std::holds_alternative<std::monostate>(value_); }
  bool is_number() const { return if_int() != nullptr || if_double() != nullptr; }

  // The value when it is of that kind, else NULL. Integers beyond int64 are doubles.
  const bool* if_bool() const { return std::get_if<bool>(&value_); }
  const int64_t* if_int() const { return std::get_if<int64_t>(&value_); }
  const double* if_double() const { return std::get_if<double>(&value_); }
  const std::string* if_string() const { return std::get_if<std::string>(&value_); }
  const Array* if_array() const { return std::get_if<Array>(&value_); }
  const JsonObject* if_object() const {
    const auto* object = std::get_if<std::unique_ptr<JsonObject>>(&value_);
    return object == nullptr ? nullptr : object->get();
  }

  // The same with an error "must be an integer, is a string" otherwise. AsDouble takes integers.
  absl::StatusOr<bool> AsBool() const;
  absl::StatusOr<int64_t> AsInt() const;
  absl::StatusOr<double> AsDouble() const;
  absl::StatusOr<absl::string_view> AsString() const;  // borrowed from this value
  absl::StatusOr<const Array*> AsArray() const;
  absl::StatusOr<const JsonObject*> AsObject() const;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array,
               std::unique_ptr<JsonObject>>
      value_;
};

// Members in the order of the text.
class JsonObject {
 public:
  using Member = std::pair<std::string, JsonValue>;

  JsonObject() = default;
  // Refuses duplicate keys.
  static absl::StatusOr<JsonObject> Create(std::vector<Member> members);

  const std::vector<Member>& members() const { return members_; }
  size_t size() const { return members_.size(); }

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
  std::vector<Member> members_;
  std::vector<uint32_t> by_key_;  // indexes of members_, sorted by key
};

struct JsonLimits {
  size_t max_bytes = size_t{64} << 20;
  int max_depth = 128;
  size_t max_values = size_t{16} << 20;  // a value takes some 50 bytes, however short its text
};

// INVALID_ARGUMENT with the byte offset for anything that is not one JSON text within the limits.
absl::StatusOr<JsonValue> ParseJson(absl::string_view text, const JsonLimits& limits = {});

// Reads and parses a file whose root is an object; errors name the file.
absl::StatusOr<JsonObject> ReadJsonObject(const std::string& path, const JsonLimits& limits = {});

// Appends `text` as a JSON string with its quotes, escaped as Python's json.dumps does. Invalid
// UTF-8 becomes U+FFFD. With `ensure_ascii` all but printable ASCII is escaped, in UTF-16 code
// units.
void AppendJsonString(absl::string_view text, std::string* out, bool ensure_ascii = false);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_JSON_H_
