// Untrusted names and values inside error messages.
#ifndef LLMCORE_LIB_BASE_QUOTE_H_
#define LLMCORE_LIB_BASE_QUOTE_H_

#include <string>

#include "absl/strings/string_view.h"

namespace llmcore::core {

// `text` in double quotes on one line: control characters, quotes and invalid UTF-8 are escaped,
// and what is longer than 100 bytes is cut and says so with "...".
std::string Quoted(absl::string_view text);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_QUOTE_H_
