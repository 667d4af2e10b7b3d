#include "lib/tokenizer/added_tokens.h"

#include "lib/base/utf8.h"
#include "lib/tokenizer/unicode.h"

namespace llmcore::core {
namespace {

// The character that ends before `at` (> 0); text is valid UTF-8.
char32_t CharacterBefore(absl::string_view text, size_t at, size_t* start) {
  *start = at - 1;
  while (*start > 0 && (static_cast<uint8_t>(text[*start]) & 0xC0) == 0x80) --*start;
  return DecodeUtf8(text, *start).code_point;
}

bool IsSingleWord(absl::string_view text, TextSpan span) {
  size_t start = 0;
  if (span.begin > 0 && IsWordCharacter(CharacterBefore(text, span.begin, &start))) return false;
  return span.end == text.size() || !IsWordCharacter(DecodeUtf8(text, span.end).code_point);
}

// Goes back over white space, but not before `limit`.
size_t WithoutSpacesBefore(absl::string_view text, size_t at, size_t limit) {
  while (at > limit) {
    size_t start = 0;
    if (!IsWhitespace(CharacterBefore(text, at, &start))) break;
    at = start;
  }
  return at;
}

size_t WithSpacesAfter(absl::string_view text, size_t at) {
  while (at < text.size()) {
    const DecodedCharacter character = DecodeUtf8(text, at);
    if (!IsWhitespace(character.code_point)) break;
    at += character.length;
  }
  return at;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(const std::vector<AddedToken>& tokens, bool normalized) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::string& pattern = tokens[i].pattern;
    if (tokens[i].normalized != normalized || pattern.empty()) continue;
    patterns_.Insert(pattern, static_cast<uint32_t>(i));
    starts_[static_cast<uint8_t>(pattern[0])] = true;
    is_empty_ = false;
  }
}

bool AddedTokenMatcher::FindAt(absl::string_view text, size_t at, Match* match) const {
  bool found = false;
  patterns_.VisitPrefixes(text, at, [&](size_t length, uint32_t token) {
    *match = {at + length, token};
    found = true;
  });
  return found;
}

std::vector<TextSection> AddedTokenMatcher::Split(const std::vector<AddedToken>& tokens,
                                                  absl::string_view text,
                                                  bool parse_special) const {
  std::vector<TextSection> sections;
  size_t done = 0;
  const size_t search_end = is_empty_ ? 0 : text.size();
  for (size_t at = 0; at < search_end;) {
    Match match{};
    if (!starts_[static_cast<uint8_t>(text.data()[at])] || !FindAt(text, at, &match)) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens[match.token];
    TextSpan span = {at, match.end};
    at = match.end;
    if (token.special && !parse_special) continue;
    if (token.single_word && !IsSingleWord(text, span)) continue;
    if (token.lstrip) span.begin = WithoutSpacesBefore(text, span.begin, done);
    if (token.rstrip) span.end = WithSpacesAfter(text, span.end);
    if (done < span.begin) sections.push_back({{done, span.begin}, -1});
    sections.push_back({span, token.id});
    done = span.end;
  }
  if (done < text.size()) sections.push_back({{done, text.size()}, -1});
  return sections;
}

}  // namespace llmcore::core
