// strftime in UTC and in the C locale, whatever the host has set.
#ifndef LLMCORE_LIB_CHAT_STRFTIME_H_
#define LLMCORE_LIB_CHAT_STRFTIME_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::core::chat {

// UNIMPLEMENTED for a directive that is not known.
absl::StatusOr<std::string> FormatTime(absl::string_view format, int64_t unix_seconds);

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_STRFTIME_H_
