#include "lib/tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "lib/base/utf8.h"

namespace llmcore::core {
namespace {

utf8proc_category_t CategoryOf(char32_t c) {
  return static_cast<utf8proc_category_t>(
      utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->category);
}

bool IsBetween(utf8proc_category_t category, utf8proc_category_t low, utf8proc_category_t high) {
  return category >= low && category <= high;
}

struct CharacterRange {
  char32_t first;
  char32_t last;
};

// Characters to which versions of Unicode after 9.0 gave a combining class or a decomposition.
// Hugging Face's normalizers have the data of 9.0, and so had the models the texts they were
// trained on: to these normalizers such a character is a letter like any other.
constexpr CharacterRange kNewerThanNormalizers[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},
    {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x10785}, {0x10787, 0x107B0},
    {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
    {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11930}, {0x11938, 0x11938},
    {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E030, 0x1E06D},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}};

bool IsInert(char32_t c) {
  if (c < kNewerThanNormalizers[0].first) return false;
  const auto* const range =
      std::lower_bound(std::begin(kNewerThanNormalizers), std::end(kNewerThanNormalizers), c,
                       [](const CharacterRange& a, char32_t b) { return a.last < b; });
  return range != std::end(kNewerThanNormalizers) && range->first <= c;
}

int CombiningClass(utf8proc_int32_t c) {
  if (IsInert(static_cast<char32_t>(c))) return 0;
  return utf8proc_get_property(c)->combining_class;
}

// Canonical ordering: each run of non-starters sorted by combining class, equal ones in order.
void SortCombiningMarks(std::vector<utf8proc_int32_t>* characters) {
  const auto end = characters->end();
  for (auto run = characters->begin(); run != end;) {
    if (CombiningClass(*run) == 0) {
      ++run;
      continue;
    }
    const auto run_end =
        std::find_if(run, end, [](utf8proc_int32_t c) { return CombiningClass(c) == 0; });
    std::stable_sort(run, run_end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
      return CombiningClass(a) < CombiningClass(b);
    });
    run = run_end;
  }
}

void AppendDecomposition(char32_t c, bool compatibility, std::vector<utf8proc_int32_t>* out) {
  if (IsInert(c)) {
    out->push_back(static_cast<utf8proc_int32_t>(c));
    return;
  }
  // The longest decomposition, of U+FDFA, has 18 characters.
  utf8proc_int32_t buffer[32];
  const int options = UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatibility ? UTF8PROC_COMPAT : 0);
  int boundary = 0;
  const utf8proc_ssize_t count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), buffer, 32,
                              static_cast<utf8proc_option_t>(options), &boundary);
  if (count < 0 || count > 32) {
    out->push_back(static_cast<utf8proc_int32_t>(c));
  } else {
    out->insert(out->end(), buffer, buffer + count);
  }
}

// Canonical composition in place. What composes with nothing is composed around: inert characters,
// and U+11A7, one before the first trailing jamo, which utf8proc takes for one and drops.
void Compose(std::vector<utf8proc_int32_t>* characters) {
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  const auto stands_alone = [](utf8proc_int32_t c) {
    return c == 0x11A7 || IsInert(static_cast<char32_t>(c));
  };
  auto out = characters->begin();
  for (auto begin = characters->begin(); begin != characters->end();) {
    const auto end = std::find_if(begin, characters->end(), stands_alone);
    const utf8proc_ssize_t count = utf8proc_normalize_utf32(&*begin, end - begin, options);
    out = std::copy(begin, begin + count, out);
    begin = end;
    if (begin != characters->end()) *out++ = *begin++;
  }
  characters->erase(out, characters->end());
}

void AppendNormalized(absl::string_view text, NormalizationForm form,
                      std::vector<utf8proc_int32_t>* characters, std::string* out) {
  const bool composes = form == NormalizationForm::kNfc || form == NormalizationForm::kNfkc;
  const bool compatibility = form == NormalizationForm::kNfkc || form == NormalizationForm::kNfkd;
  characters->clear();
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter character = DecodeUtf8(text, i);
    i += character.length;
    AppendDecomposition(character.code_point, compatibility, characters);
  }
  SortCombiningMarks(characters);
  if (composes) Compose(characters);
  for (const utf8proc_int32_t c : *characters) AppendUtf8(static_cast<char32_t>(c), out);
}

}  // namespace

bool IsWhitespace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0D);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

CharacterClass ClassOf(char32_t c) {
  const utf8proc_category_t category = CategoryOf(c);
  if (IsBetween(category, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO)) return kClassLetter;
  if (IsBetween(category, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO)) return kClassNumber;
  return IsWhitespace(c) ? kClassSpace : kClassOther;
}

bool IsNumeric(char32_t c) {
  return IsBetween(CategoryOf(c), UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
}

bool IsPunctuation(char32_t c) {
  if (c < 0x80) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  }
  return IsBetween(CategoryOf(c), UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO);
}

bool IsWordCharacter(char32_t c) {
  const utf8proc_category_t category = CategoryOf(c);
  if (IsBetween(category, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_NL)) return true;  // L, M, Nd, Nl
  if (category == UTF8PROC_CATEGORY_PC) return true;
  // Other_Alphabetic beyond the marks, and Join_Control.
  return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
         (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189) || c == 0x200C ||
         c == 0x200D;
}

bool IsMark(char32_t c) {
  return IsBetween(CategoryOf(c), UTF8PROC_CATEGORY_MN, UTF8PROC_CATEGORY_ME);
}

bool IsNonspacingMark(char32_t c) {
  return CategoryOf(c) == UTF8PROC_CATEGORY_MN;
}

bool IsOtherCategory(char32_t c) {
  const utf8proc_category_t category = CategoryOf(c);
  return category == UTF8PROC_CATEGORY_CN ||
         IsBetween(category, UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CO);
}

void AppendLowercase(char32_t c, std::string* out) {
  if (c == 0x130) {  // the one character whose lowercase form is two, whatever the language
    out->append("i\xCC\x87");
    return;
  }
  AppendUtf8(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), out);
}

// Most characters of most texts stay as they are: those below U+0300 under NFC, ASCII under the
// other forms. None of them combines with what stands before it, so only the stretches between them
// are normalized, each with the character before it.
std::string NormalizeUnicode(absl::string_view text, NormalizationForm form) {
  const uint8_t first_lead = form == NormalizationForm::kNfc ? 0xCC : 0x80;
  const auto is_plain = [text, first_lead](size_t i) {
    return static_cast<uint8_t>(text.data()[i]) < first_lead;
  };
  std::vector<utf8proc_int32_t> characters;
  std::string out;
  out.reserve(text.size());
  for (size_t done = 0; done < text.size();) {
    size_t end = done;
    size_t before = done;  // start of the last plain character
    while (end < text.size() && is_plain(end)) {
      before = end;
      end += DecodeUtf8(text, end).length;
    }
    if (end == text.size()) before = end;
    out.append(text.data() + done, before - done);
    while (end < text.size() && !is_plain(end)) end += DecodeUtf8(text, end).length;
    AppendNormalized(text.substr(before, end - before), form, &characters, &out);
    done = end;
  }
  return out;
}

std::vector<size_t> GraphemeEnds(absl::string_view text) {
  std::vector<size_t> ends;
  utf8proc_int32_t state = 0;
  char32_t previous = 0;
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter character = DecodeUtf8(text, i);
    if (i > 0 && utf8proc_grapheme_break_stateful(
                     static_cast<utf8proc_int32_t>(previous),
                     static_cast<utf8proc_int32_t>(character.code_point), &state)) {
      ends.push_back(i);
    }
    previous = character.code_point;
    i += character.length;
  }
  if (!text.empty()) ends.push_back(text.size());
  return ends;
}

}  // namespace llmcore::core
