// The names that templates can use without defining them: filters, tests, methods, functions.
#ifndef LLMCORE_LIB_CHAT_BUILTINS_H_
#define LLMCORE_LIB_CHAT_BUILTINS_H_

#include <span>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/chat/runtime.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

using FilterFunction = absl::StatusOr<Value> (*)(Runtime&, const Value&, const Arguments&);
using TestFunction = absl::StatusOr<bool> (*)(Runtime&, const Value&, const Arguments&);

struct NamedFilter {
  absl::string_view name;
  FilterFunction function;
};
struct NamedTest {
  absl::string_view name;
  TestFunction function;
};

// A global function, or a method together with the object it was taken from.
struct Function {
  absl::string_view name;
  FilterFunction function;
  Value self;
};

// NULL when there is no such name in Jinja2.
const NamedFilter* FindFilter(absl::string_view name);
const NamedTest* FindTest(absl::string_view name);
const NamedFilter* FindGlobal(absl::string_view name);
// The method of the object's type, NULL when the type has none of that name.
const NamedFilter* FindMethod(const Value& object, absl::string_view name);
// Whether the sandbox keeps templates from the method, because it changes the object.
bool IsMutatingMethod(const Value& object, absl::string_view name);

// The tables that the functions above search, one for each file that defines them.
std::span<const NamedFilter> TextFilters();
std::span<const NamedFilter> NumberFilters();
std::span<const NamedFilter> SequenceFilters();
std::span<const NamedFilter> SelectionFilters();
std::span<const NamedFilter> OutputFilters();
std::span<const NamedFilter> RefusedFilters();
std::span<const NamedFilter> StringMethods();
std::span<const NamedFilter> StringClassMethods();

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_BUILTINS_H_
