// The syntax tree of a template. Nodes belong to the Template in one flat list, so that a tree of
// any shape is freed without recursion; its height is limited by the parser.
#ifndef LLMCORE_LIB_CHAT_AST_H_
#define LLMCORE_LIB_CHAT_AST_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/chat/builtins.h"
#include "lib/chat/chat_template.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

using SymbolId = uint32_t;  // index into Template::symbols

struct Node {
  explicit Node(uint32_t node_line) : line(node_line) {}
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  virtual ~Node() = default;

  const uint32_t line;
  uint32_t height = 1;  // levels of the tree below and with this node
};

enum class ExpressionKind : uint8_t {
  kConstant,
  kName,
  kList,
  kTuple,
  kDict,
  kNot,
  kNegate,
  kPlus,
  kBinary,
  kAnd,
  kOr,
  kCompare,
  kConcat,
  kCondition,
  kAttribute,
  kItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
};

struct Expression : Node {
  Expression(ExpressionKind expression_kind, uint32_t node_line)
      : Node(node_line), kind(expression_kind) {}
  const ExpressionKind kind;
};
using ExpressionList = std::vector<const Expression*>;

struct ConstantExpression : Expression {
  ConstantExpression(uint32_t node_line, Value constant)
      : Expression(ExpressionKind::kConstant, node_line), value(constant) {}
  Value value;
};

struct NameExpression : Expression {
  NameExpression(uint32_t node_line, SymbolId id)
      : Expression(ExpressionKind::kName, node_line), symbol(id) {}
  SymbolId symbol;
};

// kList, kTuple, kConcat (`~`), kAnd, kOr: two or more operands of one kind in a row.
struct ItemsExpression : Expression {
  using Expression::Expression;
  ExpressionList items;
};

struct DictExpression : Expression {
  explicit DictExpression(uint32_t node_line) : Expression(ExpressionKind::kDict, node_line) {}
  std::vector<std::pair<const Expression*, const Expression*>> entries;
};

// kNot, kNegate, kPlus.
struct UnaryExpression : Expression {
  UnaryExpression(ExpressionKind expression_kind, uint32_t node_line, const Expression* value)
      : Expression(expression_kind, node_line), operand(value) {}
  const Expression* operand;
};

enum class BinaryOperator : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
};

struct BinaryExpression : Expression {
  BinaryExpression(uint32_t node_line, BinaryOperator op, const Expression* a, const Expression* b)
      : Expression(ExpressionKind::kBinary, node_line), operation(op), left(a), right(b) {}
  BinaryOperator operation;
  const Expression* left;
  const Expression* right;
};

enum class ComparisonOperator : uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
  kIn,
  kNotIn,
};

struct CompareExpression : Expression {
  explicit CompareExpression(uint32_t node_line)
      : Expression(ExpressionKind::kCompare, node_line) {}
  const Expression* first = nullptr;
  std::vector<std::pair<ComparisonOperator, const Expression*>> rest;
};

struct ConditionExpression : Expression {
  explicit ConditionExpression(uint32_t node_line)
      : Expression(ExpressionKind::kCondition, node_line) {}
  const Expression* condition = nullptr;
  const Expression* then = nullptr;
  const Expression* otherwise = nullptr;  // NULL: undefined
};

struct AttributeExpression : Expression {
  AttributeExpression(uint32_t node_line, const Expression* of, absl::string_view attribute)
      : Expression(ExpressionKind::kAttribute, node_line), object(of), name(attribute) {}
  const Expression* object;
  absl::string_view name;
};

struct ItemExpression : Expression {
  ItemExpression(uint32_t node_line, const Expression* of, const Expression* index)
      : Expression(ExpressionKind::kItem, node_line), object(of), key(index) {}
  const Expression* object;
  const Expression* key;
};

struct SliceExpression : Expression {
  explicit SliceExpression(uint32_t node_line) : Expression(ExpressionKind::kSlice, node_line) {}
  const Expression* object = nullptr;
  const Expression* start = nullptr;  // NULL: left out
  const Expression* stop = nullptr;
  const Expression* step = nullptr;
};

struct CallArguments {
  ExpressionList positional;
  std::vector<std::pair<absl::string_view, const Expression*>> named;
  const Expression* star = nullptr;         // *list
  const Expression* double_star = nullptr;  // **dict
};

struct CallExpression : Expression {
  CallExpression(uint32_t node_line, const Expression* function)
      : Expression(ExpressionKind::kCall, node_line), callee(function) {}
  const Expression* callee;
  CallArguments arguments;
};

struct FilterExpression : Expression {
  explicit FilterExpression(uint32_t node_line) : Expression(ExpressionKind::kFilter, node_line) {}
  const Expression* value = nullptr;  // NULL: the text of the block that is filtered
  absl::string_view name;
  const NamedFilter* filter = nullptr;  // NULL: there is none; an error when it is reached
  CallArguments arguments;
};

struct TestExpression : Expression {
  explicit TestExpression(uint32_t node_line) : Expression(ExpressionKind::kTest, node_line) {}
  const Expression* value = nullptr;
  absl::string_view name;
  const NamedTest* test = nullptr;  // NULL: as above
  CallArguments arguments;
};

enum class StatementKind : uint8_t {
  kText,
  kOutput,
  kIf,
  kFor,
  kSet,
  kSetBlock,
  kWith,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kGeneration,
  kBreak,
  kContinue,
};

struct Statement : Node {
  Statement(StatementKind statement_kind, uint32_t node_line)
      : Node(node_line), kind(statement_kind) {}
  const StatementKind kind;
};
using Body = std::vector<const Statement*>;

// What a value is assigned to: a name, `namespace.name`, or several in a tuple.
struct Target {
  enum class Kind : uint8_t { kName, kMember, kTuple };
  Kind kind = Kind::kName;
  SymbolId symbol = 0;
  absl::string_view member;
  std::vector<Target> items;
};

struct TextStatement : Statement {
  TextStatement(uint32_t node_line, absl::string_view data)
      : Statement(StatementKind::kText, node_line), text(data) {}
  absl::string_view text;
};

struct OutputStatement : Statement {
  OutputStatement(uint32_t node_line, const Expression* expression)
      : Statement(StatementKind::kOutput, node_line), value(expression) {}
  const Expression* value;
};

struct IfStatement : Statement {
  explicit IfStatement(uint32_t node_line) : Statement(StatementKind::kIf, node_line) {}
  struct Branch {
    const Expression* condition;
    Body body;
  };
  std::vector<Branch> branches;
  Body otherwise;
};

struct ForStatement : Statement {
  explicit ForStatement(uint32_t node_line) : Statement(StatementKind::kFor, node_line) {}
  Target target;
  const Expression* iterable = nullptr;
  const Expression* filter = nullptr;  // NULL: every item
  bool recursive = false;
  bool uses_loop = false;  // its body mentions `loop`
  Body body;
  Body otherwise;
};

struct SetStatement : Statement {
  explicit SetStatement(uint32_t node_line) : Statement(StatementKind::kSet, node_line) {}
  Target target;
  const Expression* value = nullptr;
};

struct SetBlockStatement : Statement {
  explicit SetBlockStatement(uint32_t node_line) : Statement(StatementKind::kSetBlock, node_line) {}
  Target target;
  const Expression* filter = nullptr;  // NULL: the text as it is
  Body body;
};

struct WithStatement : Statement {
  explicit WithStatement(uint32_t node_line) : Statement(StatementKind::kWith, node_line) {}
  std::vector<std::pair<Target, const Expression*>> assignments;
  Body body;
};

// A macro, or the body of a call block.
struct MacroDefinition {
  absl::string_view name;
  struct Parameter {
    SymbolId symbol;
    absl::string_view name;
    const Expression* fallback;  // NULL: none
  };
  std::vector<Parameter> parameters;
  bool uses_caller = false;  // its body mentions the name
  bool uses_kwargs = false;
  bool uses_varargs = false;
  Body body;
};

struct MacroStatement : Statement {
  explicit MacroStatement(uint32_t node_line) : Statement(StatementKind::kMacro, node_line) {}
  SymbolId symbol = 0;
  MacroDefinition definition;
};

struct CallBlockStatement : Statement {
  explicit CallBlockStatement(uint32_t node_line)
      : Statement(StatementKind::kCallBlock, node_line) {}
  const CallExpression* call = nullptr;
  MacroDefinition caller;
};

struct FilterBlockStatement : Statement {
  explicit FilterBlockStatement(uint32_t node_line)
      : Statement(StatementKind::kFilterBlock, node_line) {}
  const Expression* filter = nullptr;
  Body body;
};

// {% generation %}: marks what the assistant said; for rendering only a scope.
struct GenerationStatement : Statement {
  explicit GenerationStatement(uint32_t node_line)
      : Statement(StatementKind::kGeneration, node_line) {}
  Body body;
};

// A parsed template. Everything that the nodes borrow is in here.
class Template {
 public:
  Template(std::string normalized_source, const TemplateLimits& template_limits)
      : source(std::move(normalized_source)), limits(template_limits) {}
  Template(const Template&) = delete;
  Template& operator=(const Template&) = delete;

  const std::string source;
  const TemplateLimits limits;
  std::deque<std::string> strings;         // decoded literals
  std::vector<absl::string_view> symbols;  // distinct variable names
  std::vector<std::unique_ptr<Node>> nodes;
  Body body;
  // Names that the interpreter binds itself.
  SymbolId loop_symbol = 0;
  SymbolId caller_symbol = 0;
  SymbolId kwargs_symbol = 0;
  SymbolId varargs_symbol = 0;
};

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_AST_H_
