// Tests: `value is name(arguments)`.
#include <algorithm>

#include "lib/base/utf8.h"
#include "lib/chat/access.h"
#include "lib/chat/arithmetic.h"
#include "lib/chat/builtins.h"
#include "lib/chat/compare.h"
#include "lib/chat/python_text.h"
#include "lib/chat/unicode_text.h"

namespace llmcore::core::chat {
namespace {

using BoolOr = absl::StatusOr<bool>;

template <bool (*kPredicate)(const Value&)>
BoolOr Plain(Runtime&, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  return kPredicate(value);
}

bool IsDefined(const Value& value) {
  return !value.is_undefined();
}
bool IsUndefined(const Value& value) {
  return value.is_undefined();
}
bool IsNone(const Value& value) {
  return value.is_none();
}
bool IsBoolean(const Value& value) {
  return value.kind() == Kind::kBool;
}
bool IsTrueConstant(const Value& value) {
  return IsBoolean(value) && value.as_bool();
}
bool IsFalseConstant(const Value& value) {
  return IsBoolean(value) && !value.as_bool();
}
bool IsInteger(const Value& value) {
  return value.is_int();
}
bool IsFloat(const Value& value) {
  return value.kind() == Kind::kFloat;
}
bool IsNumber(const Value& value) {
  return value.is_number();
}
bool IsString(const Value& value) {
  return value.is_string();
}
bool IsMapping(const Value& value) {
  return value.is_dict();
}
bool IsEscaped(const Value& value) {
  return value.is_string() && value.is_markup();
}

bool IsIterable(const Value& value) {
  return value.kind() == Kind::kLoop || ItemSource().Open(value).ok();
}

bool IsCallable(const Value& value) {
  switch (value.kind()) {
    case Kind::kFunction:
    case Kind::kMacro:
    case Kind::kJoiner:
    case Kind::kLoop:
    case Kind::kUndefined:  // Python finds Undefined.__call__
      return true;
    default:
      return false;
  }
}

BoolOr IsSequence(Runtime&, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  return IsSequenceLike(value);
}

BoolOr Remainder(Runtime& runtime, const Value& value, const Value& divisor, int64_t wanted) {
  LLMCORE_ASSIGN_OR_RETURN(const Value rest,
                           Binary(runtime, BinaryOperator::kModulo, value, divisor));
  return Equal(runtime, rest, Value::Int(wanted));
}

BoolOr IsOdd(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  return Remainder(runtime, value, Value::Int(2), 1);
}

BoolOr IsEven(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  return Remainder(runtime, value, Value::Int(2), 0);
}

BoolOr IsDivisibleBy(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"num"}, 1));
  return Remainder(runtime, value, *bound[0], 0);
}

// Every letter that has case has this one, and there is one.
BoolOr HasCase(Runtime& runtime, const Value& value, const Arguments& arguments, bool upper) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  LLMCORE_ASSIGN_OR_RETURN(const Value text, ToStr(runtime, value));
  LLMCORE_RETURN_IF_ERROR(runtime.Spend(text.text().size() / 8));
  return HasOnlyCase(text.text(), upper);
}

BoolOr IsLower(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return HasCase(runtime, value, arguments, /*upper=*/false);
}

BoolOr IsUpper(Runtime& runtime, const Value& value, const Arguments& arguments) {
  return HasCase(runtime, value, arguments, /*upper=*/true);
}

BoolOr IsSameAs(Runtime&, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"other"}, 1));
  return value.IsSame(*bound[0]);
}

BoolOr IsIn(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"seq"}, 1));
  return Contains(runtime, *bound[0], value);
}

BoolOr IsEqual(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"other"}, 1));
  return Equal(runtime, value, *bound[0]);
}

BoolOr IsNotEqual(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const bool equal, IsEqual(runtime, value, arguments));
  return !equal;
}

template <Order kOrder>
BoolOr IsOrdered(Runtime& runtime, const Value& value, const Arguments& arguments) {
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"other"}, 1));
  return Ordered(runtime, kOrder, value, *bound[0]);
}

BoolOr IsFilter(Runtime&, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  return value.is_string() && FindFilter(value.text()) != nullptr;
}

BoolOr IsTest(Runtime&, const Value& value, const Arguments& arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
  return value.is_string() && FindTest(value.text()) != nullptr;
}

constexpr NamedTest kTests[] = {
    {"!=", IsNotEqual},
    {"<", IsOrdered<Order::kLess>},
    {"<=", IsOrdered<Order::kLessOrEqual>},
    {"==", IsEqual},
    {">", IsOrdered<Order::kGreater>},
    {">=", IsOrdered<Order::kGreaterOrEqual>},
    {"boolean", Plain<IsBoolean>},
    {"callable", Plain<IsCallable>},
    {"defined", Plain<IsDefined>},
    {"divisibleby", IsDivisibleBy},
    {"eq", IsEqual},
    {"equalto", IsEqual},
    {"escaped", Plain<IsEscaped>},
    {"even", IsEven},
    {"false", Plain<IsFalseConstant>},
    {"filter", IsFilter},
    {"float", Plain<IsFloat>},
    {"ge", IsOrdered<Order::kGreaterOrEqual>},
    {"greaterthan", IsOrdered<Order::kGreater>},
    {"gt", IsOrdered<Order::kGreater>},
    {"in", IsIn},
    {"integer", Plain<IsInteger>},
    {"iterable", Plain<IsIterable>},
    {"le", IsOrdered<Order::kLessOrEqual>},
    {"lessthan", IsOrdered<Order::kLess>},
    {"lower", IsLower},
    {"lt", IsOrdered<Order::kLess>},
    {"mapping", Plain<IsMapping>},
    {"ne", IsNotEqual},
    {"none", Plain<IsNone>},
    {"number", Plain<IsNumber>},
    {"odd", IsOdd},
    {"sameas", IsSameAs},
    {"sequence", IsSequence},
    {"string", Plain<IsString>},
    {"test", IsTest},
    {"true", Plain<IsTrueConstant>},
    {"undefined", Plain<IsUndefined>},
    {"upper", IsUpper},
};

}  // namespace

const NamedTest* FindTest(absl::string_view name) {
  const auto* const found = std::find_if(std::begin(kTests), std::end(kTests),
                                         [name](const NamedTest& t) { return t.name == name; });
  return found == std::end(kTests) ? nullptr : found;
}

}  // namespace llmcore::core::chat
