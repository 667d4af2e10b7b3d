#include "lib/chat/arithmetic.h"

#include <cmath>
#include <limits>

#include "lib/chat/python_text.h"
#include "lib/chat/string_format.h"

namespace llmcore::core::chat {
namespace {

absl::string_view Symbol(BinaryOperator operation) {
  switch (operation) {
    case BinaryOperator::kAdd:
      return "+";
    case BinaryOperator::kSubtract:
      return "-";
    case BinaryOperator::kMultiply:
      return "*";
    case BinaryOperator::kDivide:
      return "/";
    case BinaryOperator::kFloorDivide:
      return "//";
    case BinaryOperator::kModulo:
      return "%";
    case BinaryOperator::kPower:
      return "** or pow()";
  }
  return "";
}

absl::Status Mismatch(BinaryOperator operation, const Value& a, const Value& b) {
  if (a.is_undefined()) return UndefinedError(a);
  if (b.is_undefined()) return UndefinedError(b);
  if (operation == BinaryOperator::kAdd && (a.is_string() || a.is_sequence())) {
    return Failure("can only concatenate ", TypeName(a), " (not \"", TypeName(b), "\") to ",
                   TypeName(a));
  }
  return Failure("unsupported operand type(s) for ", Symbol(operation), ": '", TypeName(a),
                 "' and '", TypeName(b), "'");
}

absl::StatusOr<Value> IntegerPower(int64_t base, int64_t exponent) {
  int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) {
      return IntegerTooLarge();
    }
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return IntegerTooLarge();
  }
  return Value::Int(result);
}

// Rounds towards minus infinity, as // does.
int64_t FloorDivide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

absl::StatusOr<Value> IntegerBinary(BinaryOperator operation, int64_t a, int64_t b) {
  constexpr int64_t kExact = int64_t{1} << 53;  // doubles hold all integers up to here
  int64_t result = 0;
  bool overflow = false;
  switch (operation) {
    case BinaryOperator::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOperator::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOperator::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOperator::kDivide:
      if (b == 0) return Failure("division by zero");
      if (a > kExact || a < -kExact || b > kExact || b < -kExact) return IntegerTooLarge();
      return Value::Float(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOperator::kFloorDivide:
      if (b == 0) return Failure("integer division or modulo by zero");
      overflow = a == std::numeric_limits<int64_t>::min() && b == -1;
      if (!overflow) result = FloorDivide(a, b);
      break;
    case BinaryOperator::kModulo:
      if (b == 0) return Failure("integer modulo by zero");
      result = b == -1 ? 0 : a - FloorDivide(a, b) * b;
      break;
    case BinaryOperator::kPower:
      if (b >= 0) return IntegerPower(a, b);
      if (a == 0) return Failure("0.0 cannot be raised to a negative power");
      return Value::Float(std::pow(static_cast<double>(a), static_cast<double>(b)));
  }
  if (overflow) return IntegerTooLarge();
  return Value::Int(result);
}

// The remainder with the sign of the divisor.
double FloatModulo(double a, double b) {
  const double remainder = std::fmod(a, b);
  if (remainder == 0) return std::copysign(0.0, b);
  return (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

double FloatFloorDivide(double a, double b) {
  const double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0 && (remainder < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

absl::StatusOr<Value> FloatBinary(BinaryOperator operation, double a, double b) {
  switch (operation) {
    case BinaryOperator::kAdd:
      return Value::Float(a + b);
    case BinaryOperator::kSubtract:
      return Value::Float(a - b);
    case BinaryOperator::kMultiply:
      return Value::Float(a * b);
    case BinaryOperator::kDivide:
      if (b == 0) return Failure("float division by zero");
      return Value::Float(a / b);
    case BinaryOperator::kFloorDivide:
      if (b == 0) return Failure("float floor division by zero");
      return Value::Float(FloatFloorDivide(a, b));
    case BinaryOperator::kModulo:
      if (b == 0) return Failure("float modulo");
      return Value::Float(FloatModulo(a, b));
    case BinaryOperator::kPower: {
      if (a == 0 && b < 0) return Failure("0.0 cannot be raised to a negative power");
      if (a < 0 && std::isfinite(b) && b != std::floor(b)) return Unsupported("a complex number");
      const double power = std::pow(a, b);
      if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) {
        return Failure("the result of ** is too large");
      }
      return Value::Float(power);
    }
  }
  return Value();
}

absl::StatusOr<Value> Repeat(Runtime& runtime, const Value& value, int64_t times) {
  const size_t size = value.is_string() ? value.text().size() : value.items().size_bytes();
  const auto count = static_cast<uint64_t>(times < 0 ? 0 : times);
  uint64_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<uint64_t>(size), count, &bytes)) {
    bytes = std::numeric_limits<uint64_t>::max();
  }
  LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(bytes));
  // An empty value repeats to itself, however often.
  const uint64_t copies = bytes == 0 ? 0 : count;
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(copies + bytes / 64));
  if (value.is_string()) {
    std::span<char> out = runtime.heap().NewArray<char>(bytes);
    for (uint64_t i = 0; i < copies; ++i) {
      value.text().copy(out.data() + i * size, size);
    }
    return Value::String({out.data(), out.size()}, value.is_markup());
  }
  std::vector<Value> items;
  items.reserve(copies * value.items().size());
  for (uint64_t i = 0; i < copies; ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return value.kind() == Kind::kTuple ? runtime.heap().CopyTuple(items)
                                      : runtime.heap().CopyList(items);
}

absl::StatusOr<Value> JoinTexts(Runtime& runtime, const Value& a, const Value& b) {
  const bool markup = a.is_markup() || b.is_markup();
  std::string joined;
  const size_t size = a.text().size() + b.text().size();
  LLMCORE_RETURN_IF_ERROR(runtime.heap().Check(size));
  LLMCORE_RETURN_IF_ERROR(runtime.SpendText(size));
  if (!markup || (a.is_markup() && b.is_markup())) {
    std::span<char> out = runtime.heap().NewArray<char>(size);
    a.text().copy(out.data(), a.text().size());
    b.text().copy(out.data() + a.text().size(), b.text().size());
    return Value::String({out.data(), out.size()}, markup);
  }
  for (const Value& part : {a, b}) {
    joined += part.is_markup() ? std::string(part.text()) : EscapeHtml(part.text());
  }
  return runtime.heap().CopyString(joined, /*markup=*/true);
}

}  // namespace

std::string EscapeHtml(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out.append("&amp;");
        break;
      case '<':
        out.append("&lt;");
        break;
      case '>':
        out.append("&gt;");
        break;
      case '\'':
        out.append("&#39;");
        break;
      case '"':
        out.append("&#34;");
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

absl::StatusOr<Value> Add(Runtime& runtime, const Value& a, const Value& b) {
  return Binary(runtime, BinaryOperator::kAdd, a, b);
}

absl::StatusOr<Value> Binary(Runtime& runtime, BinaryOperator operation, const Value& a,
                             const Value& b) {
  if (a.is_integral() && b.is_integral()) return IntegerBinary(operation, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) return FloatBinary(operation, a.as_number(), b.as_number());
  if (operation == BinaryOperator::kAdd) {
    if (a.is_string() && b.is_string()) return JoinTexts(runtime, a, b);
    if (a.is_sequence() && a.kind() == b.kind()) {
      std::vector<Value> items(a.items().begin(), a.items().end());
      items.insert(items.end(), b.items().begin(), b.items().end());
      LLMCORE_RETURN_IF_ERROR(runtime.Spend(items.size() / 4));
      return a.kind() == Kind::kTuple ? runtime.heap().CopyTuple(items)
                                      : runtime.heap().CopyList(items);
    }
  }
  if (operation == BinaryOperator::kMultiply) {
    if ((a.is_string() || a.is_sequence()) && b.is_integral()) {
      return Repeat(runtime, a, b.as_int());
    }
    if (a.is_integral() && (b.is_string() || b.is_sequence())) {
      return Repeat(runtime, b, a.as_int());
    }
  }
  if (operation == BinaryOperator::kModulo && a.is_string()) {
    return FormatPercent(runtime, a, b);
  }
  return Mismatch(operation, a, b);
}

absl::StatusOr<Value> Negate(const Value& value) {
  if (value.is_integral()) {
    if (value.as_int() == std::numeric_limits<int64_t>::min()) return IntegerTooLarge();
    return Value::Int(-value.as_int());
  }
  if (value.kind() == Kind::kFloat) return Value::Float(-value.as_float());
  if (value.is_undefined()) return UndefinedError(value);
  return Failure("bad operand type for unary -: '", TypeName(value), "'");
}

absl::StatusOr<Value> Plus(const Value& value) {
  if (value.is_integral()) return Value::Int(value.as_int());
  if (value.kind() == Kind::kFloat) return value;
  if (value.is_undefined()) return UndefinedError(value);
  return Failure("bad operand type for unary +: '", TypeName(value), "'");
}

}  // namespace llmcore::core::chat
