// Python's operators on values.
#ifndef LLMCORE_LIB_CHAT_ARITHMETIC_H_
#define LLMCORE_LIB_CHAT_ARITHMETIC_H_

#include "lib/base/status.h"
#include "lib/chat/ast.h"
#include "lib/chat/runtime.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

absl::StatusOr<Value> Binary(Runtime& runtime, BinaryOperator operation, const Value& a,
                             const Value& b);
absl::StatusOr<Value> Add(Runtime& runtime, const Value& a, const Value& b);
absl::StatusOr<Value> Negate(const Value& value);
absl::StatusOr<Value> Plus(const Value& value);

// Text as Markup treats it when it joins text that is not: & < > ' " are escaped.
std::string EscapeHtml(absl::string_view text);

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_ARITHMETIC_H_
