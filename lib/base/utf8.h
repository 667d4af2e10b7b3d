// UTF-8 as the Unicode standard defines it (no surrogates, no overlong forms, at most U+10FFFF).
#ifndef LLMCORE_LIB_BASE_UTF8_H_
#define LLMCORE_LIB_BASE_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace llmcore::core {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

struct DecodedCharacter {
  char32_t code_point;  // U+FFFD when the bytes are not valid
  uint32_t length;      // bytes consumed; for invalid bytes the maximal subpart (at least 1)
  bool valid;
};

// The character that starts at `offset` (< text.size()).
DecodedCharacter DecodeUtf8(absl::string_view text, size_t offset);

// Appends one character; `code_point` is a scalar value.
void AppendUtf8(char32_t code_point, std::string* out);

bool IsValidUtf8(absl::string_view text);

// Offset of the first invalid byte, or text.size().
size_t FirstInvalidUtf8(absl::string_view text);

// Length of the longest prefix that does not end inside a character that further bytes could still
// complete. A stream holds back text[result..] until more comes.
size_t CompleteUtf8Prefix(absl::string_view text);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_UTF8_H_
