#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/chat/parser.h"

namespace llmcore::core::chat {

using ExpressionOr = absl::StatusOr<const Expression*>;

ExpressionOr Parser::ParseTuple(const TupleOptions& options) {
  const uint32_t line = token().line;
  ExpressionList items;
  bool is_tuple = false;
  const auto at_end = [&] {
    return token().kind == TokenKind::kVariableEnd || token().kind == TokenKind::kBlockEnd ||
           AtOperator(")") || (!options.end_name.empty() && AtName(options.end_name));
  };
  while (!at_end()) {
    LLMCORE_ASSIGN_OR_RETURN(const Expression* item, ParseExpression(options.with_condition));
    items.push_back(item);
    if (!SkipOperator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return items[0];
  if (!is_tuple && !options.in_parentheses) return Fail("an expression is missing");
  auto* tuple = Make<ItemsExpression>(ExpressionKind::kTuple, line);
  for (const Expression* item : items) LLMCORE_RETURN_IF_ERROR(Raise(tuple, item));
  tuple->items = std::move(items);
  return tuple;
}

ExpressionOr Parser::ParseExpression(bool with_condition) {
  const DepthGuard guard(this);
  LLMCORE_RETURN_IF_ERROR(guard.Check());
  const uint32_t line = token().line;
  LLMCORE_ASSIGN_OR_RETURN(const Expression* expression, ParseOr());
  while (with_condition && SkipName("if")) {
    auto* condition = Make<ConditionExpression>(line);
    condition->then = expression;
    LLMCORE_ASSIGN_OR_RETURN(condition->condition, ParseOr());
    if (SkipName("else")) {
      LLMCORE_ASSIGN_OR_RETURN(condition->otherwise, ParseExpression());
    }
    LLMCORE_RETURN_IF_ERROR(Raise(condition, condition->condition));
    LLMCORE_RETURN_IF_ERROR(Raise(condition, condition->then));
    LLMCORE_RETURN_IF_ERROR(Raise(condition, condition->otherwise));
    expression = condition;
  }
  return expression;
}

ExpressionOr Parser::ParseOr() {
  const uint32_t line = token().line;
  LLMCORE_ASSIGN_OR_RETURN(const Expression* first, ParseAnd());
  if (!AtName("or")) return first;
  auto* chain = Make<ItemsExpression>(ExpressionKind::kOr, line);
  chain->items.push_back(first);
  while (SkipName("or")) {
    LLMCORE_ASSIGN_OR_RETURN(const Expression* next, ParseAnd());
    chain->items.push_back(next);
  }
  for (const Expression* item : chain->items) LLMCORE_RETURN_IF_ERROR(Raise(chain, item));
  return chain;
}

ExpressionOr Parser::ParseAnd() {
  const uint32_t line = token().line;
  LLMCORE_ASSIGN_OR_RETURN(const Expression* first, ParseNot());
  if (!AtName("and")) return first;
  auto* chain = Make<ItemsExpression>(ExpressionKind::kAnd, line);
  chain->items.push_back(first);
  while (SkipName("and")) {
    LLMCORE_ASSIGN_OR_RETURN(const Expression* next, ParseNot());
    chain->items.push_back(next);
  }
  for (const Expression* item : chain->items) LLMCORE_RETURN_IF_ERROR(Raise(chain, item));
  return chain;
}

ExpressionOr Parser::ParseNot() {
  if (!AtName("not")) return ParseComparison();
  const DepthGuard guard(this);
  LLMCORE_RETURN_IF_ERROR(guard.Check());
  const uint32_t line = Take().line;
  LLMCORE_ASSIGN_OR_RETURN(const Expression* operand, ParseNot());
  auto* negation = Make<UnaryExpression>(ExpressionKind::kNot, line, operand);
  LLMCORE_RETURN_IF_ERROR(Raise(negation, operand));
  return negation;
}

ExpressionOr Parser::ParseComparison() {
  constexpr std::pair<absl::string_view, ComparisonOperator> kOperators[] = {
      {"==", ComparisonOperator::kEqual},       {"!=", ComparisonOperator::kNotEqual},
      {"<=", ComparisonOperator::kLessOrEqual}, {">=", ComparisonOperator::kGreaterOrEqual},
      {"<", ComparisonOperator::kLess},         {">", ComparisonOperator::kGreater}};
  const uint32_t line = token().line;
  LLMCORE_ASSIGN_OR_RETURN(const Expression* first, ParseSum());
  CompareExpression* comparison = nullptr;
  for (;;) {
    ComparisonOperator operation = ComparisonOperator::kIn;
    const auto* const found =
        std::find_if(std::begin(kOperators), std::end(kOperators),
                     [this](const auto& entry) { return AtOperator(entry.first); });
    if (found != std::end(kOperators)) {
      operation = found->second;
      Take();
    } else if (AtName("not") && PeekToken().kind == TokenKind::kName && PeekToken().text == "in") {
      operation = ComparisonOperator::kNotIn;
      Take();
      Take();
    } else if (!SkipName("in")) {
      break;
    }
    if (comparison == nullptr) {
      comparison = Make<CompareExpression>(line);
      comparison->first = first;
      LLMCORE_RETURN_IF_ERROR(Raise(comparison, first));
    }
    LLMCORE_ASSIGN_OR_RETURN(const Expression* next, ParseSum());
    LLMCORE_RETURN_IF_ERROR(Raise(comparison, next));
    comparison->rest.emplace_back(operation, next);
  }
  return comparison == nullptr ? ExpressionOr(first) : ExpressionOr(comparison);
}

ExpressionOr Parser::MakeBinary(BinaryOperator operation, const Expression* left,
                                const Expression* right, uint32_t line) {
  auto* binary = Make<BinaryExpression>(line, operation, left, right);
  LLMCORE_RETURN_IF_ERROR(Raise(binary, left));
  LLMCORE_RETURN_IF_ERROR(Raise(binary, right));
  return binary;
}

ExpressionOr Parser::ParseSum() {
  LLMCORE_ASSIGN_OR_RETURN(const Expression* left, ParseConcat());
  while (AtOperator("+") || AtOperator("-")) {
    const Token& sign = Take();
    LLMCORE_ASSIGN_OR_RETURN(const Expression* right, ParseConcat());
    LLMCORE_ASSIGN_OR_RETURN(
        left, MakeBinary(sign.text == "+" ? BinaryOperator::kAdd : BinaryOperator::kSubtract, left,
                         right, sign.line));
  }
  return left;
}

ExpressionOr Parser::ParseConcat() {
  const uint32_t line = token().line;
  LLMCORE_ASSIGN_OR_RETURN(const Expression* first, ParseProduct());
  if (!AtOperator("~")) return first;
  auto* concat = Make<ItemsExpression>(ExpressionKind::kConcat, line);
  concat->items.push_back(first);
  while (SkipOperator("~")) {
    LLMCORE_ASSIGN_OR_RETURN(const Expression* next, ParseProduct());
    concat->items.push_back(next);
  }
  for (const Expression* item : concat->items) LLMCORE_RETURN_IF_ERROR(Raise(concat, item));
  return concat;
}

ExpressionOr Parser::ParseProduct() {
  constexpr std::pair<absl::string_view, BinaryOperator> kOperators[] = {
      {"*", BinaryOperator::kMultiply},
      {"/", BinaryOperator::kDivide},
      {"//", BinaryOperator::kFloorDivide},
      {"%", BinaryOperator::kModulo}};
  LLMCORE_ASSIGN_OR_RETURN(const Expression* left, ParsePower());
  for (;;) {
    const auto* const found =
        std::find_if(std::begin(kOperators), std::end(kOperators),
                     [this](const auto& entry) { return AtOperator(entry.first); });
    if (found == std::end(kOperators)) return left;
    const uint32_t line = Take().line;
    LLMCORE_ASSIGN_OR_RETURN(const Expression* right, ParsePower());
    LLMCORE_ASSIGN_OR_RETURN(left, MakeBinary(found->second, left, right, line));
  }
}

// Jinja2's power groups to the left, unlike Python's.
ExpressionOr Parser::ParsePower() {
  LLMCORE_ASSIGN_OR_RETURN(const Expression* left, ParseUnary(/*with_filters=*/true));
  while (AtOperator("**")) {
    const uint32_t line = Take().line;
    LLMCORE_ASSIGN_OR_RETURN(const Expression* right, ParseUnary(/*with_filters=*/true));
    LLMCORE_ASSIGN_OR_RETURN(left, MakeBinary(BinaryOperator::kPower, left, right, line));
  }
  return left;
}

ExpressionOr Parser::ParseUnary(bool with_filters) {
  const DepthGuard guard(this);
  LLMCORE_RETURN_IF_ERROR(guard.Check());
  const Expression* expression = nullptr;
  if (AtOperator("-") || AtOperator("+")) {
    const Token& sign = Take();
    LLMCORE_ASSIGN_OR_RETURN(const Expression* operand, ParseUnary(/*with_filters=*/false));
    auto* unary = Make<UnaryExpression>(
        sign.text == "-" ? ExpressionKind::kNegate : ExpressionKind::kPlus, sign.line, operand);
    LLMCORE_RETURN_IF_ERROR(Raise(unary, operand));
    expression = unary;
  } else {
    LLMCORE_ASSIGN_OR_RETURN(expression, ParsePrimary());
  }
  LLMCORE_ASSIGN_OR_RETURN(expression, ParsePostfix(expression));
  return with_filters ? ParseFilters(expression) : ExpressionOr(expression);
}

ExpressionOr Parser::ParsePrimary() {
  const Token& first = token();
  switch (first.kind) {
    case TokenKind::kName: {
      Take();
      const absl::string_view name = first.text;
      if (name == "true" || name == "True" || name == "false" || name == "False") {
        return Make<ConstantExpression>(first.line, Value::Bool(name[0] == 't' || name[0] == 'T'));
      }
      if (name == "none" || name == "None") {
        return Make<ConstantExpression>(first.line, Value::None());
      }
      return Make<NameExpression>(first.line, Mention(name));
    }
    case TokenKind::kString:
      return ParseStringLiteral();
    case TokenKind::kInteger:
      return Make<ConstantExpression>(first.line, Value::Int(Take().integer));
    case TokenKind::kFloat:
      return Make<ConstantExpression>(first.line, Value::Float(Take().number));
    default:
      break;
  }
  if (AtOperator("[")) return ParseList();
  if (AtOperator("{")) return ParseDict();
  if (!SkipOperator("(")) return Unexpected();
  TupleOptions options;
  options.in_parentheses = true;
  LLMCORE_ASSIGN_OR_RETURN(const Expression* inside, ParseTuple(options));
  LLMCORE_RETURN_IF_ERROR(ExpectOperator(")"));
  return inside;
}

// Literals that follow each other are one.
ExpressionOr Parser::ParseStringLiteral() {
  const Token& first = Take();
  absl::string_view text = first.text;
  if (token().kind == TokenKind::kString) {
    std::string joined(text);
    while (token().kind == TokenKind::kString) absl::StrAppend(&joined, Take().text);
    text = template_.strings.emplace_back(std::move(joined));
  }
  return Make<ConstantExpression>(first.line, Value::String(text));
}

ExpressionOr Parser::ParseList() {
  auto* list = Make<ItemsExpression>(ExpressionKind::kList, Take().line);
  while (!AtOperator("]")) {
    LLMCORE_ASSIGN_OR_RETURN(const Expression* item, ParseExpression());
    LLMCORE_RETURN_IF_ERROR(Raise(list, item));
    list->items.push_back(item);
    if (!SkipOperator(",")) break;
  }
  LLMCORE_RETURN_IF_ERROR(ExpectOperator("]"));
  return list;
}

ExpressionOr Parser::ParseDict() {
  auto* dict = Make<DictExpression>(Take().line);
  while (!AtOperator("}")) {
    LLMCORE_ASSIGN_OR_RETURN(const Expression* key, ParseExpression());
    LLMCORE_RETURN_IF_ERROR(ExpectOperator(":"));
    LLMCORE_ASSIGN_OR_RETURN(const Expression* value, ParseExpression());
    LLMCORE_RETURN_IF_ERROR(Raise(dict, key));
    LLMCORE_RETURN_IF_ERROR(Raise(dict, value));
    dict->entries.emplace_back(key, value);
    if (!SkipOperator(",")) break;
  }
  LLMCORE_RETURN_IF_ERROR(ExpectOperator("}"));
  return dict;
}

ExpressionOr Parser::ParsePostfix(const Expression* expression) {
  for (;;) {
    if (AtOperator(".") || AtOperator("[")) {
      LLMCORE_ASSIGN_OR_RETURN(expression, ParseSubscript(expression));
    } else if (AtOperator("(")) {
      LLMCORE_ASSIGN_OR_RETURN(expression, ParseCall(expression));
    } else {
      return expression;
    }
  }
}

ExpressionOr Parser::ParseFilters(const Expression* expression) {
  for (;;) {
    if (SkipOperator("|")) {
      LLMCORE_ASSIGN_OR_RETURN(expression, ParseFilter(expression));
    } else if (SkipName("is")) {
      LLMCORE_ASSIGN_OR_RETURN(expression, ParseTest(expression));
    } else if (AtOperator("(")) {
      LLMCORE_ASSIGN_OR_RETURN(expression, ParseCall(expression));
    } else {
      return expression;
    }
  }
}

absl::StatusOr<std::string> Parser::ParseDottedName() {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view first, TakeName());
  std::string name(first);
  while (SkipOperator(".")) {
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view part, TakeName());
    absl::StrAppend(&name, ".", part);
  }
  return name;
}

// After the "|".
ExpressionOr Parser::ParseFilter(const Expression* value) {
  auto* filter = Make<FilterExpression>(token().line);
  filter->value = value;
  LLMCORE_ASSIGN_OR_RETURN(std::string name, ParseDottedName());
  filter->name = template_.strings.emplace_back(std::move(name));
  filter->filter = FindFilter(filter->name);
  if (AtOperator("(")) LLMCORE_RETURN_IF_ERROR(ParseArguments(&filter->arguments));
  LLMCORE_RETURN_IF_ERROR(Raise(filter, value));
  LLMCORE_RETURN_IF_ERROR(Raise(filter, filter->arguments));
  return filter;
}

// After the "is".
ExpressionOr Parser::ParseTest(const Expression* value) {
  const uint32_t line = token().line;
  const bool negated = SkipName("not");
  auto* test = Make<TestExpression>(line);
  test->value = value;
  LLMCORE_ASSIGN_OR_RETURN(std::string name, ParseDottedName());
  test->name = template_.strings.emplace_back(std::move(name));
  test->test = FindTest(test->name);
  const bool at_value = token().kind == TokenKind::kName || token().kind == TokenKind::kString ||
                        token().kind == TokenKind::kInteger || token().kind == TokenKind::kFloat ||
                        AtOperator("[") || AtOperator("{");
  if (AtOperator("(")) {
    LLMCORE_RETURN_IF_ERROR(ParseArguments(&test->arguments));
  } else if (at_value && !AtName("else") && !AtName("or") && !AtName("and")) {
    if (AtName("is")) return Fail("tests cannot be chained with 'is'");
    LLMCORE_ASSIGN_OR_RETURN(const Expression* argument, ParsePrimary());
    LLMCORE_ASSIGN_OR_RETURN(argument, ParsePostfix(argument));
    test->arguments.positional.push_back(argument);
  }
  LLMCORE_RETURN_IF_ERROR(Raise(test, value));
  LLMCORE_RETURN_IF_ERROR(Raise(test, test->arguments));
  if (!negated) return test;
  auto* negation = Make<UnaryExpression>(ExpressionKind::kNot, line, test);
  LLMCORE_RETURN_IF_ERROR(Raise(negation, test));
  return negation;
}

ExpressionOr Parser::ParseSubscript(const Expression* object) {
  const uint32_t line = token().line;
  if (SkipOperator(".")) {
    Expression* result = nullptr;
    if (token().kind == TokenKind::kInteger) {
      const auto* index = Make<ConstantExpression>(line, Value::Int(Take().integer));
      result = Make<ItemExpression>(line, object, index);
    } else {
      LLMCORE_ASSIGN_OR_RETURN(const absl::string_view name, TakeName());
      result = Make<AttributeExpression>(line, object, name);
    }
    LLMCORE_RETURN_IF_ERROR(Raise(result, object));
    return result;
  }
  Take();  // [
  const Expression* first = nullptr;
  if (!AtOperator(":")) {
    LLMCORE_ASSIGN_OR_RETURN(first, ParseExpression());
    if (!AtOperator(":")) {
      if (AtOperator(",")) return Fail("an index with several parts is not supported");
      LLMCORE_RETURN_IF_ERROR(ExpectOperator("]"));
      auto* item = Make<ItemExpression>(line, object, first);
      LLMCORE_RETURN_IF_ERROR(Raise(item, object));
      LLMCORE_RETURN_IF_ERROR(Raise(item, first));
      return item;
    }
  }
  auto* slice = Make<SliceExpression>(line);
  slice->object = object;
  slice->start = first;
  Take();  // :
  if (!AtOperator(":") && !AtOperator("]")) {
    LLMCORE_ASSIGN_OR_RETURN(slice->stop, ParseExpression());
  }
  if (SkipOperator(":") && !AtOperator("]")) {
    LLMCORE_ASSIGN_OR_RETURN(slice->step, ParseExpression());
  }
  LLMCORE_RETURN_IF_ERROR(ExpectOperator("]"));
  for (const Expression* part : {object, slice->start, slice->stop, slice->step}) {
    LLMCORE_RETURN_IF_ERROR(Raise(slice, part));
  }
  return slice;
}

ExpressionOr Parser::ParseCall(const Expression* callee) {
  auto* call = Make<CallExpression>(token().line, callee);
  LLMCORE_RETURN_IF_ERROR(ParseArguments(&call->arguments));
  LLMCORE_RETURN_IF_ERROR(Raise(call, callee));
  LLMCORE_RETURN_IF_ERROR(Raise(call, call->arguments));
  return call;
}

absl::Status Parser::ParseArguments(CallArguments* arguments) {
  LLMCORE_RETURN_IF_ERROR(ExpectOperator("("));
  while (!AtOperator(")")) {
    if (SkipOperator("*")) {
      if (arguments->star != nullptr || arguments->double_star != nullptr) return Unexpected();
      LLMCORE_ASSIGN_OR_RETURN(arguments->star, ParseExpression());
    } else if (SkipOperator("**")) {
      if (arguments->double_star != nullptr) return Unexpected();
      LLMCORE_ASSIGN_OR_RETURN(arguments->double_star, ParseExpression());
    } else if (token().kind == TokenKind::kName && PeekToken().kind == TokenKind::kOperator &&
               PeekToken().text == "=") {
      if (arguments->double_star != nullptr) return Unexpected();
      const absl::string_view name = Take().text;
      Take();
      LLMCORE_ASSIGN_OR_RETURN(const Expression* value, ParseExpression());
      for (const auto& [other, unused] : arguments->named) {
        if (other == name) return Fail(absl::StrCat("the argument '", name, "' is given twice"));
      }
      arguments->named.emplace_back(name, value);
    } else {
      if (arguments->star != nullptr || arguments->double_star != nullptr ||
          !arguments->named.empty()) {
        return Fail("an argument without a name follows one with a name");
      }
      LLMCORE_ASSIGN_OR_RETURN(const Expression* value, ParseExpression());
      arguments->positional.push_back(value);
    }
    if (!SkipOperator(",")) break;
  }
  return ExpectOperator(")");
}

}  // namespace llmcore::core::chat
