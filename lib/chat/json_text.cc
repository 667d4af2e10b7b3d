#include "lib/chat/json_text.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/chat/builtins.h"
#include "lib/chat/compare.h"
#include "lib/chat/python_text.h"

namespace llmcore::core::chat {
namespace {

constexpr int kMaxDepth = 200;  // of values within values

absl::Status TooDeep() {
  return absl::ResourceExhaustedError(
      absl::StrCat("JSON nested deeper than ", kMaxDepth, " levels is not supported"));
}

absl::StatusOr<Value> FromJsonAt(Runtime& runtime, const JsonValue& json, int depth) {
  if (depth > kMaxDepth) return TooDeep();
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(1));
  if (const bool* value = json.if_bool()) return Value::Bool(*value);
  if (const int64_t* value = json.if_int()) return Value::Int(*value);
  if (const double* value = json.if_double()) {
    // An integer of the text that does not fit in 64 bits arrives as a double too, and would be
    // printed differently; which it was is not known any more.
    if (std::abs(*value) >= 9223372036854775808.0) {
      return Unsupported("a number beyond 64 bits");
    }
    return Value::Float(*value);
  }
  if (const absl::string_view* value = json.if_string()) return Value::String(*value);
  if (const JsonValue::Array* array = json.if_array()) {
    LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(array->size() * sizeof(Value)));
    std::span<Value> items = runtime.heap().NewArray<Value>(array->size() + 1).first(array->size());
    for (size_t i = 0; i < items.size(); ++i) {
      LLMCORE_ASSIGN_OR_RETURN(items[i], FromJsonAt(runtime, (*array)[i], depth + 1));
    }
    return Value::List(items);
  }
  if (const JsonObject* object = json.if_object()) {
    std::vector<DictEntry> entries;
    entries.reserve(object->size());
    for (const auto& [name, member] : object->members()) {
      LLMCORE_ASSIGN_OR_RETURN(const Value value, FromJsonAt(runtime, member, depth + 1));
      entries.push_back({Value::String(name), value});
    }
    return runtime.heap().MakeDict(entries);
  }
  return Value::None();
}

class Writer {
 public:
  Writer(Runtime& runtime, const JsonStyle& style, std::string* out)
      : runtime_(runtime), style_(style), out_(*out) {}

  absl::Status Write(const Value& value, int depth);

 private:
  absl::Status WriteList(std::span<const Value> items, int depth);
  absl::Status WriteDict(const Dict& dict, int depth);
  absl::Status WriteKey(const Value& key);
  absl::StatusOr<std::vector<DictEntry>> SortedEntries(const Dict& dict);
  void NewLine(int depth) {
    if (!style_.indent.has_value()) return;
    out_.push_back('\n');
    for (int i = 0; i < depth; ++i) out_.append(*style_.indent);
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string& out_;
};

std::string JsonFloat(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return FloatRepr(value);
}

absl::Status Writer::Write(const Value& value, int depth) {
  if (depth > kMaxDepth) return TooDeep();
  LLMCORE_RETURN_IF_ERROR(runtime_.Spend(1));
  LLMCORE_RETURN_IF_ERROR(runtime_.heap().Check(out_.size()));
  switch (value.kind()) {
    case Kind::kNone:
      out_.append("null");
      return absl::OkStatus();
    case Kind::kBool:
      out_.append(value.as_bool() ? "true" : "false");
      return absl::OkStatus();
    case Kind::kInt:
      absl::StrAppend(&out_, value.as_int());
      return absl::OkStatus();
    case Kind::kFloat:
      out_.append(JsonFloat(value.as_float()));
      return absl::OkStatus();
    case Kind::kString:
      LLMCORE_RETURN_IF_ERROR(runtime_.SpendText(value.text().size()));
      AppendJsonString(value.text(), &out_, style_.ensure_ascii);
      return absl::OkStatus();
    case Kind::kList:
    case Kind::kTuple:
      return WriteList(value.items(), depth);
    case Kind::kDict:
      return WriteDict(value.dict(), depth);
    default:
      return Failure("Object of type ", TypeName(value), " is not JSON serializable");
  }
}

absl::Status Writer::WriteList(std::span<const Value> items, int depth) {
  if (items.empty()) {
    out_.append("[]");
    return absl::OkStatus();
  }
  out_.push_back('[');
  for (size_t i = 0; i < items.size(); ++i) {
    if (i != 0) out_.append(style_.item_separator);
    NewLine(depth + 1);
    LLMCORE_RETURN_IF_ERROR(Write(items[i], depth + 1));
  }
  NewLine(depth);
  out_.push_back(']');
  return absl::OkStatus();
}

absl::Status Writer::WriteKey(const Value& key) {
  switch (key.kind()) {
    case Kind::kString:
      AppendJsonString(key.text(), &out_, style_.ensure_ascii);
      return absl::OkStatus();
    case Kind::kNone:
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      out_.push_back('"');
      LLMCORE_RETURN_IF_ERROR(Write(key, 0));
      out_.push_back('"');
      return absl::OkStatus();
    default:
      return Failure("keys must be str, int, float, bool or None, not ", TypeName(key));
  }
}

absl::StatusOr<std::vector<DictEntry>> Writer::SortedEntries(const Dict& dict) {
  std::vector<DictEntry> entries(dict.entries.begin(), dict.entries.end());
  absl::Status failed;
  std::stable_sort(entries.begin(), entries.end(), [&](const DictEntry& a, const DictEntry& b) {
    if (!failed.ok()) return false;
    const absl::StatusOr<bool> less = Less(runtime_, a.key, b.key);
    if (!less.ok()) failed = less.status();
    return less.ok() && *less;
  });
  LLMCORE_RETURN_IF_ERROR(failed);
  return entries;
}

absl::Status Writer::WriteDict(const Dict& dict, int depth) {
  if (dict.entries.empty()) {
    out_.append("{}");
    return absl::OkStatus();
  }
  std::vector<DictEntry> sorted;
  std::span<const DictEntry> entries = dict.entries;
  if (style_.sort_keys) {
    LLMCORE_ASSIGN_OR_RETURN(sorted, SortedEntries(dict));
    entries = sorted;
  }
  out_.push_back('{');
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i != 0) out_.append(style_.item_separator);
    NewLine(depth + 1);
    LLMCORE_RETURN_IF_ERROR(WriteKey(entries[i].key));
    out_.append(style_.key_separator);
    LLMCORE_RETURN_IF_ERROR(Write(entries[i].value, depth + 1));
  }
  NewLine(depth);
  out_.push_back('}');
  return absl::OkStatus();
}

// tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)
absl::StatusOr<Value> ToJson(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound,
                           Bind(arguments, {"ensure_ascii", "indent", "separators", "sort_keys"}));
  const auto& [ensure_ascii, indent, separators, sort_keys] = bound;
  JsonStyle style;
  style.ensure_ascii = ensure_ascii != nullptr && IsTrue(*ensure_ascii);
  style.sort_keys = sort_keys != nullptr && IsTrue(*sort_keys);
  if (indent != nullptr && !indent->is_none()) {
    style.item_separator.assign(1, ',');
    if (indent->is_string()) {
      style.indent = std::string(indent->text());
    } else if (indent->is_integral()) {
      if (indent->as_int() > 1000) return Failure("an indent of more than 1000 is not supported");
      style.indent.emplace(static_cast<size_t>(std::max<int64_t>(indent->as_int(), 0)), ' ');
    } else {
      return Failure("indent must be an integer or a string");
    }
  }
  if (separators != nullptr && !separators->is_none()) {
    if (!separators->is_sequence() || separators->items().size() != 2 ||
        !separators->items()[0].is_string() || !separators->items()[1].is_string()) {
      return Failure("separators must be two strings");
    }
    style.item_separator = std::string(separators->items()[0].text());
    style.key_separator = std::string(separators->items()[1].text());
  }
  std::string text;
  LLMCORE_RETURN_IF_ERROR(AppendJson(runtime, style, value, &text));
  return runtime.heap().CopyString(text);
}

}  // namespace

absl::StatusOr<Value> FromJson(Runtime& runtime, const JsonValue& json) {
  return FromJsonAt(runtime, json, 0);
}

absl::Status AppendJson(Runtime& runtime, const JsonStyle& style, const Value& value,
                        std::string* out) {
  return Writer(runtime, style, out).Write(value, 0);
}

std::span<const NamedFilter> OutputFilters() {
  static constexpr NamedFilter kFilters[] = {{"tojson", ToJson}};
  return kFilters;
}

}  // namespace llmcore::core::chat
