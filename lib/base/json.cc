#include "lib/base/json.h"

#include <algorithm>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/file.h"
#include "lib/base/utf8.h"

// Without these the parser would abort on its own errors or throw; ours are returned.
#define JSON_NOEXCEPTION
#define JSON_THROW_USER(exception) __builtin_unreachable()
#define JSON_TRY_USER if (true)
#define JSON_CATCH_USER(exception) if (false)
#define JSON_INTERNAL_CATCH_USER(exception) if (false)
#define JSON_ASSERT(condition) static_cast<void>(0)
#include <nlohmann/json.hpp>

namespace llmcore::core {
namespace {

using Array = JsonValue::Array;
using Member = JsonObject::Member;

absl::Status KindError(absl::string_view wanted, const JsonValue& value) {
  return absl::InvalidArgumentError(absl::StrCat("must be ", wanted, ", is ", value.kind_name()));
}

}  // namespace

// Builds values from the parser's events; the open containers, and the values of all of them, are
// on stacks, so that nothing here or in the parser recurses.
class JsonBuilder {
 public:
  explicit JsonBuilder(const JsonLimits& limits)
      : limits_(limits), memory_(std::make_unique<PageArena>()) {}

  bool null() { return Add(JsonValue()); }
  bool boolean(bool value) { return Add(JsonValue(JsonValue::Value(value))); }
  bool number_integer(int64_t value) { return Add(JsonValue(JsonValue::Value(value))); }
  bool number_unsigned(uint64_t value) {
    if (value > static_cast<uint64_t>(INT64_MAX)) return number(static_cast<double>(value));
    return number_integer(static_cast<int64_t>(value));
  }
  bool number_float(double value, const std::string&) { return number(value); }
  bool string(const std::string& value) { return Add(JsonValue(JsonValue::Value(Copy(value)))); }
  bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_object(size_t) { return Open(); }
  bool start_array(size_t) { return Open(); }
  bool key(const std::string& name) {
    key_ = Copy(name);
    return true;
  }
  bool end_array() {
    const Container container = Close();
    const size_t count = stack_.size() - container.first;
    JsonValue* const values = memory_->Take<JsonValue>(count);
    for (size_t i = 0; i < count; ++i) {
      new (values + i) JsonValue(stack_[container.first + i].second);
    }
    stack_.resize(container.first);
    return Add(JsonValue(JsonValue::Value(Array(values, count))));
  }
  bool end_object() {
    const Container container = Close();
    const std::span<const Member> members = std::span(stack_).subspan(container.first);
    auto* const object = new (memory_->Take<JsonObject>(1)) JsonObject();
    if (!FillObject(members, object)) return false;
    stack_.resize(container.first);
    return Add(JsonValue(JsonValue::Value(static_cast<const JsonObject*>(object))));
  }
  template <typename Exception>
  bool parse_error(size_t position, const std::string&, const Exception&) {
    status_ = absl::InvalidArgumentError(absl::StrCat("JSON is malformed at byte ", position));
    return false;
  }

  absl::StatusOr<JsonDocument> Finish(bool parsed) {
    if (!status_.ok()) return status_;
    if (!parsed || stack_.empty()) return absl::InvalidArgumentError("JSON is malformed");
    return JsonDocument(stack_.front().second, std::move(memory_));
  }

 private:
  struct Container {
    size_t first;           // of its values on the stack
    absl::string_view key;  // its own, in the object that it is a member of
  };

  bool number(double value) { return Add(JsonValue(JsonValue::Value(value))); }

  absl::string_view Copy(absl::string_view text) {
    char* const copy = memory_->Take<char>(text.size());
    std::copy(text.begin(), text.end(), copy);
    return absl::string_view(copy, text.size());
  }

  bool Open() {
    if (open_.size() >= static_cast<size_t>(limits_.max_depth)) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat("JSON is nested deeper than ", limits_.max_depth, " levels"));
      return false;
    }
    open_.push_back({stack_.size(), key_});
    return true;
  }

  Container Close() {
    const Container container = open_.back();
    open_.pop_back();
    key_ = container.key;
    return container;
  }

  bool Add(const JsonValue& value) {
    if (++values_ > limits_.max_values) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat("JSON has more than ", limits_.max_values, " values"));
      return false;
    }
    stack_.push_back({key_, value});
    return true;
  }

  // Refuses duplicate keys.
  bool FillObject(std::span<const Member> members, JsonObject* object) {
    Member* const copies = memory_->Take<Member>(members.size());
    uint32_t* const by_key = memory_->Take<uint32_t>(members.size());
    for (size_t i = 0; i < members.size(); ++i) {
      new (copies + i) Member(members[i]);
      by_key[i] = static_cast<uint32_t>(i);
    }
    std::sort(by_key, by_key + members.size(),
              [copies](uint32_t a, uint32_t b) { return copies[a].first < copies[b].first; });
    for (size_t i = 1; i < members.size(); ++i) {
      const absl::string_view key = copies[by_key[i]].first;
      if (copies[by_key[i - 1]].first != key) continue;
      status_ =
          absl::InvalidArgumentError(absl::StrCat("JSON object has the key \"", key, "\" twice"));
      return false;
    }
    object->members_ = {copies, members.size()};
    object->by_key_ = by_key;
    return true;
  }

  const JsonLimits limits_;
  absl::Status status_;
  size_t values_ = 0;
  std::unique_ptr<PageArena> memory_;
  absl::string_view key_;  // of the next value, in an object
  std::vector<Container> open_;
  std::vector<Member, PageAllocator<Member>> stack_;  // the values of all open containers
};

absl::string_view JsonValue::kind_name() const {
  constexpr absl::string_view kNames[] = {"null",     "a boolean", "an integer", "a number",
                                          "a string", "an array",  "an object"};
  return kNames[value_.index()];
}

absl::StatusOr<bool> JsonValue::AsBool() const {
  if (const bool* value = if_bool()) return *value;
  return KindError("a boolean", *this);
}

absl::StatusOr<int64_t> JsonValue::AsInt() const {
  if (const int64_t* value = if_int()) return *value;
  return KindError("an integer", *this);
}

absl::StatusOr<double> JsonValue::AsDouble() const {
  if (const double* value = if_double()) return *value;
  if (const int64_t* value = if_int()) return static_cast<double>(*value);
  return KindError("a number", *this);
}

absl::StatusOr<absl::string_view> JsonValue::AsString() const {
  if (const absl::string_view* value = if_string()) return *value;
  return KindError("a string", *this);
}

absl::StatusOr<const Array*> JsonValue::AsArray() const {
  if (const Array* value = if_array()) return value;
  return KindError("an array", *this);
}

absl::StatusOr<const JsonObject*> JsonValue::AsObject() const {
  if (const JsonObject* value = if_object()) return value;
  return KindError("an object", *this);
}

JsonObject::JsonObject(const Member* member) : members_(member, 1) {
  static constexpr uint32_t kFirst = 0;
  by_key_ = &kFirst;
}

const JsonValue* JsonObject::Find(absl::string_view key) const {
  const uint32_t* const end = by_key_ + members_.size();
  const uint32_t* const found = std::lower_bound(
      by_key_, end, key,
      [this](uint32_t i, absl::string_view wanted) { return members_[i].first < wanted; });
  if (found == end || members_[*found].first != key) return nullptr;
  return &members_[*found].second;
}

absl::StatusOr<const JsonValue*> JsonObject::Get(absl::string_view key) const {
  if (const JsonValue* value = Find(key)) return value;
  return absl::InvalidArgumentError(absl::StrCat("\"", key, "\" is missing"));
}

// Each typed getter is Get, then the conversion, with the key in front of its error.
#define LLMCORE_JSON_GETTER(Type, Name, As)                                                  \
  absl::StatusOr<Type> JsonObject::Name(absl::string_view key) const {                       \
    LLMCORE_ASSIGN_OR_RETURN(const JsonValue* value, Get(key));                              \
    auto converted = value->As();                                                            \
    if (!converted.ok()) return Annotate(converted.status(), absl::StrCat("\"", key, "\"")); \
    return converted;                                                                        \
  }
LLMCORE_JSON_GETTER(bool, GetBool, AsBool)
LLMCORE_JSON_GETTER(int64_t, GetInt, AsInt)
LLMCORE_JSON_GETTER(double, GetDouble, AsDouble)
LLMCORE_JSON_GETTER(absl::string_view, GetString, AsString)
LLMCORE_JSON_GETTER(const Array*, GetArray, AsArray)
LLMCORE_JSON_GETTER(const JsonObject*, GetObject, AsObject)
#undef LLMCORE_JSON_GETTER

absl::StatusOr<bool> JsonObject::GetBoolOr(absl::string_view key, bool fallback) const {
  const JsonValue* value = Find(key);
  if (value == nullptr || value->is_null()) return fallback;
  return GetBool(key);
}

absl::StatusOr<int64_t> JsonObject::GetIntOr(absl::string_view key, int64_t fallback) const {
  const JsonValue* value = Find(key);
  if (value == nullptr || value->is_null()) return fallback;
  return GetInt(key);
}

absl::StatusOr<double> JsonObject::GetDoubleOr(absl::string_view key, double fallback) const {
  const JsonValue* value = Find(key);
  if (value == nullptr || value->is_null()) return fallback;
  return GetDouble(key);
}

absl::StatusOr<absl::string_view> JsonObject::GetStringOr(absl::string_view key,
                                                          absl::string_view fallback) const {
  const JsonValue* value = Find(key);
  if (value == nullptr || value->is_null()) return fallback;
  return GetString(key);
}

absl::StatusOr<JsonDocument> ParseJson(absl::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "JSON text has ", text.size(), " bytes, more than the limit of ", limits.max_bytes));
  }
  JsonBuilder builder(limits);
  const bool parsed = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  return builder.Finish(parsed);
}

absl::StatusOr<JsonObjectDocument> ReadJsonObject(const std::string& path,
                                                  const JsonLimits& limits) {
  LLMCORE_ASSIGN_OR_RETURN(const PageString text, ReadFileToPages(path, limits.max_bytes));
  absl::StatusOr<JsonDocument> value = ParseJson(text, limits);
  if (!value.ok()) return Annotate(value.status(), path);
  if (value->if_object() == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": the root must be an object, is ", value->kind_name()));
  }
  return JsonObjectDocument(*std::move(value));
}

namespace {

// The letter behind the backslash of the characters that have a short escape, else 0.
char ShortEscape(char32_t code_point) {
  switch (code_point) {
    case '"':
    case '\\':
      return static_cast<char>(code_point);
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

// \uXXXX, twice beyond the basic plane (RFC 8259 section 7).
void AppendUnicodeEscape(char32_t code_point, std::string* out) {
  const auto code = static_cast<unsigned>(code_point);
  if (code < 0x10000) {
    absl::StrAppend(out, "\\u", absl::Hex(code, absl::kZeroPad4));
  } else {
    const unsigned offset = code - 0x10000;
    absl::StrAppend(out, "\\u", absl::Hex(0xD800 + (offset >> 10), absl::kZeroPad4), "\\u",
                    absl::Hex(0xDC00 + (offset & 0x3FF), absl::kZeroPad4));
  }
}

}  // namespace

void AppendJsonString(absl::string_view text, std::string* out, bool ensure_ascii) {
  out->push_back('"');
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter character = DecodeUtf8(text, i);
    if (const char letter = ShortEscape(character.code_point); letter != 0) {
      out->push_back('\\');
      out->push_back(letter);
    } else if (character.code_point < 0x20 || (ensure_ascii && character.code_point > 0x7E)) {
      AppendUnicodeEscape(character.code_point, out);
    } else {
      AppendUtf8(character.code_point, out);
    }
    i += character.length;
  }
  out->push_back('"');
}

}  // namespace llmcore::core
