#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/chat/access.h"
#include "lib/chat/compare.h"
#include "lib/chat/interpreter.h"
#include "lib/chat/interpreter_level.h"
#include "lib/chat/json_text.h"
#include "lib/chat/python_text.h"

namespace llmcore::core::chat {

using ValueOr = absl::StatusOr<Value>;

Interpreter::Interpreter(const Template& parsed, std::span<const JsonObject* const> variables,
                         int64_t now_unix_seconds)
    : template_(parsed),
      variables_(variables),
      runtime_(parsed.limits, now_unix_seconds),
      output_(&result_),
      globals_(parsed.symbols.size()) {}

absl::StatusOr<std::string> Interpreter::Run() {
  scope_ = NewScope(nullptr);
  const FlowOr flow = Execute(template_.body);
  if (flow.ok()) return std::move(result_);
  return Annotate(flow.status(), absl::StrCat("line ", error_line_));
}

// Remembers the line where an error was met first; the levels above leave it as it is.
absl::Status Interpreter::AtLine(absl::Status status, uint32_t line) {
  if (error_line_ == 0) error_line_ = line;
  return status;
}

Scope* Interpreter::NewScope(Scope* parent) {
  if (!free_scopes_.empty()) {
    Scope* const scope = free_scopes_.back();
    free_scopes_.pop_back();
    scope->Reuse(parent);
    return scope;
  }
  runtime_.heap().Count(sizeof(Scope));
  scopes_.push_back(std::make_unique<Scope>(parent));
  return scopes_.back().get();
}

void Interpreter::ReleaseScope(Scope* scope) {
  if (!scope->captured()) free_scopes_.push_back(scope);
}

ValueOr Interpreter::Lookup(SymbolId symbol) {
  if (const Value* value = scope_->Find(symbol)) return *value;
  return LookupGlobal(symbol);
}

ValueOr Interpreter::LookupGlobal(SymbolId symbol) {
  Global& global = globals_[symbol];
  if (global.known) return global.value;
  const absl::string_view name = template_.symbols[symbol];
  const JsonValue* json = nullptr;
  for (const JsonObject* layer : variables_) {
    if (json == nullptr) json = layer->Find(name);
  }
  if (json != nullptr) {
    ValueOr value = FromJson(runtime_, *json);
    if (!value.ok()) return Annotate(value.status(), absl::StrCat("variable '", name, "'"));
    global.value = *value;
  } else if (const NamedFilter* function = FindGlobal(name)) {
    global.value =
        Value::Of(runtime_.heap().New(Function{function->name, function->function, Value()}));
  } else {
    global.value = runtime_.heap().UndefinedName(name);
  }
  global.known = true;
  return global.value;
}

absl::Status Interpreter::Assign(const Target& target, Value value) {
  switch (target.kind) {
    case Target::Kind::kName:
      scope_->Set(target.symbol, value);
      runtime_.heap().Count(sizeof(Value));
      return absl::OkStatus();
    case Target::Kind::kMember: {
      LLMCORE_ASSIGN_OR_RETURN(const Value object, Lookup(target.symbol));
      if (object.kind() != Kind::kNamespace) {
        return Failure("cannot assign attribute on non-namespace object");
      }
      object.name_space().Set(target.member, value);
      return absl::OkStatus();
    }
    case Target::Kind::kTuple:
      return AssignItems(target, value);
  }
  return absl::OkStatus();
}

absl::Status Interpreter::AssignItems(const Target& target, Value value) {
  ItemSource source;
  const absl::Status opened = source.Open(value);
  if (!opened.ok()) return Failure("cannot unpack non-iterable ", TypeName(value), " object");
  Value item;
  for (size_t i = 0; i < target.items.size(); ++i) {
    LLMCORE_ASSIGN_OR_RETURN(const bool more, source.Next(runtime_, &item));
    if (!more) {
      return Failure("not enough values to unpack (expected ", target.items.size(), ", got ", i,
                     ")");
    }
    LLMCORE_RETURN_IF_ERROR(Assign(target.items[i], item));
  }
  LLMCORE_ASSIGN_OR_RETURN(const bool more, source.Next(runtime_, &item));
  if (more) return Failure("too many values to unpack (expected ", target.items.size(), ")");
  return absl::OkStatus();
}

absl::Status Interpreter::Write(absl::string_view text) {
  if (output_->size() + text.size() > template_.limits.max_output_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("the text is longer than the limit of ",
                                                     template_.limits.max_output_bytes, " bytes"));
  }
  // Text that becomes a value counts while it is collected.
  if (output_ != &result_) {
    LLMCORE_RETURN_IF_ERROR(runtime_.heap().Check(text.size()));
    runtime_.heap().Count(text.size());
  }
  output_->append(text.data(), text.size());
  return runtime_.SpendText(text.size());
}

absl::Status Interpreter::WriteValue(const Value& value) {
  if (value.is_string()) return Write(value.text());
  std::string text;
  LLMCORE_RETURN_IF_ERROR(AppendStr(runtime_, value, &text));
  return Write(text);
}

Interpreter::FlowOr Interpreter::Execute(const Body& body) {
  for (const Statement* statement : body) {
    if (statement->kind == StatementKind::kText) {
      absl::Status written = Write(static_cast<const TextStatement*>(statement)->text);
      if (!written.ok()) return AtLine(std::move(written), statement->line);
      continue;
    }
    const Level level(this);
    absl::Status status = level.Enter();
    if (status.ok()) {
      const FlowOr flow = ExecuteStatement(*statement);
      if (flow.ok()) {
        if (*flow != Flow::kNext) return flow;
        continue;
      }
      status = flow.status();
    }
    return AtLine(std::move(status), statement->line);
  }
  return Flow::kNext;
}

Interpreter::FlowOr Interpreter::ExecuteStatement(const Statement& statement) {
  switch (statement.kind) {
    case StatementKind::kText:
      break;
    case StatementKind::kOutput:
      LLMCORE_RETURN_IF_ERROR(ExecuteOutput(static_cast<const OutputStatement&>(statement)));
      break;
    case StatementKind::kIf:
      return ExecuteIf(static_cast<const IfStatement&>(statement));
    case StatementKind::kFor:
      return ExecuteFor(static_cast<const ForStatement&>(statement));
    case StatementKind::kSet: {
      const auto& set = static_cast<const SetStatement&>(statement);
      LLMCORE_ASSIGN_OR_RETURN(const Value value, Evaluate(*set.value));
      LLMCORE_RETURN_IF_ERROR(Assign(set.target, value));
      break;
    }
    case StatementKind::kSetBlock:
      LLMCORE_RETURN_IF_ERROR(ExecuteSetBlock(static_cast<const SetBlockStatement&>(statement)));
      break;
    case StatementKind::kWith:
      return ExecuteWith(static_cast<const WithStatement&>(statement));
    case StatementKind::kMacro: {
      const auto& macro = static_cast<const MacroStatement&>(statement);
      scope_->Capture();
      scope_->Set(macro.symbol, Value::Of(runtime_.heap().New(Macro{&macro.definition, scope_})));
      break;
    }
    case StatementKind::kCallBlock:
      LLMCORE_RETURN_IF_ERROR(ExecuteCallBlock(static_cast<const CallBlockStatement&>(statement)));
      break;
    case StatementKind::kFilterBlock:
      LLMCORE_RETURN_IF_ERROR(
          ExecuteFilterBlock(static_cast<const FilterBlockStatement&>(statement)));
      break;
    case StatementKind::kGeneration:
      LLMCORE_RETURN_IF_ERROR(
          ExecuteGeneration(static_cast<const GenerationStatement&>(statement)));
      break;
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

absl::Status Interpreter::ExecuteOutput(const OutputStatement& statement) {
  LLMCORE_ASSIGN_OR_RETURN(const Value value, Evaluate(*statement.value));
  return WriteValue(value);
}

Interpreter::FlowOr Interpreter::ExecuteIf(const IfStatement& statement) {
  for (const IfStatement::Branch& branch : statement.branches) {
    LLMCORE_ASSIGN_OR_RETURN(const Value condition, Evaluate(*branch.condition));
    if (IsTrue(condition)) return Execute(branch.body);
  }
  return Execute(statement.otherwise);
}

Interpreter::FlowOr Interpreter::ExecuteFor(const ForStatement& statement) {
  LLMCORE_ASSIGN_OR_RETURN(const Value iterable, Evaluate(*statement.iterable));
  // Where the template can see the loop it may also keep it.
  std::unique_ptr<Loop> unseen;
  Loop* loop = nullptr;
  if (statement.uses_loop || statement.recursive) {
    loop = runtime_.heap().Own<Loop>();
    if (statement.recursive) scope_->Capture();
  } else {
    unseen = std::make_unique<Loop>();
    loop = unseen.get();
  }
  loop->statement = &statement;
  loop->scope = scope_;
  LLMCORE_RETURN_IF_ERROR(loop->source.Open(iterable));
  return RunLoop(*loop);
}

Interpreter::FlowOr Interpreter::RunLoop(Loop& loop) {
  const ForStatement& statement = *loop.statement;
  Scope* const outside = scope_;
  Scope* const inside = NewScope(loop.scope);
  Scope* const filter_scope = statement.filter == nullptr ? nullptr : NewScope(loop.scope);
  if (filter_scope != nullptr) {
    loop.accept = [this, &statement, filter_scope](const Value& item) -> absl::StatusOr<bool> {
      Scope* const before = std::exchange(scope_, filter_scope);
      filter_scope->Clear();
      LLMCORE_RETURN_IF_ERROR(Assign(statement.target, item));
      LLMCORE_ASSIGN_OR_RETURN(const Value accepted, Evaluate(*statement.filter));
      scope_ = before;
      return IsTrue(accepted);
    };
  }
  Flow flow = Flow::kNext;
  while (flow != Flow::kBreak) {
    LLMCORE_ASSIGN_OR_RETURN(const bool more, loop.Advance(runtime_));
    if (!more) break;
    inside->Clear();
    scope_ = inside;
    if (statement.uses_loop) inside->Set(template_.loop_symbol, Value::Of(&loop));
    LLMCORE_RETURN_IF_ERROR(Assign(statement.target, loop.current));
    LLMCORE_ASSIGN_OR_RETURN(flow, Execute(statement.body));
    scope_ = outside;
  }
  // A loop that the template kept can no longer ask its filter, whose scope goes.
  if (filter_scope != nullptr) {
    loop.accept = [](const Value&) { return false; };
    ReleaseScope(filter_scope);
  }
  if (loop.index0 >= 0 || statement.otherwise.empty()) {
    ReleaseScope(inside);
    return Flow::kNext;
  }
  inside->Clear();
  scope_ = inside;
  LLMCORE_ASSIGN_OR_RETURN(flow, Execute(statement.otherwise));
  scope_ = outside;
  ReleaseScope(inside);
  return flow;
}

Interpreter::FlowOr Interpreter::ExecuteWith(const WithStatement& statement) {
  Scope* const outside = scope_;
  Scope* const inside = NewScope(outside);
  for (const auto& [target, expression] : statement.assignments) {
    LLMCORE_ASSIGN_OR_RETURN(const Value value, Evaluate(*expression));
    scope_ = inside;
    LLMCORE_RETURN_IF_ERROR(Assign(target, value));
    scope_ = outside;
  }
  scope_ = inside;
  LLMCORE_ASSIGN_OR_RETURN(const Flow flow, Execute(statement.body));
  scope_ = outside;
  ReleaseScope(inside);
  return flow;
}

ValueOr Interpreter::Capture(const Body& body, Scope* scope) {
  std::string text;
  std::string* const output_before = std::exchange(output_, &text);
  Scope* const scope_before = std::exchange(scope_, scope);
  const FlowOr flow = Execute(body);
  output_ = output_before;
  scope_ = scope_before;
  LLMCORE_RETURN_IF_ERROR(flow.status());
  if (*flow != Flow::kNext) return Failure("'break' or 'continue' would leave a block");
  return runtime_.heap().CopyString(text);
}

ValueOr Interpreter::ApplyBlockFilter(const Expression* filter, Value text) {
  if (filter == nullptr) return text;
  const Value* const before = std::exchange(filtered_text_, &text);
  ValueOr result = Evaluate(*filter);
  filtered_text_ = before;
  return result;
}

absl::Status Interpreter::ExecuteSetBlock(const SetBlockStatement& statement) {
  Scope* const inside = NewScope(scope_);
  LLMCORE_ASSIGN_OR_RETURN(const Value text, Capture(statement.body, inside));
  ReleaseScope(inside);
  LLMCORE_ASSIGN_OR_RETURN(const Value value, ApplyBlockFilter(statement.filter, text));
  return Assign(statement.target, value);
}

absl::Status Interpreter::ExecuteFilterBlock(const FilterBlockStatement& statement) {
  Scope* const inside = NewScope(scope_);
  LLMCORE_ASSIGN_OR_RETURN(const Value text, Capture(statement.body, inside));
  ReleaseScope(inside);
  LLMCORE_ASSIGN_OR_RETURN(const Value value, ApplyBlockFilter(statement.filter, text));
  return WriteValue(value);
}

absl::Status Interpreter::ExecuteGeneration(const GenerationStatement& statement) {
  Scope* const inside = NewScope(scope_);
  LLMCORE_ASSIGN_OR_RETURN(const Value text, Capture(statement.body, inside));
  ReleaseScope(inside);
  return WriteValue(text);
}

}  // namespace llmcore::core::chat
