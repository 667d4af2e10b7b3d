// Regular expressions of tokenizer files. They are written for Oniguruma; the part of its language
// that PCRE2 shares, or that can be said in PCRE2's, is translated, anything else is refused.
#ifndef LLMCORE_LIB_TOKENIZER_REGEX_H_
#define LLMCORE_LIB_TOKENIZER_REGEX_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::core {

struct TextSpan {
  size_t begin;
  size_t end;
};

class Regex {
 public:
  // UNIMPLEMENTED names the construct that is not supported; INVALID_ARGUMENT what is malformed.
  static absl::StatusOr<Regex> Compile(absl::string_view pattern);

  // Appends all matches of `text`, valid UTF-8, from left to right without overlap. An empty match
  // right after another match is skipped. RESOURCE_EXHAUSTED when a match takes too many steps.
  absl::Status FindAll(absl::string_view text, std::vector<TextSpan>* matches) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

// PCRE2's way of saying what Oniguruma understands by `pattern`.
absl::StatusOr<std::string> TranslateRegex(absl::string_view pattern);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_REGEX_H_
