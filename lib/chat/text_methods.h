// Operations on text that filters and methods share.
#ifndef LLMCORE_LIB_CHAT_TEXT_METHODS_H_
#define LLMCORE_LIB_CHAT_TEXT_METHODS_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/chat/runtime.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

// Strips white space, or the characters of `characters` when it is not NULL and not None.
absl::StatusOr<Value> StripText(Runtime& runtime, const Value& text, const Value* characters,
                                bool left, bool right);

// Replaces the first `count` occurrences, all of them when it is negative.
absl::StatusOr<Value> ReplaceText(Runtime& runtime, absl::string_view text, absl::string_view from,
                                  absl::string_view to, int64_t count, bool markup = false);

absl::StatusOr<Value> CenterText(Runtime& runtime, const Value& text, int64_t width,
                                 absl::string_view fill);

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_TEXT_METHODS_H_
