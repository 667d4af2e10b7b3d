#include "lib/config/config_fields.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "lib/base/quote.h"

namespace llmcore::core {
namespace {

bool IsNeutral(const JsonValue& value, Neutral neutral) {
  if (value.is_null()) return true;
  const double* const real = value.if_double();
  const int64_t* const integer = value.if_int();
  const bool* const boolean = value.if_bool();
  switch (neutral) {
    case Neutral::kOff:
      if (real != nullptr) return *real == 0;
      if (integer != nullptr) return *integer == 0;
      if (boolean != nullptr) return !*boolean;
      if (value.if_string() != nullptr) return value.if_string()->empty();
      if (value.if_array() != nullptr) return value.if_array()->empty();
      return value.if_object()->size() == 0;
    case Neutral::kOne:
      return (real != nullptr && *real == 1) || (integer != nullptr && *integer == 1);
    case Neutral::kTrue:
      return boolean != nullptr && *boolean;
  }
  return false;
}

absl::Status RangeError(absl::string_view key, const JsonValue& value, double low, double high) {
  return absl::InvalidArgumentError(
      absl::StrCat(Quoted(key), " must be in [", low, ", ", high, "], is ", ValueText(value)));
}

}  // namespace

std::string ValueText(const JsonValue& value) {
  if (value.is_null()) return "null";
  if (value.if_bool() != nullptr) return *value.if_bool() ? "true" : "false";
  if (value.if_int() != nullptr) return absl::StrCat(*value.if_int());
  if (value.if_double() != nullptr) return absl::StrCat(*value.if_double());
  if (value.if_string() != nullptr) return Quoted(*value.if_string());
  return std::string(value.kind_name());
}

absl::Status UnsupportedField(absl::string_view key, const JsonValue& value) {
  return absl::UnimplementedError(
      absl::StrCat(Quoted(key), " is ", ValueText(value), ", which is not supported"));
}

absl::Status RefuseFields(const JsonObject& json, std::span<const RefusedField> fields) {
  for (const RefusedField& field : fields) {
    const JsonValue* const value = json.Find(field.key);
    if (value != nullptr && !IsNeutral(*value, field.neutral)) {
      return UnsupportedField(field.key, *value);
    }
  }
  return absl::OkStatus();
}

bool IsSet(const JsonObject& json, absl::string_view key) {
  const JsonValue* const value = json.Find(key);
  return value != nullptr && !value->is_null();
}

absl::StatusOr<int32_t> GetSize(const JsonObject& json, absl::string_view key, int32_t limit,
                                std::optional<int32_t> fallback) {
  if (!IsSet(json, key) && fallback.has_value()) return *fallback;
  LLMCORE_ASSIGN_OR_RETURN(const int64_t size, json.GetInt(key));
  if (size < 1 || size > limit) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(key), " must be in [1, ", limit, "], is ", size));
  }
  return static_cast<int32_t>(size);
}

absl::StatusOr<std::optional<double>> GetOptionalNumber(const JsonObject& json,
                                                        absl::string_view key, double low,
                                                        double high) {
  if (!IsSet(json, key)) return std::nullopt;
  LLMCORE_ASSIGN_OR_RETURN(const double number, json.GetDouble(key));
  if (!(number >= low && number <= high)) return RangeError(key, *json.Find(key), low, high);
  return number;
}

absl::StatusOr<double> GetNumber(const JsonObject& json, absl::string_view key, double low,
                                 double high, double fallback) {
  LLMCORE_ASSIGN_OR_RETURN(const std::optional<double> number,
                           GetOptionalNumber(json, key, low, high));
  return number.value_or(fallback);
}

absl::StatusOr<std::vector<int32_t>> GetTokenIds(const JsonObject& json, absl::string_view key) {
  std::vector<int32_t> ids;
  const auto add = [&ids, key](const JsonValue& value) -> absl::Status {
    const int64_t* const id = value.if_int();
    if (id == nullptr || *id > INT32_MAX) {
      return absl::InvalidArgumentError(
          absl::StrCat(Quoted(key), " must be a token id, is ", ValueText(value)));
    }
    const bool known = std::find(ids.begin(), ids.end(), *id) != ids.end();
    if (*id >= 0 && !known) ids.push_back(static_cast<int32_t>(*id));
    return absl::OkStatus();
  };
  const JsonValue* const value = json.Find(key);
  if (value == nullptr || value->is_null()) return ids;
  if (value->if_array() == nullptr) {
    LLMCORE_RETURN_IF_ERROR(add(*value));
    return ids;
  }
  constexpr size_t kMostIds = 1024;  // keeps the search above cheap; real lists have a few
  if (value->if_array()->size() > kMostIds) {
    return absl::InvalidArgumentError(
        absl::StrCat(Quoted(key), " lists more than ", kMostIds, " token ids"));
  }
  for (const JsonValue& element : *value->if_array()) LLMCORE_RETURN_IF_ERROR(add(element));
  return ids;
}

absl::StatusOr<std::optional<int32_t>> GetTokenId(const JsonObject& json, absl::string_view key) {
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<int32_t> ids, GetTokenIds(json, key));
  if (ids.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(Quoted(key), " must be one token id"));
  }
  if (ids.empty()) return std::nullopt;
  return ids.front();
}

}  // namespace llmcore::core
