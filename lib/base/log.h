// Log lines of one model: handed to a callback of the host, never printed.
#ifndef LLMCORE_LIB_BASE_LOG_H_
#define LLMCORE_LIB_BASE_LOG_H_

#include <cstdint>
#include <functional>

#include "absl/strings/string_view.h"

namespace llmcore::core {

enum class LogLevel : uint32_t { kInfo = 1, kWarning = 2 };

// Called from the thread that does the work; empty: silence.
using LogCallback = std::function<void(LogLevel level, absl::string_view message)>;

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_LOG_H_
