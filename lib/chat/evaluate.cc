#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/chat/access.h"
#include "lib/chat/arithmetic.h"
#include "lib/chat/compare.h"
#include "lib/chat/interpreter.h"
#include "lib/chat/interpreter_level.h"
#include "lib/chat/python_text.h"

namespace llmcore::core::chat {

using ValueOr = absl::StatusOr<Value>;

ValueOr Interpreter::Evaluate(const Expression& expression) {
  if (expression.kind == ExpressionKind::kConstant) {
    return static_cast<const ConstantExpression&>(expression).value;
  }
  const Level level(this);
  absl::Status status = level.Enter();
  if (status.ok()) {
    ValueOr value = EvaluateKind(expression);
    if (value.ok()) [[likely]]
      return value;
    status = value.status();
  }
  return AtLine(std::move(status), expression.line);
}

ValueOr Interpreter::EvaluateKind(const Expression& expression) {
  switch (expression.kind) {
    case ExpressionKind::kConstant:
      return static_cast<const ConstantExpression&>(expression).value;
    case ExpressionKind::kName:
      return Lookup(static_cast<const NameExpression&>(expression).symbol);
    case ExpressionKind::kList:
    case ExpressionKind::kTuple:
      return EvaluateList(static_cast<const ItemsExpression&>(expression));
    case ExpressionKind::kDict:
      return EvaluateDict(static_cast<const DictExpression&>(expression));
    case ExpressionKind::kNot:
    case ExpressionKind::kNegate:
    case ExpressionKind::kPlus:
      return EvaluateUnary(static_cast<const UnaryExpression&>(expression));
    case ExpressionKind::kBinary:
      return EvaluateBinary(static_cast<const BinaryExpression&>(expression));
    case ExpressionKind::kAnd:
    case ExpressionKind::kOr:
      return EvaluateLogic(static_cast<const ItemsExpression&>(expression));
    case ExpressionKind::kCompare:
      return EvaluateCompare(static_cast<const CompareExpression&>(expression));
    case ExpressionKind::kConcat:
      return EvaluateConcat(static_cast<const ItemsExpression&>(expression));
    case ExpressionKind::kCondition:
      return EvaluateCondition(static_cast<const ConditionExpression&>(expression));
    case ExpressionKind::kAttribute:
      return EvaluateAttribute(static_cast<const AttributeExpression&>(expression));
    case ExpressionKind::kItem:
      return EvaluateItem(static_cast<const ItemExpression&>(expression));
    case ExpressionKind::kSlice:
      return EvaluateSlice(static_cast<const SliceExpression&>(expression));
    case ExpressionKind::kCall:
      return EvaluateCall(static_cast<const CallExpression&>(expression));
    case ExpressionKind::kFilter:
      return EvaluateFilter(static_cast<const FilterExpression&>(expression));
    case ExpressionKind::kTest:
      return EvaluateTest(static_cast<const TestExpression&>(expression));
  }
  return Value();
}

ValueOr Interpreter::EvaluateList(const ItemsExpression& expression) {
  std::vector<Value> items;
  items.reserve(expression.items.size());
  for (const Expression* item : expression.items) {
    LLMCORE_ASSIGN_OR_RETURN(const Value value, Evaluate(*item));
    items.push_back(value);
  }
  return expression.kind == ExpressionKind::kTuple ? runtime_.heap().CopyTuple(items)
                                                   : runtime_.heap().CopyList(items);
}

ValueOr Interpreter::EvaluateDict(const DictExpression& expression) {
  std::vector<DictEntry> entries;
  entries.reserve(expression.entries.size());
  for (const auto& [key_expression, value_expression] : expression.entries) {
    LLMCORE_ASSIGN_OR_RETURN(const Value key, Evaluate(*key_expression));
    LLMCORE_ASSIGN_OR_RETURN(const Value value, Evaluate(*value_expression));
    LLMCORE_RETURN_IF_ERROR(CheckHashable(runtime_, key));
    entries.push_back({key, value});
  }
  return runtime_.heap().MakeDict(entries);
}

ValueOr Interpreter::EvaluateUnary(const UnaryExpression& expression) {
  LLMCORE_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.operand));
  if (expression.kind == ExpressionKind::kNot) return Value::Bool(!IsTrue(value));
  return expression.kind == ExpressionKind::kNegate ? Negate(value) : Plus(value);
}

ValueOr Interpreter::EvaluateBinary(const BinaryExpression& expression) {
  LLMCORE_ASSIGN_OR_RETURN(const Value left, Evaluate(*expression.left));
  LLMCORE_ASSIGN_OR_RETURN(const Value right, Evaluate(*expression.right));
  return Binary(runtime_, expression.operation, left, right);
}

// `and` is its first false operand, `or` its first true one, else the last.
ValueOr Interpreter::EvaluateLogic(const ItemsExpression& expression) {
  const bool stop_at = expression.kind == ExpressionKind::kOr;
  Value value;
  for (const Expression* item : expression.items) {
    LLMCORE_ASSIGN_OR_RETURN(value, Evaluate(*item));
    if (IsTrue(value) == stop_at) break;
  }
  return value;
}

absl::StatusOr<bool> Interpreter::Compare(ComparisonOperator operation, const Value& a,
                                          const Value& b) {
  switch (operation) {
    case ComparisonOperator::kEqual:
      return Equal(runtime_, a, b);
    case ComparisonOperator::kNotEqual: {
      LLMCORE_ASSIGN_OR_RETURN(const bool equal, Equal(runtime_, a, b));
      return !equal;
    }
    case ComparisonOperator::kLess:
      return Ordered(runtime_, Order::kLess, a, b);
    case ComparisonOperator::kLessOrEqual:
      return Ordered(runtime_, Order::kLessOrEqual, a, b);
    case ComparisonOperator::kGreater:
      return Ordered(runtime_, Order::kGreater, a, b);
    case ComparisonOperator::kGreaterOrEqual:
      return Ordered(runtime_, Order::kGreaterOrEqual, a, b);
    case ComparisonOperator::kIn:
      return Contains(runtime_, b, a);
    case ComparisonOperator::kNotIn: {
      LLMCORE_ASSIGN_OR_RETURN(const bool contained, Contains(runtime_, b, a));
      return !contained;
    }
  }
  return false;
}

// a < b < c is (a < b) and (b < c).
ValueOr Interpreter::EvaluateCompare(const CompareExpression& expression) {
  LLMCORE_ASSIGN_OR_RETURN(Value left, Evaluate(*expression.first));
  for (const auto& [operation, operand] : expression.rest) {
    LLMCORE_ASSIGN_OR_RETURN(const Value right, Evaluate(*operand));
    LLMCORE_ASSIGN_OR_RETURN(const bool holds, Compare(operation, left, right));
    if (!holds) return Value::Bool(false);
    left = right;
  }
  return Value::Bool(true);
}

ValueOr Interpreter::EvaluateConcat(const ItemsExpression& expression) {
  std::string joined;
  for (const Expression* item : expression.items) {
    LLMCORE_ASSIGN_OR_RETURN(const Value value, Evaluate(*item));
    LLMCORE_RETURN_IF_ERROR(AppendStr(runtime_, value, &joined));
    LLMCORE_RETURN_IF_ERROR(runtime_.heap().Check(joined.size()));
  }
  return runtime_.heap().CopyString(joined);
}

ValueOr Interpreter::EvaluateCondition(const ConditionExpression& expression) {
  LLMCORE_ASSIGN_OR_RETURN(const Value condition, Evaluate(*expression.condition));
  if (IsTrue(condition)) return Evaluate(*expression.then);
  if (expression.otherwise != nullptr) return Evaluate(*expression.otherwise);
  return runtime_.heap().UndefinedHint(
      "the inline if-expression evaluated to false and no else section was defined.");
}

ValueOr Interpreter::EvaluateAttribute(const AttributeExpression& expression) {
  LLMCORE_ASSIGN_OR_RETURN(const Value object, Evaluate(*expression.object));
  return GetAttribute(runtime_, object, expression.name);
}

ValueOr Interpreter::EvaluateItem(const ItemExpression& expression) {
  LLMCORE_ASSIGN_OR_RETURN(const Value object, Evaluate(*expression.object));
  LLMCORE_ASSIGN_OR_RETURN(const Value key, Evaluate(*expression.key));
  return GetItem(runtime_, object, key);
}

ValueOr Interpreter::EvaluateSlice(const SliceExpression& expression) {
  LLMCORE_ASSIGN_OR_RETURN(const Value object, Evaluate(*expression.object));
  Value bounds[3];
  const Expression* const parts[] = {expression.start, expression.stop, expression.step};
  for (size_t i = 0; i < 3; ++i) {
    if (parts[i] == nullptr) continue;
    LLMCORE_ASSIGN_OR_RETURN(bounds[i], Evaluate(*parts[i]));
  }
  return GetSlice(runtime_, object, bounds[0], bounds[1], bounds[2]);
}

absl::Status Interpreter::EvaluateArguments(const CallArguments& arguments,
                                            ArgumentValues* values) {
  for (const Expression* argument : arguments.positional) {
    LLMCORE_ASSIGN_OR_RETURN(const Value value, Evaluate(*argument));
    values->positional.push_back(value);
  }
  for (const auto& [name, argument] : arguments.named) {
    LLMCORE_ASSIGN_OR_RETURN(const Value value, Evaluate(*argument));
    values->named.emplace_back(name, value);
  }
  if (arguments.star == nullptr && arguments.double_star == nullptr) return absl::OkStatus();
  return SpreadArguments(arguments, values);
}

// f(*list, **dict)
absl::Status Interpreter::SpreadArguments(const CallArguments& arguments, ArgumentValues* values) {
  if (arguments.star != nullptr) {
    LLMCORE_ASSIGN_OR_RETURN(const Value list, Evaluate(*arguments.star));
    std::vector<Value> items;
    LLMCORE_RETURN_IF_ERROR(AppendAll(runtime_, list, &items));
    values->positional.insert(values->positional.end(), items.begin(), items.end());
  }
  if (arguments.double_star != nullptr) {
    LLMCORE_ASSIGN_OR_RETURN(const Value dict, Evaluate(*arguments.double_star));
    if (!dict.is_dict()) return Failure("the argument after ** must be a mapping");
    for (const DictEntry& entry : dict.dict().entries) {
      if (!entry.key.is_string()) return Failure("keywords must be strings");
      for (const auto& [name, unused] : values->named) {
        if (name == entry.key.text()) {
          return Failure("got multiple values for keyword argument '", name, "'");
        }
      }
      LLMCORE_RETURN_IF_ERROR(runtime_.Spend(1 + values->named.size()));
      values->named.emplace_back(entry.key.text(), entry.value);
    }
  }
  return absl::OkStatus();
}

ValueOr Interpreter::EvaluateCall(const CallExpression& expression) {
  LLMCORE_ASSIGN_OR_RETURN(const Value callee, Evaluate(*expression.callee));
  ArgumentValues arguments;
  LLMCORE_RETURN_IF_ERROR(EvaluateArguments(expression.arguments, &arguments));
  return Call(callee, arguments.view());
}

ValueOr Interpreter::EvaluateFilter(const FilterExpression& expression) {
  Value value;
  if (expression.value != nullptr) {
    LLMCORE_ASSIGN_OR_RETURN(value, Evaluate(*expression.value));
  } else {
    value = *filtered_text_;
  }
  if (expression.filter == nullptr)
    return Failure("No filter named '", expression.name, "' found.");
  ArgumentValues arguments;
  LLMCORE_RETURN_IF_ERROR(EvaluateArguments(expression.arguments, &arguments));
  ValueOr result = expression.filter->function(runtime_, value, arguments.view());
  if (result.ok()) return result;
  return Annotate(result.status(), absl::StrCat("filter '", expression.name, "'"));
}

ValueOr Interpreter::EvaluateTest(const TestExpression& expression) {
  LLMCORE_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression.value));
  if (expression.test == nullptr) return Failure("No test named '", expression.name, "' found.");
  ArgumentValues arguments;
  LLMCORE_RETURN_IF_ERROR(EvaluateArguments(expression.arguments, &arguments));
  const absl::StatusOr<bool> holds = expression.test->function(runtime_, value, arguments.view());
  if (holds.ok()) return Value::Bool(*holds);
  return Annotate(holds.status(), absl::StrCat("test '", expression.name, "'"));
}

}  // namespace llmcore::core::chat
