// Runs a parsed template. Expressions are in evaluate.cc, statements in execute.cc, calls of
// macros and loops in calls.cc.
#ifndef LLMCORE_LIB_CHAT_INTERPRETER_H_
#define LLMCORE_LIB_CHAT_INTERPRETER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "lib/base/json.h"
#include "lib/base/status.h"
#include "lib/chat/ast.h"
#include "lib/chat/loop.h"
#include "lib/chat/runtime.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

// Variables of one block, inside those of the blocks around it.
class Scope {
 public:
  explicit Scope(Scope* parent) : parent_(parent) {}

  Scope* parent() const { return parent_; }
  const Value* FindHere(SymbolId symbol) const {
    for (const auto& [name, value] : bindings_) {
      if (name == symbol) return &value;
    }
    return nullptr;
  }
  const Value* Find(SymbolId symbol) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent_) {
      if (const Value* value = scope->FindHere(symbol)) return value;
    }
    return nullptr;
  }
  void Set(SymbolId symbol, Value value) {
    for (auto& [name, old] : bindings_) {
      if (name == symbol) {
        old = value;
        return;
      }
    }
    bindings_.emplace_back(symbol, value);
  }
  void Clear() { bindings_.clear(); }

  // A macro that was defined inside reads the scope later, so it must live on.
  void Capture() {
    for (Scope* scope = this; scope != nullptr && !scope->captured_; scope = scope->parent_) {
      scope->captured_ = true;
    }
  }
  bool captured() const { return captured_; }
  void Reuse(Scope* parent) {
    parent_ = parent;
    bindings_.clear();
  }

 private:
  Scope* parent_;
  bool captured_ = false;
  std::vector<std::pair<SymbolId, Value>> bindings_;
};

struct Macro {
  const MacroDefinition* definition;
  Scope* scope;  // where it was defined
};

class Interpreter {
 public:
  Interpreter(const Template& parsed, std::span<const JsonObject* const> variables,
              int64_t now_unix_seconds);

  absl::StatusOr<std::string> Run();

 private:
  enum class Flow : uint8_t { kNext, kBreak, kContinue };
  using FlowOr = absl::StatusOr<Flow>;
  using ValueOr = absl::StatusOr<Value>;
  class Level;
  class ScopeHolder;

  // Evaluated arguments. Few calls have more than these fit.
  struct ArgumentValues {
    absl::InlinedVector<Value, 4> positional;
    absl::InlinedVector<Arguments::Named, 2> named;
    Arguments view() const { return {positional, named}; }
  };

  // Variables. `symbol` is looked up in the scopes, the given variables, then the global functions.
  ValueOr Lookup(SymbolId symbol);
  ValueOr LookupGlobal(SymbolId symbol);
  absl::Status Assign(const Target& target, Value value);
  absl::Status AssignItems(const Target& target, Value value);

  // Expressions.
  ValueOr Evaluate(const Expression& expression);
  ValueOr EvaluateKind(const Expression& expression);
  ValueOr EvaluateList(const ItemsExpression& expression);
  ValueOr EvaluateDict(const DictExpression& expression);
  ValueOr EvaluateUnary(const UnaryExpression& expression);
  ValueOr EvaluateBinary(const BinaryExpression& expression);
  ValueOr EvaluateLogic(const ItemsExpression& expression);
  ValueOr EvaluateCompare(const CompareExpression& expression);
  ValueOr EvaluateConcat(const ItemsExpression& expression);
  ValueOr EvaluateCondition(const ConditionExpression& expression);
  ValueOr EvaluateAttribute(const AttributeExpression& expression);
  ValueOr EvaluateItem(const ItemExpression& expression);
  ValueOr EvaluateSlice(const SliceExpression& expression);
  ValueOr EvaluateCall(const CallExpression& expression);
  ValueOr EvaluateFilter(const FilterExpression& expression);
  ValueOr EvaluateTest(const TestExpression& expression);
  absl::StatusOr<bool> Compare(ComparisonOperator operation, const Value& a, const Value& b);
  absl::Status EvaluateArguments(const CallArguments& arguments, ArgumentValues* values);
  absl::Status SpreadArguments(const CallArguments& arguments, ArgumentValues* values);

  // Calls.
  ValueOr Call(const Value& callee, const Arguments& arguments);
  ValueOr CallMacro(const Macro& macro, const Arguments& arguments);
  absl::Status BindParameters(const Macro& macro, const Arguments& arguments, Scope* scope);
  absl::Status BindExtras(const Macro& macro, const Arguments& arguments, Scope* scope);
  ValueOr CallLoop(Loop& loop, const Arguments& arguments);

  // Statements.
  FlowOr Execute(const Body& body);
  FlowOr ExecuteStatement(const Statement& statement);
  FlowOr ExecuteIf(const IfStatement& statement);
  FlowOr ExecuteFor(const ForStatement& statement);
  FlowOr ExecuteWith(const WithStatement& statement);
  FlowOr RunLoop(Loop& loop);
  absl::Status ExecuteOutput(const OutputStatement& statement);
  absl::Status ExecuteSetBlock(const SetBlockStatement& statement);
  absl::Status ExecuteCallBlock(const CallBlockStatement& statement);
  absl::Status ExecuteFilterBlock(const FilterBlockStatement& statement);
  absl::Status ExecuteGeneration(const GenerationStatement& statement);
  // Runs the body in a new scope inside `parent` with its output as the result.
  ValueOr Capture(const Body& body, Scope* scope);
  ValueOr ApplyBlockFilter(const Expression* filter, Value text);

  absl::Status Write(absl::string_view text);
  absl::Status WriteValue(const Value& value);
  Scope* NewScope(Scope* parent);
  void ReleaseScope(Scope* scope);
  absl::Status AtLine(absl::Status status, uint32_t line);

  const Template& template_;
  const std::span<const JsonObject* const> variables_;
  Runtime runtime_;
  std::string* output_;
  std::string result_;
  Scope* scope_ = nullptr;
  std::vector<std::unique_ptr<Scope>> scopes_;
  std::vector<Scope*> free_scopes_;
  struct Global {
    Value value;
    bool known = false;
  };
  std::vector<Global> globals_;           // by symbol
  const Value* filtered_text_ = nullptr;  // what the filter of a block starts from
  uint32_t depth_ = 0;
  uint32_t error_line_ = 0;  // 0: no error yet
};

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_INTERPRETER_H_
