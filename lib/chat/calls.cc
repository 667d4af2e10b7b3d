#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/chat/interpreter.h"
#include "lib/chat/interpreter_level.h"

namespace llmcore::core::chat {

using ValueOr = absl::StatusOr<Value>;

ValueOr Interpreter::Call(const Value& callee, const Arguments& arguments) {
  switch (callee.kind()) {
    case Kind::kFunction: {
      const Function& function = callee.function();
      ValueOr result = function.function(runtime_, function.self, arguments);
      if (result.ok()) return result;
      return Annotate(result.status(), absl::StrCat(function.name, "()"));
    }
    case Kind::kMacro:
      return CallMacro(callee.macro(), arguments);
    case Kind::kLoop:
      return CallLoop(callee.loop(), arguments);
    case Kind::kJoiner: {
      LLMCORE_RETURN_IF_ERROR(ExpectNoArguments(arguments));
      Joiner& joiner = callee.joiner();
      if (joiner.used) return joiner.separator;
      joiner.used = true;
      return Value::String("");
    }
    case Kind::kUndefined:
      return UndefinedError(callee);
    default:
      return Failure("'", TypeName(callee), "' object is not callable");
  }
}

ValueOr Interpreter::CallMacro(const Macro& macro, const Arguments& arguments) {
  Scope* const inside = NewScope(macro.scope);
  LLMCORE_RETURN_IF_ERROR(BindParameters(macro, arguments, inside));
  LLMCORE_RETURN_IF_ERROR(BindExtras(macro, arguments, inside));
  LLMCORE_ASSIGN_OR_RETURN(const Value text, Capture(macro.definition->body, inside));
  ReleaseScope(inside);
  return text;
}

absl::Status Interpreter::BindParameters(const Macro& macro, const Arguments& arguments,
                                         Scope* scope) {
  const auto& parameters = macro.definition->parameters;
  Scope* const before = scope_;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const MacroDefinition::Parameter& parameter = parameters[i];
    const auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                                    [&parameter](const Arguments::Named& argument) {
                                      return argument.first == parameter.name;
                                    });
    const bool is_named = named != arguments.named.end();
    Value value;
    if (i < arguments.positional.size()) {
      if (is_named) {
        return Failure("macro '", macro.definition->name, "' got two values for '", parameter.name,
                       "'");
      }
      value = arguments.positional[i];
    } else if (is_named) {
      value = named->second;
    } else if (parameter.fallback != nullptr) {
      scope_ = scope;  // a default may use the parameters before it
      LLMCORE_ASSIGN_OR_RETURN(value, Evaluate(*parameter.fallback));
      scope_ = before;
    } else {
      LLMCORE_ASSIGN_OR_RETURN(const Value message,
                               runtime_.heap().CopyString(absl::StrCat(
                                   "parameter '", parameter.name, "' was not provided")));
      value = runtime_.heap().UndefinedHint(message.text());
    }
    scope->Set(parameter.symbol, value);
    runtime_.heap().Count(sizeof(Value));
  }
  return absl::OkStatus();
}

// What is left over goes to `caller`, `kwargs` and `varargs` of a macro that mentions them.
absl::Status Interpreter::BindExtras(const Macro& macro, const Arguments& arguments, Scope* scope) {
  const MacroDefinition& definition = *macro.definition;
  const auto is_parameter = [&definition](absl::string_view name) {
    return std::any_of(definition.parameters.begin(), definition.parameters.end(),
                       [name](const auto& parameter) { return parameter.name == name; });
  };
  const bool binds_caller = definition.uses_caller && !is_parameter("caller");
  if (binds_caller) {
    scope->Set(template_.caller_symbol, runtime_.heap().UndefinedHint("No caller defined"));
  }
  std::vector<DictEntry> rest;
  for (const auto& [name, value] : arguments.named) {
    if (is_parameter(name)) continue;
    if (binds_caller && name == "caller") {
      scope->Set(template_.caller_symbol, value);
    } else if (definition.uses_kwargs) {
      rest.push_back({Value::String(name), value});
    } else {
      return Failure("macro '", definition.name, "' takes no keyword argument '", name, "'");
    }
  }
  if (definition.uses_kwargs) {
    LLMCORE_ASSIGN_OR_RETURN(const Value kwargs, runtime_.heap().MakeDict(rest));
    scope->Set(template_.kwargs_symbol, kwargs);
  }
  const size_t taken = std::min(arguments.positional.size(), definition.parameters.size());
  const auto extra = arguments.positional.subspan(taken);
  if (definition.uses_varargs) {
    LLMCORE_ASSIGN_OR_RETURN(const Value varargs, runtime_.heap().CopyTuple(extra));
    scope->Set(template_.varargs_symbol, varargs);
  } else if (!extra.empty()) {
    return Failure("macro '", definition.name, "' takes not more than ",
                   definition.parameters.size(), " argument(s)");
  }
  return absl::OkStatus();
}

// loop(items): the body of a recursive loop once more, over other items.
ValueOr Interpreter::CallLoop(Loop& loop, const Arguments& arguments) {
  if (!loop.statement->recursive) {
    return Failure("The loop must have the 'recursive' marker to be called recursively.");
  }
  LLMCORE_ASSIGN_OR_RETURN(const auto bound, Bind(arguments, {"iterable"}, 1));
  Loop* const inner = runtime_.heap().Own<Loop>();
  inner->statement = loop.statement;
  inner->scope = loop.scope;
  inner->depth0 = loop.depth0 + 1;
  LLMCORE_RETURN_IF_ERROR(inner->source.Open(*bound[0]));
  std::string text;
  std::string* const output_before = std::exchange(output_, &text);
  const FlowOr flow = RunLoop(*inner);
  output_ = output_before;
  LLMCORE_RETURN_IF_ERROR(flow.status());
  if (*flow != Flow::kNext) return Failure("'break' or 'continue' would leave a recursive loop");
  return runtime_.heap().CopyString(text);
}

absl::Status Interpreter::ExecuteCallBlock(const CallBlockStatement& statement) {
  LLMCORE_ASSIGN_OR_RETURN(const Value callee, Evaluate(*statement.call->callee));
  ArgumentValues arguments;
  LLMCORE_RETURN_IF_ERROR(EvaluateArguments(statement.call->arguments, &arguments));
  scope_->Capture();
  arguments.named.emplace_back("caller",
                               Value::Of(runtime_.heap().New(Macro{&statement.caller, scope_})));
  LLMCORE_ASSIGN_OR_RETURN(const Value result, Call(callee, arguments.view()));
  return WriteValue(result);
}

}  // namespace llmcore::core::chat
