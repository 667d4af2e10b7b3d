// Filters on numbers.
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "lib/chat/builtins.h"
#include "lib/chat/python_text.h"

namespace llmcore::core::chat {
namespace {

using ValueOr = absl::StatusOr<Value>;

ValueOr Abs(Runtime&, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  if (value.is_integral()) {
    if (value.as_int() == std::numeric_limits<int64_t>::min()) return IntegerTooLarge();
    return Value::Int(std::abs(value.as_int()));
  }
  if (value.kind() == Kind::kFloat) return Value::Float(std::abs(value.as_float()));
  if (value.is_undefined()) return UndefinedError(value);
  return Failure("bad operand type for abs(): '", TypeName(value), "'");
}

// int() of a float; nullopt for what Python refuses (nan, and infinity after a string).
absl::StatusOr<std::optional<int64_t>> Truncated(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  if (std::abs(value) >= 9223372036854775808.0) return IntegerTooLarge();
  return static_cast<int64_t>(value);
}

// int(default=0, base=10)
ValueOr Int(Runtime&, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"default", "base"}));
  const Value fallback = bound[0] == nullptr ? Value::Int(0) : *bound[0];
  if (value.is_undefined()) return UndefinedError(value);
  if (value.is_integral()) return Value::Int(value.as_int());
  std::optional<int64_t> result;
  if (value.kind() == Kind::kFloat) {
    if (std::isinf(value.as_float())) return Failure("cannot convert float infinity to integer");
    LLMCORE_ASSIGN_OR_RETURN(result, Truncated(value.as_float()));
  } else if (value.is_string()) {
    const int64_t base = bound[1] != nullptr && bound[1]->is_integral() ? bound[1]->as_int() : 10;
    if (base == 0 || (base >= 2 && base <= 36)) {
      LLMCORE_ASSIGN_OR_RETURN(result, ParseInteger(value.text(), static_cast<int>(base)));
    }
    if (!result.has_value()) {
      if (const std::optional<double> number = ParseFloat(value.text())) {
        LLMCORE_ASSIGN_OR_RETURN(result, Truncated(*number));
      }
    }
  }
  return result.has_value() ? Value::Int(*result) : fallback;
}

// float(default=0.0)
ValueOr Float(Runtime&, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"default"}));
  if (value.is_undefined()) return UndefinedError(value);
  if (value.is_number()) return Value::Float(value.as_number());
  if (value.is_string()) {
    if (const std::optional<double> number = ParseFloat(value.text())) {
      return Value::Float(*number);
    }
  }
  return bound[0] == nullptr ? Value::Float(0.0) : *bound[0];
}

// Python's round(): to the nearest, exact halves to the even neighbour. The decimal text of a
// double is exact, so rounding it is too.
absl::StatusOr<double> RoundFloat(double value, int64_t precision) {
  if (!std::isfinite(value) || precision > 330) return value;
  if (precision < -330) return std::copysign(0.0, value);
  if (precision < 0) {
    if (precision < -22) return Unsupported("rounding to so large a unit");
    const double unit = std::pow(10.0, static_cast<double>(-precision));
    return std::nearbyint(value / unit) * unit;
  }
  std::array<char, 700> digits;
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value,
                                     std::chars_format::fixed, static_cast<int>(precision));
  if (written.ec != std::errc()) return Unsupported("rounding of so long a number");
  double rounded = 0;
  std::from_chars(digits.data(), written.ptr, rounded);
  return rounded;
}

absl::StatusOr<int64_t> RoundInteger(int64_t value, int64_t precision) {
  if (precision >= 0) return value;
  if (precision < -18) return int64_t{0};
  int64_t unit = 1;
  for (int64_t i = 0; i < -precision; ++i) unit *= 10;
  int64_t rest = value % unit;
  if (rest < 0) rest += unit;
  int64_t result = value - rest;  // may pass the minimum only for values next to it
  if (value < std::numeric_limits<int64_t>::min() + unit) return IntegerTooLarge();
  const bool odd = (result / unit) % 2 != 0;
  if (rest > unit - rest || (rest == unit - rest && odd)) {
    if (__builtin_add_overflow(result, unit, &result)) return IntegerTooLarge();
  }
  return result;
}

// round(precision=0, method='common')
ValueOr Round(Runtime&, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"precision", "method"}));
  int64_t precision = 0;
  if (bound[0] != nullptr) {
    if (!bound[0]->is_integral()) return Failure("precision must be an integer");
    precision = bound[0]->as_int();
  }
  absl::string_view method = "common";
  if (bound[1] != nullptr) method = bound[1]->is_string() ? bound[1]->text() : "?";
  if (method != "common" && method != "ceil" && method != "floor") {
    return Failure("method must be common, ceil or floor");
  }
  if (value.is_undefined()) return UndefinedError(value);
  if (!value.is_number()) {
    return Failure("type ", TypeName(value), " doesn't define __round__ method");
  }
  if (method == "common") {
    if (value.is_integral()) {
      LLMCORE_ASSIGN_OR_RETURN(const int64_t rounded, RoundInteger(value.as_int(), precision));
      return Value::Int(rounded);
    }
    LLMCORE_ASSIGN_OR_RETURN(const double rounded, RoundFloat(value.as_float(), precision));
    return Value::Float(rounded);
  }
  if (precision > 300 || precision < -300) return Unsupported("so large a precision");
  const double unit = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value.as_number() * unit;
  if (std::abs(scaled) >= 9007199254740992.0) return Unsupported("so large a number");
  return Value::Float((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit);
}

}  // namespace

std::span<const NamedFilter> NumberFilters() {
  static constexpr NamedFilter kFilters[] = {
      {"abs", Abs}, {"float", Float}, {"int", Int}, {"round", Round}};
  return kFilters;
}

}  // namespace llmcore::core::chat
