// Tokens -> syntax tree: the grammar of Jinja2 without template inheritance and inclusion.
#ifndef LLMCORE_LIB_CHAT_PARSER_H_
#define LLMCORE_LIB_CHAT_PARSER_H_

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/hash_map.h"
#include "lib/base/status.h"
#include "lib/chat/ast.h"
#include "lib/chat/lexer.h"

namespace llmcore::core::chat {

absl::StatusOr<std::shared_ptr<const Template>> ParseTemplate(absl::string_view source,
                                                              const TemplateLimits& limits);

// Builds the tree into a Template. Statements are in statement_parser.cc, expressions in
// expression_parser.cc.
class Parser {
 public:
  explicit Parser(Template* result) : template_(*result) {}

  absl::Status Run();

 private:
  using ExpressionOr = absl::StatusOr<const Expression*>;
  using StatementOr = absl::StatusOr<const Statement*>;
  template <typename T>
  using NodeOr = absl::StatusOr<T*>;
  class DepthGuard;
  struct TupleOptions {
    bool with_condition = true;   // `a if b else c` may stand in it
    bool in_parentheses = false;  // may be empty
    absl::string_view end_name;   // ends it too
  };

  // Tokens.
  const Token& token() const { return tokens_[next_]; }
  const Token& PeekToken() const { return tokens_[std::min(next_ + 1, tokens_.size() - 1)]; }
  const Token& Take() { return tokens_[next_ + 1 < tokens_.size() ? next_++ : next_]; }
  bool AtOperator(absl::string_view text) const;
  bool AtName(absl::string_view text) const;
  bool SkipOperator(absl::string_view text);
  bool SkipName(absl::string_view text);
  absl::Status ExpectOperator(absl::string_view text);
  absl::Status ExpectName(absl::string_view text);
  absl::Status ExpectBlockEnd();
  absl::StatusOr<absl::string_view> TakeName();
  absl::Status Fail(absl::string_view message) const { return SyntaxError(token().line, message); }
  absl::Status Unexpected() const;

  // Nodes.
  template <typename T, typename... Args>
  T* Make(Args&&... args) {
    auto node = std::make_unique<T>(std::forward<Args>(args)...);
    T* const pointer = node.get();
    template_.nodes.push_back(std::move(node));
    return pointer;
  }
  // Makes `node` at least one higher than `child`, which may be NULL.
  absl::Status Raise(Node* node, const Node* child) const;
  absl::Status Raise(Node* node, const Body& body) const;
  absl::Status Raise(Node* node, const CallArguments& arguments) const;
  SymbolId Symbol(absl::string_view name);
  SymbolId Mention(absl::string_view name);  // a name that is read

  // Statements.
  absl::StatusOr<Body> ParseBody(std::initializer_list<absl::string_view> end_names);
  StatementOr ParseStatement();
  StatementOr ParseIf();
  StatementOr ParseFor();
  StatementOr ParseSet();
  StatementOr ParseWith();
  StatementOr ParseMacro();
  StatementOr ParseCallBlock();
  StatementOr ParseFilterBlock();
  StatementOr ParseGeneration();
  StatementOr ParseLoopControl(StatementKind kind);
  absl::StatusOr<Target> ParseTarget(bool with_members);
  absl::StatusOr<Target> ParseSingleTarget(bool with_members);
  absl::Status ParseParameters(Node* node, MacroDefinition* macro);
  absl::Status ParseMacroBody(Node* node, absl::string_view end_name, MacroDefinition* macro);
  absl::StatusOr<Body> ParseBlock(Node* node, std::initializer_list<absl::string_view> end_names);

  // Expressions, loosest first.
  ExpressionOr ParseTuple(const TupleOptions& options);
  ExpressionOr ParseExpression(bool with_condition = true);
  ExpressionOr ParseOr();
  ExpressionOr ParseAnd();
  ExpressionOr ParseNot();
  ExpressionOr ParseComparison();
  ExpressionOr ParseSum();
  ExpressionOr ParseConcat();
  ExpressionOr ParseProduct();
  ExpressionOr ParsePower();
  ExpressionOr ParseUnary(bool with_filters);
  ExpressionOr ParsePrimary();
  ExpressionOr ParseStringLiteral();
  ExpressionOr ParseList();
  ExpressionOr ParseDict();
  ExpressionOr ParsePostfix(const Expression* expression);
  ExpressionOr ParseFilters(const Expression* expression);
  ExpressionOr ParseFilter(const Expression* value);
  ExpressionOr ParseTest(const Expression* value);
  ExpressionOr ParseSubscript(const Expression* object);
  ExpressionOr ParseCall(const Expression* callee);
  absl::Status ParseArguments(CallArguments* arguments);
  absl::StatusOr<std::string> ParseDottedName();
  ExpressionOr MakeBinary(BinaryOperator operation, const Expression* left, const Expression* right,
                          uint32_t line);

  Template& template_;
  std::vector<Token> tokens_;
  size_t next_ = 0;
  uint32_t depth_ = 0;
  HashMap<absl::string_view, SymbolId> symbol_ids_;
  std::vector<ForStatement*> open_loops_;      // whose bodies are being parsed
  std::vector<MacroDefinition*> open_macros_;  // likewise
};

// Counts the levels that the parser has recursed.
class Parser::DepthGuard {
 public:
  explicit DepthGuard(Parser* parser) : parser_(*parser) { ++parser_.depth_; }
  ~DepthGuard() { --parser_.depth_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;
  absl::Status Check() const;

 private:
  Parser& parser_;
};

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_PARSER_H_
