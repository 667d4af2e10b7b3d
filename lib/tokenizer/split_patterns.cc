#include "lib/tokenizer/split_patterns.h"

#include <array>

#include "lib/base/utf8.h"
#include "lib/tokenizer/unicode.h"

namespace llmcore::core {
namespace {

constexpr std::array<uint8_t, 128> MakeAsciiClasses() {
  std::array<uint8_t, 128> classes{};
  for (int c = 0; c < 128; ++c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) classes[c] = kClassLetter;
    if (c >= '0' && c <= '9') classes[c] = kClassNumber;
    if (c == ' ' || (c >= 0x09 && c <= 0x0D)) classes[c] = kClassSpace;
  }
  return classes;
}
constexpr std::array<uint8_t, 128> kAsciiClasses = MakeAsciiClasses();

class Scanner {
 public:
  Scanner(absl::string_view text, size_t end) : text_(text), end_(end) {}

  struct Character {
    uint8_t character_class;
    uint32_t length;
  };

  bool Has(size_t at) const { return at < end_; }
  char ByteAt(size_t at) const { return text_.data()[at]; }

  Character At(size_t at) const {
    const auto byte = static_cast<uint8_t>(ByteAt(at));
    if (byte < 0x80) [[likely]]
      return {kAsciiClasses[byte], 1};
    const DecodedCharacter character = DecodeUtf8(text_, at);
    return {ClassOf(character.code_point), character.length};
  }

  // End of the run of characters of `wanted` from `at` on, of at most `limit` characters.
  size_t EndOfRun(size_t at, uint8_t wanted, size_t limit = SIZE_MAX) const {
    for (; Has(at) && limit > 0; --limit) {
      const Character character = At(at);
      if (character.character_class != wanted) break;
      at += character.length;
    }
    return at;
  }

  static bool IsNewline(char c) { return c == '\n' || c == '\r'; }

  size_t EndOfNewlines(size_t at) const {
    while (Has(at) && IsNewline(ByteAt(at))) ++at;
    return at;
  }

  // End of 's 't 're 've 'm 'll 'd at `at`, which holds an apostrophe; `at` when there is none.
  // Without case U+017F is an s too.
  size_t EndOfContraction(size_t at, bool ignore_case) const {
    const auto letter = [&](size_t i) -> char {
      if (!Has(i)) return '\0';
      const char c = ByteAt(i);
      return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    };
    const char first = letter(at + 1);
    const char second = letter(at + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    if ((first == 'r' || first == 'v') && second == 'e') return at + 3;
    if (first == 'l' && second == 'l') return at + 3;
    if (ignore_case && first == '\xC5' && second == '\xBF') return at + 3;
    return at;
  }

  // `\s+(?!\S)|\s+`: a run of spaces leaves its last character to the word that follows it.
  size_t EndOfSpaces(size_t at) const {
    size_t last = at;
    size_t end = at;
    while (Has(end)) {
      const Character character = At(end);
      if (character.character_class != kClassSpace) break;
      last = end;
      end += character.length;
    }
    return end == end_ || last == at ? end : last;
  }

  // The same behind `\s*[\r\n]+`, which takes the run up to its last newline.
  size_t EndOfSpacesOrLines(size_t at) const {
    size_t last = at;
    size_t end = at;
    size_t after_newline = 0;
    while (Has(end)) {
      const Character character = At(end);
      if (character.character_class != kClassSpace) break;
      last = end;
      end += character.length;
      if (IsNewline(ByteAt(last))) after_newline = end;
    }
    if (after_newline > 0) return after_newline;
    return end == end_ || last == at ? end : last;
  }

  size_t NextGpt2(size_t at) const {
    if (ByteAt(at) == '\'') {
      const size_t end = EndOfContraction(at, /*ignore_case=*/false);
      if (end > at) return end;
    }
    const size_t word = at + (ByteAt(at) == ' ' ? 1 : 0);
    if (Has(word)) {
      const Character character = At(word);
      if (character.character_class != kClassSpace) {
        return EndOfRun(word + character.length, character.character_class);
      }
    }
    return EndOfSpaces(at);
  }

  size_t NextLlama3(size_t at, size_t max_digits) const {
    if (ByteAt(at) == '\'') {
      const size_t end = EndOfContraction(at, /*ignore_case=*/true);
      if (end > at) return end;
    }
    const Character first = At(at);
    if (first.character_class == kClassLetter) return EndOfRun(at + first.length, kClassLetter);
    if (first.character_class == kClassNumber) return EndOfRun(at, kClassNumber, max_digits);
    if (!IsNewline(ByteAt(at))) {
      const size_t letters = at + first.length;
      const size_t end = EndOfRun(letters, kClassLetter);
      if (end > letters) return end;
    }
    const size_t symbols = at + (ByteAt(at) == ' ' ? 1 : 0);
    const size_t end = EndOfRun(symbols, kClassOther);
    if (end > symbols) return EndOfNewlines(end);
    return EndOfSpacesOrLines(at);
  }

 private:
  const absl::string_view text_;
  const size_t end_;
};

}  // namespace

std::optional<SplitPattern> RecognizeSplitPattern(absl::string_view pattern) {
  if (pattern == kGpt2Pattern) return SplitPattern::kGpt2;
  if (pattern == kLlama3Pattern) return SplitPattern::kLlama3;
  if (pattern == kQwen2Pattern) return SplitPattern::kQwen2;
  return std::nullopt;
}

void FindSplits(SplitPattern pattern, absl::string_view text, TextSpan span,
                std::vector<TextSpan>* matches) {
  const Scanner scanner(text, span.end);
  for (size_t at = span.begin; at < span.end;) {
    size_t end = at;
    switch (pattern) {
      case SplitPattern::kGpt2:
        end = scanner.NextGpt2(at);
        break;
      case SplitPattern::kLlama3:
        end = scanner.NextLlama3(at, 3);
        break;
      case SplitPattern::kQwen2:
        end = scanner.NextLlama3(at, 1);
        break;
    }
    matches->push_back({at, end});
    at = end;
  }
}

}  // namespace llmcore::core
