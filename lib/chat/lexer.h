// Template text -> tokens, with Jinja2's rules for white space around tags (trim_blocks and
// lstrip_blocks are on, as transformers sets them).
#ifndef LLMCORE_LIB_CHAT_LEXER_H_
#define LLMCORE_LIB_CHAT_LEXER_H_

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::core::chat {

enum class TokenKind : uint8_t {
  kData,           // text outside tags
  kBlockBegin,     // {%
  kBlockEnd,       // %}
  kVariableBegin,  // {{
  kVariableEnd,    // }}
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  uint32_t line = 0;       // of its first character, from 1
  absl::string_view text;  // data, name, operator, or the decoded string
  int64_t integer = 0;
  double number = 0;
};

// The tokens borrow from `source` (with "\n" line ends) and from `strings`, where decoded string
// literals are put; both outlive them. The last token is kEnd.
absl::StatusOr<std::vector<Token>> Tokenize(absl::string_view source,
                                            std::deque<std::string>* strings);

// "\r\n" and "\r" become "\n", and one line end at the very end goes.
std::string NormalizeSource(absl::string_view source);

// INVALID_ARGUMENT "line N: message".
absl::Status SyntaxError(uint32_t line, absl::string_view message);

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_LEXER_H_
