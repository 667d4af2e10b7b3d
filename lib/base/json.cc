#include "lib/base/json.h"

#include <algorithm>

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

// Builds values from the parser's events; the open containers are on a stack, so that nothing here
// or in the parser recurses.
class Builder {
 public:
  explicit Builder(const JsonLimits& limits) : limits_(limits) {}

  bool null() { return Add(JsonValue()); }
  bool boolean(bool value) { return Add(JsonValue(value)); }
  bool number_integer(int64_t value) { return Add(JsonValue(value)); }
  bool number_unsigned(uint64_t value) {
    if (value > static_cast<uint64_t>(INT64_MAX)) return Add(JsonValue(static_cast<double>(value)));
    return Add(JsonValue(static_cast<int64_t>(value)));
  }
  bool number_float(double value, const std::string&) { return Add(JsonValue(value)); }
  bool string(std::string& value) { return Add(JsonValue(std::move(value))); }
  bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_object(size_t) { return Open(/*is_object=*/true); }
  bool start_array(size_t) { return Open(/*is_object=*/false); }
  bool key(std::string& name) {
    open_.back().key = std::move(name);
    return true;
  }
  bool end_array() {
    JsonValue value(std::move(open_.back().elements));
    open_.pop_back();
    return Add(std::move(value));
  }
  bool end_object() {
    absl::StatusOr<JsonObject> object = JsonObject::Create(std::move(open_.back().members));
    open_.pop_back();
    if (!object.ok()) {
      status_ = object.status();
      return false;
    }
    return Add(JsonValue(*std::move(object)));
  }
  template <typename Exception>
  bool parse_error(size_t position, const std::string&, const Exception&) {
    status_ = absl::InvalidArgumentError(absl::StrCat("JSON is malformed at byte ", position));
    return false;
  }

  absl::StatusOr<JsonValue> Finish(bool parsed) {
    if (!status_.ok()) return status_;
    if (!parsed) return absl::InvalidArgumentError("JSON is malformed");
    return std::move(root_);
  }

 private:
  struct Container {
    bool is_object;
    std::string key;
    Array elements;
    std::vector<Member> members;
  };

  bool Open(bool is_object) {
    if (open_.size() >= static_cast<size_t>(limits_.max_depth)) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat("JSON is nested deeper than ", limits_.max_depth, " levels"));
      return false;
    }
    open_.push_back({is_object, {}, {}, {}});
    return true;
  }

  bool Add(JsonValue value) {
    if (++values_ > limits_.max_values) {
      status_ = absl::InvalidArgumentError(
          absl::StrCat("JSON has more than ", limits_.max_values, " values"));
      return false;
    }
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Container& top = open_.back(); top.is_object) {
      top.members.emplace_back(std::move(top.key), std::move(value));
    } else {
      top.elements.push_back(std::move(value));
    }
    return true;
  }

  const JsonLimits limits_;
  absl::Status status_;
  size_t values_ = 0;
  std::vector<Container> open_;
  JsonValue root_;
};

}  // namespace

JsonValue::JsonValue() = default;
JsonValue::JsonValue(bool value) : value_(value) {}
JsonValue::JsonValue(int64_t value) : value_(value) {}
JsonValue::JsonValue(double value) : value_(value) {}
JsonValue::JsonValue(std::string value) : value_(std::move(value)) {}
JsonValue::JsonValue(Array value) : value_(std::move(value)) {}
JsonValue::JsonValue(JsonObject value) : value_(std::make_unique<JsonObject>(std::move(value))) {}
JsonValue::JsonValue(JsonValue&&) noexcept = default;
JsonValue& JsonValue::operator=(JsonValue&&) noexcept = default;
JsonValue::~JsonValue() = default;

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
  if (const std::string* value = if_string()) return absl::string_view(*value);
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

absl::StatusOr<JsonObject> JsonObject::Create(std::vector<Member> members) {
  JsonObject object;
  object.members_ = std::move(members);
  object.by_key_.resize(object.members_.size());
  for (size_t i = 0; i < object.by_key_.size(); ++i) object.by_key_[i] = static_cast<uint32_t>(i);
  const auto key = [&object](uint32_t i) -> const std::string& { return object.members_[i].first; };
  std::sort(object.by_key_.begin(), object.by_key_.end(),
            [&key](uint32_t a, uint32_t b) { return key(a) < key(b); });
  for (size_t i = 1; i < object.by_key_.size(); ++i) {
    if (key(object.by_key_[i - 1]) == key(object.by_key_[i])) {
      return absl::InvalidArgumentError(
          absl::StrCat("JSON object has the key \"", key(object.by_key_[i]), "\" twice"));
    }
  }
  return object;
}

const JsonValue* JsonObject::Find(absl::string_view key) const {
  const auto found = std::lower_bound(
      by_key_.begin(), by_key_.end(), key,
      [this](uint32_t i, absl::string_view wanted) { return members_[i].first < wanted; });
  if (found == by_key_.end() || members_[*found].first != key) return nullptr;
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

absl::StatusOr<JsonValue> ParseJson(absl::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "JSON text has ", text.size(), " bytes, more than the limit of ", limits.max_bytes));
  }
  Builder builder(limits);
  const bool parsed = nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  return builder.Finish(parsed);
}

absl::StatusOr<JsonObject> ReadJsonObject(const std::string& path, const JsonLimits& limits) {
  LLMCORE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, limits.max_bytes));
  absl::StatusOr<JsonValue> value = ParseJson(text, limits);
  if (!value.ok()) return Annotate(value.status(), path);
  JsonObject* const object = const_cast<JsonObject*>(value->if_object());
  if (object == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": the root must be an object, is ", value->kind_name()));
  }
  return std::move(*object);
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
