// str() and repr() of values, and numbers as Python writes and reads them.
#ifndef LLMCORE_LIB_CHAT_PYTHON_TEXT_H_
#define LLMCORE_LIB_CHAT_PYTHON_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/chat/runtime.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

// Appends str(value) or repr(value). UNIMPLEMENTED for values whose text shows an address.
absl::Status AppendStr(Runtime& runtime, const Value& value, std::string* out);
absl::Status AppendRepr(Runtime& runtime, const Value& value, std::string* out);

// str(value) as a string value; a string is itself.
absl::StatusOr<Value> ToStr(Runtime& runtime, const Value& value);

std::string FloatRepr(double value);
// A few words of the value for an error message.
std::string ShortRepr(const Value& value);

// int(text, base) and float(text); nullopt where Python raises ValueError. RESOURCE_EXHAUSTED for
// an integer of more than 64 bits.
absl::StatusOr<std::optional<int64_t>> ParseInteger(absl::string_view text, int base);
std::optional<double> ParseFloat(absl::string_view text);

// The error for an integer that Python would hold and we cannot.
absl::Status IntegerTooLarge();

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_PYTHON_TEXT_H_
