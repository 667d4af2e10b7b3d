// Python's two ways of formatting text: `'%s: %d' % (a, b)` and `'{}: {}'.format(a, b)`.
#ifndef LLMCORE_LIB_CHAT_STRING_FORMAT_H_
#define LLMCORE_LIB_CHAT_STRING_FORMAT_H_

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/chat/runtime.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

// format % value.
absl::StatusOr<Value> FormatPercent(Runtime& runtime, const Value& format, const Value& value);

// format.format(*positional, **named).
absl::StatusOr<Value> FormatBraces(Runtime& runtime, absl::string_view format,
                                   const Arguments& arguments);

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_STRING_FORMAT_H_
