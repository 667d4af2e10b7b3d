// Character properties and normalization forms, over utf8proc's data (Unicode 15 in 2.8).
#ifndef LLMCORE_LIB_TOKENIZER_UNICODE_H_
#define LLMCORE_LIB_TOKENIZER_UNICODE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace llmcore::core {

// The properties by which pre-tokenizers split. A character has at most one of the first three.
enum CharacterClass : uint8_t {
  kClassOther = 0,
  kClassLetter = 1,  // general category L*
  kClassNumber = 2,  // N*
  kClassSpace = 3,   // White_Space
};

CharacterClass ClassOf(char32_t c);

bool IsWhitespace(char32_t c);      // the property White_Space
bool IsNumeric(char32_t c);         // N*
bool IsPunctuation(char32_t c);     // P*, and the ASCII symbols that keyboards call punctuation
bool IsWordCharacter(char32_t c);   // \w of UTS 18: Alphabetic, M*, Nd, Pc, Join_Control
bool IsMark(char32_t c);            // M*
bool IsNonspacingMark(char32_t c);  // Mn
bool IsOtherCategory(char32_t c);   // C*: control, format, unassigned, private use
void AppendLowercase(char32_t c, std::string* out);

enum class NormalizationForm { kNfc, kNfd, kNfkc, kNfkd };

// Valid UTF-8 in and out, in O(n log n) also for endless runs of combining marks.
std::string NormalizeUnicode(absl::string_view text, NormalizationForm form);

// Ends of the extended grapheme clusters of `text`.
std::vector<size_t> GraphemeEnds(absl::string_view text);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_UNICODE_H_
