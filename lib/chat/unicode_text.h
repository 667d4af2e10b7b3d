// Python's view of text: code points, character classes and case.
#ifndef LLMCORE_LIB_CHAT_UNICODE_TEXT_H_
#define LLMCORE_LIB_CHAT_UNICODE_TEXT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace llmcore::core::chat {

// All take valid UTF-8.
size_t CountCharacters(absl::string_view text);
// Byte offset of the character with that index, or text.size() past the end. Linear.
size_t CharacterOffset(absl::string_view text, size_t index);
// Bytes of the character that starts at `offset`.
size_t CharacterLength(absl::string_view text, size_t offset);

bool IsSpaceCharacter(char32_t c);  // str.isspace, and what strip and split remove
bool IsAlphabetic(char32_t c);      // str.isalpha
bool IsDecimal(char32_t c);         // str.isdecimal
bool IsDigit(char32_t c);           // str.isdigit
bool IsAlphanumeric(char32_t c);    // str.isalnum
bool IsWordCharacter(char32_t c);   // \w of a regular expression
bool IsLowerCharacter(char32_t c);
bool IsUpperCharacter(char32_t c);
bool IsTitleCharacter(char32_t c);
bool IsPrintable(char32_t c);  // str.isprintable

// Whether every letter that has case is of the one asked for, and there is one.
bool HasOnlyCase(absl::string_view text, bool upper);

absl::string_view StripLeft(absl::string_view text);
absl::string_view StripRight(absl::string_view text);

std::string ToUpper(absl::string_view text);
std::string ToLower(absl::string_view text);
std::string Capitalize(absl::string_view text);  // str.capitalize
std::string ToTitle(absl::string_view text);     // str.title
std::string SwapCase(absl::string_view text);

// str.splitlines; with the line ends kept when asked.
std::vector<absl::string_view> SplitLines(absl::string_view text, bool keep_ends);

// Offset of `needle` at or after `from`, or npos; linear in the length of the text.
size_t FindText(absl::string_view text, absl::string_view needle, size_t from);

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_UNICODE_TEXT_H_
