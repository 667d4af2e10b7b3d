#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"
#include "lib/chat/parser.h"

namespace llmcore::core::chat {
namespace {

// Levels that the parser may recurse: parentheses, signs, nested blocks. Published templates stay
// under 20.
constexpr uint32_t kMaxParserDepth = 150;

}  // namespace

absl::Status Parser::DepthGuard::Check() const {
  if (parser_.depth_ <= kMaxParserDepth) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("line ", parser_.token().line,
                                                   ": the template is nested deeper than ",
                                                   kMaxParserDepth, " levels"));
}

bool Parser::AtOperator(absl::string_view text) const {
  return token().kind == TokenKind::kOperator && token().text == text;
}

bool Parser::AtName(absl::string_view text) const {
  return token().kind == TokenKind::kName && token().text == text;
}

bool Parser::SkipOperator(absl::string_view text) {
  if (!AtOperator(text)) return false;
  Take();
  return true;
}

bool Parser::SkipName(absl::string_view text) {
  if (!AtName(text)) return false;
  Take();
  return true;
}

absl::Status Parser::Unexpected() const {
  switch (token().kind) {
    case TokenKind::kEnd:
      return Fail("the template ends too early");
    case TokenKind::kBlockEnd:
    case TokenKind::kVariableEnd:
    case TokenKind::kName:
    case TokenKind::kOperator:
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return Fail(absl::StrCat("unexpected '", token().text, "'"));
    case TokenKind::kString:
      return Fail("unexpected string");
    default:
      return Fail("unexpected text");
  }
}

absl::Status Parser::ExpectOperator(absl::string_view text) {
  if (SkipOperator(text)) return absl::OkStatus();
  return Annotate(Unexpected(), absl::StrCat("expected '", text, "'"));
}

absl::Status Parser::ExpectName(absl::string_view text) {
  if (SkipName(text)) return absl::OkStatus();
  return Annotate(Unexpected(), absl::StrCat("expected '", text, "'"));
}

absl::Status Parser::ExpectBlockEnd() {
  if (token().kind != TokenKind::kBlockEnd) return Annotate(Unexpected(), "expected '%}'");
  Take();
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> Parser::TakeName() {
  if (token().kind != TokenKind::kName) return Annotate(Unexpected(), "expected a name");
  return Take().text;
}

absl::Status Parser::Raise(Node* node, const Node* child) const {
  if (child == nullptr) return absl::OkStatus();
  node->height = std::max(node->height, child->height + 1);
  if (node->height <= template_.limits.max_depth / 2) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("line ", node->line,
                                                   ": the template is nested deeper than ",
                                                   template_.limits.max_depth / 2, " levels"));
}

absl::Status Parser::Raise(Node* node, const Body& body) const {
  for (const Statement* statement : body) LLMCORE_RETURN_IF_ERROR(Raise(node, statement));
  return absl::OkStatus();
}

absl::Status Parser::Raise(Node* node, const CallArguments& arguments) const {
  for (const Expression* value : arguments.positional) LLMCORE_RETURN_IF_ERROR(Raise(node, value));
  for (const auto& [name, value] : arguments.named) LLMCORE_RETURN_IF_ERROR(Raise(node, value));
  LLMCORE_RETURN_IF_ERROR(Raise(node, arguments.star));
  return Raise(node, arguments.double_star);
}

SymbolId Parser::Symbol(absl::string_view name) {
  const auto [entry, is_new] =
      symbol_ids_.try_emplace(name, static_cast<SymbolId>(template_.symbols.size()));
  if (is_new) template_.symbols.push_back(name);
  return entry->second;
}

SymbolId Parser::Mention(absl::string_view name) {
  if (name == "loop") {
    for (ForStatement* loop : open_loops_) loop->uses_loop = true;
  }
  for (MacroDefinition* macro : open_macros_) {
    macro->uses_caller |= name == "caller";
    macro->uses_kwargs |= name == "kwargs";
    macro->uses_varargs |= name == "varargs";
  }
  return Symbol(name);
}

absl::Status Parser::Run() {
  template_.loop_symbol = Symbol("loop");
  template_.caller_symbol = Symbol("caller");
  template_.kwargs_symbol = Symbol("kwargs");
  template_.varargs_symbol = Symbol("varargs");
  LLMCORE_ASSIGN_OR_RETURN(tokens_, Tokenize(template_.source, &template_.strings));
  LLMCORE_ASSIGN_OR_RETURN(template_.body, ParseBody({}));
  return absl::OkStatus();
}

// Up to a tag of one of the names, which is the next token then; or to the end of the template
// when there are no names.
absl::StatusOr<Body> Parser::ParseBody(std::initializer_list<absl::string_view> end_names) {
  const DepthGuard guard(this);
  LLMCORE_RETURN_IF_ERROR(guard.Check());
  Body body;
  for (;;) {
    switch (token().kind) {
      case TokenKind::kData: {
        const Token& data = Take();
        body.push_back(Make<TextStatement>(data.line, data.text));
        break;
      }
      case TokenKind::kVariableBegin: {
        const uint32_t line = Take().line;
        LLMCORE_ASSIGN_OR_RETURN(const Expression* value, ParseTuple({}));
        if (token().kind != TokenKind::kVariableEnd) {
          return Annotate(Unexpected(), "expected '}}'");
        }
        Take();
        auto* output = Make<OutputStatement>(line, value);
        LLMCORE_RETURN_IF_ERROR(Raise(output, value));
        body.push_back(output);
        break;
      }
      case TokenKind::kBlockBegin: {
        Take();
        if (token().kind == TokenKind::kName &&
            std::find(end_names.begin(), end_names.end(), token().text) != end_names.end()) {
          return body;
        }
        LLMCORE_ASSIGN_OR_RETURN(const Statement* statement, ParseStatement());
        LLMCORE_RETURN_IF_ERROR(ExpectBlockEnd());
        body.push_back(statement);
        break;
      }
      default:
        if (end_names.size() == 0) return body;
        return Fail(absl::StrCat("the template ends before '", *end_names.begin(), "'"));
    }
  }
}

// The "%}" of the tag, then the body; the node grows over it.
absl::StatusOr<Body> Parser::ParseBlock(Node* node,
                                        std::initializer_list<absl::string_view> end_names) {
  SkipOperator(":");
  LLMCORE_RETURN_IF_ERROR(ExpectBlockEnd());
  LLMCORE_ASSIGN_OR_RETURN(Body body, ParseBody(end_names));
  LLMCORE_RETURN_IF_ERROR(Raise(node, body));
  return body;
}

Parser::StatementOr Parser::ParseStatement() {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view name, TakeName());
  if (name == "if") return ParseIf();
  if (name == "for") return ParseFor();
  if (name == "set") return ParseSet();
  if (name == "with") return ParseWith();
  if (name == "macro") return ParseMacro();
  if (name == "call") return ParseCallBlock();
  if (name == "filter") return ParseFilterBlock();
  if (name == "generation") return ParseGeneration();
  if (name == "break") return ParseLoopControl(StatementKind::kBreak);
  if (name == "continue") return ParseLoopControl(StatementKind::kContinue);
  constexpr absl::string_view kRefused[] = {"include", "import",     "from",  "extends",
                                            "block",   "autoescape", "print", "do"};
  if (std::find(std::begin(kRefused), std::end(kRefused), name) != std::end(kRefused)) {
    return absl::UnimplementedError(
        absl::StrCat("line ", token().line, ": the tag '", name, "' is not supported"));
  }
  return Fail(absl::StrCat("there is no tag '", name, "'"));
}

Parser::StatementOr Parser::ParseIf() {
  auto* statement = Make<IfStatement>(token().line);
  TupleOptions options;
  options.with_condition = false;
  for (;;) {
    LLMCORE_ASSIGN_OR_RETURN(const Expression* condition, ParseTuple(options));
    LLMCORE_RETURN_IF_ERROR(Raise(statement, condition));
    LLMCORE_ASSIGN_OR_RETURN(Body body, ParseBlock(statement, {"endif", "elif", "else"}));
    statement->branches.push_back({condition, std::move(body)});
    if (SkipName("elif")) continue;
    if (SkipName("else")) {
      LLMCORE_ASSIGN_OR_RETURN(statement->otherwise, ParseBlock(statement, {"endif"}));
    }
    LLMCORE_RETURN_IF_ERROR(ExpectName("endif"));
    return statement;
  }
}

Parser::StatementOr Parser::ParseFor() {
  auto* statement = Make<ForStatement>(token().line);
  LLMCORE_ASSIGN_OR_RETURN(statement->target, ParseTarget(/*with_members=*/false));
  LLMCORE_RETURN_IF_ERROR(ExpectName("in"));
  TupleOptions options;
  options.with_condition = false;
  options.end_name = "recursive";
  LLMCORE_ASSIGN_OR_RETURN(statement->iterable, ParseTuple(options));
  if (SkipName("if")) {
    LLMCORE_ASSIGN_OR_RETURN(statement->filter, ParseExpression());
  }
  statement->recursive = SkipName("recursive");
  LLMCORE_RETURN_IF_ERROR(Raise(statement, statement->iterable));
  LLMCORE_RETURN_IF_ERROR(Raise(statement, statement->filter));
  open_loops_.push_back(statement);
  absl::StatusOr<Body> body = ParseBlock(statement, {"endfor", "else"});
  open_loops_.pop_back();
  LLMCORE_RETURN_IF_ERROR(body.status());
  statement->body = *std::move(body);
  if (SkipName("else")) {
    LLMCORE_ASSIGN_OR_RETURN(statement->otherwise, ParseBlock(statement, {"endfor"}));
  }
  LLMCORE_RETURN_IF_ERROR(ExpectName("endfor"));
  return statement;
}

Parser::StatementOr Parser::ParseSet() {
  const uint32_t line = token().line;
  LLMCORE_ASSIGN_OR_RETURN(Target target, ParseTarget(/*with_members=*/true));
  if (SkipOperator("=")) {
    auto* statement = Make<SetStatement>(line);
    statement->target = std::move(target);
    LLMCORE_ASSIGN_OR_RETURN(statement->value, ParseTuple({}));
    LLMCORE_RETURN_IF_ERROR(Raise(statement, statement->value));
    return statement;
  }
  auto* statement = Make<SetBlockStatement>(line);
  statement->target = std::move(target);
  while (SkipOperator("|")) {
    LLMCORE_ASSIGN_OR_RETURN(statement->filter, ParseFilter(statement->filter));
  }
  LLMCORE_RETURN_IF_ERROR(Raise(statement, statement->filter));
  LLMCORE_ASSIGN_OR_RETURN(statement->body, ParseBlock(statement, {"endset"}));
  LLMCORE_RETURN_IF_ERROR(ExpectName("endset"));
  return statement;
}

Parser::StatementOr Parser::ParseWith() {
  auto* statement = Make<WithStatement>(token().line);
  while (token().kind != TokenKind::kBlockEnd) {
    if (!statement->assignments.empty()) LLMCORE_RETURN_IF_ERROR(ExpectOperator(","));
    LLMCORE_ASSIGN_OR_RETURN(Target target, ParseSingleTarget(/*with_members=*/false));
    LLMCORE_RETURN_IF_ERROR(ExpectOperator("="));
    LLMCORE_ASSIGN_OR_RETURN(const Expression* value, ParseExpression());
    LLMCORE_RETURN_IF_ERROR(Raise(statement, value));
    statement->assignments.emplace_back(std::move(target), value);
  }
  LLMCORE_ASSIGN_OR_RETURN(statement->body, ParseBlock(statement, {"endwith"}));
  LLMCORE_RETURN_IF_ERROR(ExpectName("endwith"));
  return statement;
}

absl::Status Parser::ParseParameters(Node* node, MacroDefinition* macro) {
  LLMCORE_RETURN_IF_ERROR(ExpectOperator("("));
  while (!AtOperator(")")) {
    if (!macro->parameters.empty()) LLMCORE_RETURN_IF_ERROR(ExpectOperator(","));
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view name, TakeName());
    MacroDefinition::Parameter parameter{Symbol(name), name, nullptr};
    if (SkipOperator("=")) {
      LLMCORE_ASSIGN_OR_RETURN(parameter.fallback, ParseExpression());
      LLMCORE_RETURN_IF_ERROR(Raise(node, parameter.fallback));
    } else if (!macro->parameters.empty() && macro->parameters.back().fallback != nullptr) {
      return Fail("a parameter without a default follows one with a default");
    }
    macro->parameters.push_back(parameter);
  }
  return ExpectOperator(")");
}

absl::Status Parser::ParseMacroBody(Node* node, absl::string_view end_name,
                                    MacroDefinition* macro) {
  open_macros_.push_back(macro);
  absl::StatusOr<Body> body = ParseBlock(node, {end_name});
  open_macros_.pop_back();
  LLMCORE_RETURN_IF_ERROR(body.status());
  macro->body = *std::move(body);
  return ExpectName(end_name);
}

Parser::StatementOr Parser::ParseMacro() {
  auto* statement = Make<MacroStatement>(token().line);
  LLMCORE_ASSIGN_OR_RETURN(statement->definition.name, TakeName());
  statement->symbol = Symbol(statement->definition.name);
  LLMCORE_RETURN_IF_ERROR(ParseParameters(statement, &statement->definition));
  LLMCORE_RETURN_IF_ERROR(ParseMacroBody(statement, "endmacro", &statement->definition));
  return statement;
}

Parser::StatementOr Parser::ParseCallBlock() {
  auto* statement = Make<CallBlockStatement>(token().line);
  statement->caller.name = "caller";
  if (AtOperator("(")) LLMCORE_RETURN_IF_ERROR(ParseParameters(statement, &statement->caller));
  LLMCORE_ASSIGN_OR_RETURN(const Expression* call, ParseExpression());
  if (call->kind != ExpressionKind::kCall) return Fail("a call block needs a call");
  statement->call = static_cast<const CallExpression*>(call);
  LLMCORE_RETURN_IF_ERROR(Raise(statement, call));
  LLMCORE_RETURN_IF_ERROR(ParseMacroBody(statement, "endcall", &statement->caller));
  return statement;
}

Parser::StatementOr Parser::ParseFilterBlock() {
  auto* statement = Make<FilterBlockStatement>(token().line);
  LLMCORE_ASSIGN_OR_RETURN(statement->filter, ParseFilter(nullptr));
  while (SkipOperator("|")) {
    LLMCORE_ASSIGN_OR_RETURN(statement->filter, ParseFilter(statement->filter));
  }
  LLMCORE_RETURN_IF_ERROR(Raise(statement, statement->filter));
  LLMCORE_ASSIGN_OR_RETURN(statement->body, ParseBlock(statement, {"endfilter"}));
  LLMCORE_RETURN_IF_ERROR(ExpectName("endfilter"));
  return statement;
}

Parser::StatementOr Parser::ParseGeneration() {
  auto* statement = Make<GenerationStatement>(token().line);
  LLMCORE_ASSIGN_OR_RETURN(statement->body, ParseBlock(statement, {"endgeneration"}));
  LLMCORE_RETURN_IF_ERROR(ExpectName("endgeneration"));
  return statement;
}

Parser::StatementOr Parser::ParseLoopControl(StatementKind kind) {
  if (open_loops_.empty()) return Fail("'break' and 'continue' belong inside a for loop");
  return Make<Statement>(kind, token().line);
}

absl::StatusOr<Target> Parser::ParseSingleTarget(bool with_members) {
  if (SkipOperator("(")) {
    const DepthGuard guard(this);
    LLMCORE_RETURN_IF_ERROR(guard.Check());
    LLMCORE_ASSIGN_OR_RETURN(Target target, ParseTarget(with_members));
    LLMCORE_RETURN_IF_ERROR(ExpectOperator(")"));
    return target;
  }
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view name, TakeName());
  constexpr absl::string_view kConstants[] = {"true", "True", "false", "False", "none", "None"};
  if (std::find(std::begin(kConstants), std::end(kConstants), name) != std::end(kConstants)) {
    return Fail(absl::StrCat("'", name, "' cannot be assigned to"));
  }
  Target target;
  target.symbol = Symbol(name);
  if (with_members && SkipOperator(".")) {
    target.kind = Target::Kind::kMember;
    target.symbol = Mention(name);
    LLMCORE_ASSIGN_OR_RETURN(target.member, TakeName());
  }
  return target;
}

// One target, or several with commas.
absl::StatusOr<Target> Parser::ParseTarget(bool with_members) {
  LLMCORE_ASSIGN_OR_RETURN(Target first, ParseSingleTarget(with_members));
  if (!AtOperator(",")) return first;
  Target tuple;
  tuple.kind = Target::Kind::kTuple;
  tuple.items.push_back(std::move(first));
  while (SkipOperator(",")) {
    if (token().kind != TokenKind::kName && !AtOperator("(")) break;
    if (AtName("in")) break;
    LLMCORE_ASSIGN_OR_RETURN(Target next, ParseSingleTarget(with_members));
    tuple.items.push_back(std::move(next));
  }
  return tuple;
}

absl::StatusOr<std::shared_ptr<const Template>> ParseTemplate(absl::string_view source,
                                                              const TemplateLimits& limits) {
  if (source.size() > limits.max_source_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("the template has ", source.size(),
                                                     " bytes, more than the limit of ",
                                                     limits.max_source_bytes));
  }
  if (!IsValidUtf8(source)) {
    return absl::InvalidArgumentError(
        absl::StrCat("the template is not UTF-8 at byte ", FirstInvalidUtf8(source)));
  }
  auto result = std::make_shared<Template>(NormalizeSource(source), limits);
  LLMCORE_RETURN_IF_ERROR(Parser(result.get()).Run());
  return std::shared_ptr<const Template>(std::move(result));
}

}  // namespace llmcore::core::chat
