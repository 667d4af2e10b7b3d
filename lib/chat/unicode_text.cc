#include "lib/chat/unicode_text.h"

#include <string.h>
#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "lib/base/utf8.h"
#include "lib/chat/special_casing.h"

namespace llmcore::core::chat {
namespace {

utf8proc_category_t Category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

const SpecialCasing* FindSpecialCasing(char32_t c) {
  const auto* const found = std::lower_bound(
      std::begin(kSpecialCasing), std::end(kSpecialCasing), c,
      [](const SpecialCasing& entry, char32_t wanted) { return entry.character < wanted; });
  return found != std::end(kSpecialCasing) && found->character == c ? found : nullptr;
}

void AppendUpper(char32_t c, std::string* out) {
  if (const SpecialCasing* special = FindSpecialCasing(c)) {
    out->append(special->upper);
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))), out);
  }
}

void AppendTitle(char32_t c, std::string* out) {
  if (const SpecialCasing* special = FindSpecialCasing(c)) {
    out->append(special->title);
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))), out);
  }
}

bool IsCased(char32_t c) {
  return IsLowerCharacter(c) || IsUpperCharacter(c) || IsTitleCharacter(c);
}

// Characters that the rule of the final sigma looks through (Unicode's Case_Ignorable).
bool IsCaseIgnorable(char32_t c) {
  switch (Category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      break;
  }
  constexpr char32_t kPunctuation[] = {0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,
                                       0x5F4,  0x2018, 0x2019, 0x2024, 0x2027, 0xFE13,
                                       0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
  return std::find(std::begin(kPunctuation), std::end(kPunctuation), c) != std::end(kPunctuation);
}

size_t PreviousCharacter(absl::string_view text, size_t offset) {
  do {
    --offset;
  } while (offset > 0 && (static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80);
  return offset;
}

// Whether the capital sigma at `offset` ends a word: a cased letter before it and none after.
bool IsFinalSigma(absl::string_view text, size_t offset) {
  bool cased_before = false;
  for (size_t i = offset; i > 0;) {
    i = PreviousCharacter(text, i);
    const char32_t c = DecodeUtf8(text, i).code_point;
    if (IsCaseIgnorable(c)) continue;
    cased_before = IsCased(c);
    break;
  }
  if (!cased_before) return false;
  for (size_t i = offset + 2; i < text.size();) {
    const DecodedCharacter next = DecodeUtf8(text, i);
    i += next.length;
    if (!IsCaseIgnorable(next.code_point)) return !IsCased(next.code_point);
  }
  return true;
}

void AppendLower(absl::string_view text, size_t offset, char32_t c, std::string* out) {
  if (c < 0x80) {
    out->push_back(static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c));
  } else if (c == 0x130) {
    out->append("i\u0307");
  } else if (c == 0x3A3) {
    out->append(IsFinalSigma(text, offset) ? "\u03C2" : "\u03C3");
  } else {
    AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), out);
  }
}

bool IsAscii(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<signed char>(c) >= 0; });
}

size_t LineEndLength(absl::string_view text, size_t offset) {
  const DecodedCharacter c = DecodeUtf8(text, offset);
  switch (c.code_point) {
    case '\r':
      return offset + 1 < text.size() && text[offset + 1] == '\n' ? 2 : 1;
    case '\n':
    case '\v':
    case '\f':
    case 0x1C:
    case 0x1D:
    case 0x1E:
    case 0x85:
    case 0x2028:
    case 0x2029:
      return c.length;
    default:
      return 0;
  }
}

}  // namespace

size_t CountCharacters(absl::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

size_t CharacterOffset(absl::string_view text, size_t index) {
  size_t offset = 0;
  for (; offset < text.size(); ++offset) {
    if ((static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80) continue;
    if (index-- == 0) break;
  }
  return offset;
}

size_t CharacterLength(absl::string_view text, size_t offset) {
  return DecodeUtf8(text, offset).length;
}

bool IsSpaceCharacter(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool IsAlphabetic(char32_t c) {
  switch (Category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return true;
    default:
      return false;
  }
}

bool IsDecimal(char32_t c) {
  return Category(c) == UTF8PROC_CATEGORY_ND;
}

bool IsDigit(char32_t c) {
  // Digits that are not decimal: superscripts, circled and other forms.
  struct Interval {
    char32_t first, last;
  };
  constexpr Interval kDigits[] = {
      {0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
      {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
      {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
      {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
      {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A}};
  if (IsDecimal(c)) return true;
  return std::any_of(std::begin(kDigits), std::end(kDigits),
                     [c](const Interval& i) { return c >= i.first && c <= i.last; });
}

bool IsAlphanumeric(char32_t c) {
  switch (Category(c)) {
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:
      return IsAlphabetic(c);
  }
}

bool IsWordCharacter(char32_t c) {
  return c == '_' || IsAlphanumeric(c);
}

bool IsLowerCharacter(char32_t c) {
  const utf8proc_category_t category = Category(c);
  if (category == UTF8PROC_CATEGORY_LL) return true;
  // Roman numerals and circled letters have case without being letters.
  return (category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_SO) &&
         utf8proc_toupper(static_cast<utf8proc_int32_t>(c)) != static_cast<utf8proc_int32_t>(c);
}

bool IsUpperCharacter(char32_t c) {
  const utf8proc_category_t category = Category(c);
  if (category == UTF8PROC_CATEGORY_LU) return true;
  return (category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_SO) &&
         utf8proc_tolower(static_cast<utf8proc_int32_t>(c)) != static_cast<utf8proc_int32_t>(c);
}

bool IsTitleCharacter(char32_t c) {
  return Category(c) == UTF8PROC_CATEGORY_LT;
}

bool IsPrintable(char32_t c) {
  switch (Category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return c == ' ';
    default:
      return true;
  }
}

bool HasOnlyCase(absl::string_view text, bool upper) {
  bool found = false;
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter c = DecodeUtf8(text, i);
    const bool is_upper = IsUpperCharacter(c.code_point);
    const bool is_lower = IsLowerCharacter(c.code_point);
    if (IsTitleCharacter(c.code_point) || (upper ? is_lower : is_upper)) return false;
    found |= upper ? is_upper : is_lower;
    i += c.length;
  }
  return found;
}

absl::string_view StripLeft(absl::string_view text) {
  size_t offset = 0;
  while (offset < text.size()) {
    const DecodedCharacter c = DecodeUtf8(text, offset);
    if (!IsSpaceCharacter(c.code_point)) break;
    offset += c.length;
  }
  return text.substr(offset);
}

absl::string_view StripRight(absl::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    const size_t start = PreviousCharacter(text, end);
    if (!IsSpaceCharacter(DecodeUtf8(text, start).code_point)) break;
    end = start;
  }
  return text.substr(0, end);
}

std::string ToUpper(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  if (IsAscii(text)) {
    for (const char c : text) out.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
    return out;
  }
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter c = DecodeUtf8(text, i);
    AppendUpper(c.code_point, &out);
    i += c.length;
  }
  return out;
}

std::string ToLower(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  if (IsAscii(text)) {
    for (const char c : text) out.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
    return out;
  }
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter c = DecodeUtf8(text, i);
    AppendLower(text, i, c.code_point, &out);
    i += c.length;
  }
  return out;
}

std::string Capitalize(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter c = DecodeUtf8(text, i);
    if (i == 0) {
      AppendTitle(c.code_point, &out);
    } else {
      AppendLower(text, i, c.code_point, &out);
    }
    i += c.length;
  }
  return out;
}

std::string ToTitle(absl::string_view text) {
  std::string out;
  bool in_word = false;
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter c = DecodeUtf8(text, i);
    if (in_word) {
      AppendLower(text, i, c.code_point, &out);
    } else {
      AppendTitle(c.code_point, &out);
    }
    in_word = IsCased(c.code_point);
    i += c.length;
  }
  return out;
}

std::string SwapCase(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter c = DecodeUtf8(text, i);
    if (IsUpperCharacter(c.code_point)) {
      AppendLower(text, i, c.code_point, &out);
    } else if (IsLowerCharacter(c.code_point)) {
      AppendUpper(c.code_point, &out);
    } else {
      AppendUtf8(c.code_point, &out);
    }
    i += c.length;
  }
  return out;
}

std::vector<absl::string_view> SplitLines(absl::string_view text, bool keep_ends) {
  std::vector<absl::string_view> lines;
  size_t start = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t end_length = LineEndLength(text, i);
    if (end_length == 0) {
      i += CharacterLength(text, i);
      continue;
    }
    lines.push_back(text.substr(start, i + (keep_ends ? end_length : 0) - start));
    i += end_length;
    start = i;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

size_t FindText(absl::string_view text, absl::string_view needle, size_t from) {
  if (from > text.size()) return absl::string_view::npos;
  if (needle.empty()) return from;
  const void* const found =
      memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  if (found == nullptr) return absl::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

}  // namespace llmcore::core::chat
