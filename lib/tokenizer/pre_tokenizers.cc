#include "lib/tokenizer/pre_tokenizers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "lib/base/utf8.h"
#include "lib/tokenizer/byte_alphabet.h"
#include "lib/tokenizer/normalizers.h"
#include "lib/tokenizer/split_patterns.h"
#include "lib/tokenizer/unicode.h"

namespace llmcore::core {
namespace {

// A stretch that either matched the pattern of delimiters or did not.
struct Part {
  TextSpan span;
  bool is_match;
};

// The matches of one word and what lies between them; `word` is their offset in the text.
void AppendParts(const std::vector<TextSpan>& matches, TextSpan word, bool invert,
                 std::vector<Part>* parts) {
  size_t at = word.begin;
  for (const TextSpan& match : matches) {
    const TextSpan shifted = {match.begin + word.begin, match.end + word.begin};
    if (at != shifted.begin) parts->push_back({{at, shifted.begin}, invert});
    parts->push_back({shifted, !invert});
    at = shifted.end;
  }
  if (at != word.end) parts->push_back({{at, word.end}, invert});
}

void AppendWord(TextSpan span, std::vector<TextSpan>* words) {
  if (span.begin < span.end) words->push_back(span);
}

// A part joins the word before it where `joins` says so.
template <typename Joins>
void JoinParts(const std::vector<Part>& parts, Joins joins, std::vector<TextSpan>* words) {
  for (size_t i = 0; i < parts.size();) {
    TextSpan word = parts[i].span;
    for (++i; i < parts.size() && joins(parts[i - 1], parts[i]); ++i) word.end = parts[i].span.end;
    AppendWord(word, words);
  }
}

void AppendWords(const std::vector<Part>& parts, SplitBehavior behavior,
                 std::vector<TextSpan>* words) {
  switch (behavior) {
    case SplitBehavior::kRemoved:
      for (const Part& part : parts) {
        if (!part.is_match) AppendWord(part.span, words);
      }
      break;
    case SplitBehavior::kIsolated:
      for (const Part& part : parts) AppendWord(part.span, words);
      break;
    case SplitBehavior::kContiguous:
      JoinParts(
          parts, [](const Part& a, const Part& b) { return a.is_match == b.is_match; }, words);
      break;
    case SplitBehavior::kMergedWithPrevious:
      JoinParts(
          parts, [](const Part& a, const Part& b) { return !a.is_match && b.is_match; }, words);
      break;
    case SplitBehavior::kMergedWithNext:
      JoinParts(
          parts, [](const Part& a, const Part& b) { return a.is_match && !b.is_match; }, words);
      break;
  }
}

// Splits each word by `find`, which fills in the matches in the word's text.
template <typename Find>
absl::Status SplitWords(SplitBehavior behavior, bool invert, Find find, PreTokenizedText* text) {
  std::vector<TextSpan> words;
  std::vector<TextSpan> matches;
  std::vector<Part> parts;
  words.reserve(text->words.size() * 2);
  for (size_t i = 0; i < text->words.size(); ++i) {
    matches.clear();
    parts.clear();
    LLMCORE_RETURN_IF_ERROR(find(text->WordAt(i), &matches));
    AppendParts(matches, text->words[i], invert, &parts);
    AppendWords(parts, behavior, &words);
  }
  text->words = std::move(words);
  return absl::OkStatus();
}

// Every character for which `is_delimiter` holds is a match of its own.
template <typename IsDelimiter>
absl::Status SplitByCharacter(SplitBehavior behavior, IsDelimiter is_delimiter,
                              PreTokenizedText* text) {
  const auto find = [&is_delimiter](absl::string_view word, std::vector<TextSpan>* matches) {
    for (size_t i = 0; i < word.size();) {
      const DecodedCharacter character = DecodeUtf8(word, i);
      const size_t next = i + character.length;
      if (is_delimiter(character.code_point)) matches->push_back({i, next});
      i = next;
    }
    return absl::OkStatus();
  };
  return SplitWords(behavior, /*invert=*/false, find, text);
}

// Writes each word anew: rewrite(i, word, out) appends what it becomes.
template <typename Rewrite>
void RewriteWords(Rewrite rewrite, PreTokenizedText* text) {
  std::string storage;
  storage.reserve(text->text.size() + text->text.size() / 4 + 16);
  for (size_t i = 0; i < text->words.size(); ++i) {
    const size_t begin = storage.size();
    rewrite(i, text->WordAt(i), &storage);
    text->words[i] = {begin, storage.size()};
  }
  text->storage = std::move(storage);
  text->text = text->storage;
}

class ByteLevelPreTokenizer final : public PreTokenizer {
 public:
  explicit ByteLevelPreTokenizer(const ByteLevelOptions& options) : options_(options) {}

  absl::Status Apply(PreTokenizedText* text) const override {
    if (options_.add_prefix_space) {
      RewriteWords(
          [](size_t, absl::string_view word, std::string* out) {
            if (word[0] != ' ') out->push_back(' ');
            out->append(word.data(), word.size());
          },
          text);
    }
    if (options_.use_regex) {
      std::vector<TextSpan> words;
      for (const TextSpan& word : text->words) {
        FindSplits(SplitPattern::kGpt2, text->text, word, &words);
      }
      text->words = std::move(words);
    }
    if (options_.write_alphabet) {
      RewriteWords(
          [](size_t, absl::string_view word, std::string* out) { AppendInByteAlphabet(word, out); },
          text);
    }
    return absl::OkStatus();
  }

 private:
  const ByteLevelOptions options_;
};

class MetaspacePreTokenizer final : public PreTokenizer {
 public:
  explicit MetaspacePreTokenizer(MetaspaceOptions options) : options_(std::move(options)) {}

  absl::Status Apply(PreTokenizedText* text) const override {
    const bool first_is_at_origin =
        text->at_origin && !text->words.empty() && text->words[0].begin == 0;
    RewriteWords(
        [this, first_is_at_origin](size_t i, absl::string_view word, std::string* out) {
          const bool is_marked = word[0] == ' ' || absl::StartsWith(word, options_.replacement);
          const bool is_wanted =
              options_.prepend_scheme == PrependScheme::kAlways ||
              (options_.prepend_scheme == PrependScheme::kFirst && i == 0 && first_is_at_origin);
          if (is_wanted && !is_marked) out->append(options_.replacement);
          for (const char c : word) {
            if (c == ' ') {
              out->append(options_.replacement);
            } else {
              out->push_back(c);
            }
          }
        },
        text);
    if (!options_.split) return absl::OkStatus();
    return SplitWords(
        SplitBehavior::kMergedWithNext, /*invert=*/false,
        [this](absl::string_view word, std::vector<TextSpan>* matches) {
          const size_t size = options_.replacement.size();
          for (size_t at = word.find(options_.replacement); at != absl::string_view::npos;
               at = word.find(options_.replacement, at + size)) {
            matches->push_back({at, at + size});
          }
          return absl::OkStatus();
        },
        text);
  }

 private:
  const MetaspaceOptions options_;
};

class RegexSplit final : public PreTokenizer {
 public:
  RegexSplit(Regex regex, SplitBehavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}
  absl::Status Apply(PreTokenizedText* text) const override {
    return SplitWords(
        behavior_, invert_,
        [this](absl::string_view word, std::vector<TextSpan>* matches) {
          return regex_.FindAll(word, matches);
        },
        text);
  }

 private:
  const Regex regex_;
  const SplitBehavior behavior_;
  const bool invert_;
};

// Isolated matches of a pattern that covers all text: the matches are the words.
class PatternSplit final : public PreTokenizer {
 public:
  explicit PatternSplit(SplitPattern pattern) : pattern_(pattern) {}
  absl::Status Apply(PreTokenizedText* text) const override {
    std::vector<TextSpan> words;
    words.reserve(text->text.size() / 4);  // English: 4.5 bytes a word
    for (const TextSpan& word : text->words) FindSplits(pattern_, text->text, word, &words);
    text->words = std::move(words);
    return absl::OkStatus();
  }

 private:
  const SplitPattern pattern_;
};

class StringSplit final : public PreTokenizer {
 public:
  StringSplit(std::string pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  absl::Status Apply(PreTokenizedText* text) const override {
    return SplitWords(
        behavior_, invert_,
        [this](absl::string_view word, std::vector<TextSpan>* matches) {
          if (pattern_.empty()) return MatchBetweenCharacters(word, matches);
          for (size_t at = word.find(pattern_); at != absl::string_view::npos;
               at = word.find(pattern_, at + pattern_.size())) {
            matches->push_back({at, at + pattern_.size()});
          }
          return absl::OkStatus();
        },
        text);
  }

 private:
  static absl::Status MatchBetweenCharacters(absl::string_view word,
                                             std::vector<TextSpan>* matches) {
    for (size_t i = 0; i < word.size(); i += DecodeUtf8(word, i).length) matches->push_back({i, i});
    matches->push_back({word.size(), word.size()});
    return absl::OkStatus();
  }

  const std::string pattern_;
  const SplitBehavior behavior_;
  const bool invert_;
};

template <typename IsDelimiter>
class CharacterSplit final : public PreTokenizer {
 public:
  CharacterSplit(SplitBehavior behavior, IsDelimiter is_delimiter)
      : behavior_(behavior), is_delimiter_(is_delimiter) {}
  absl::Status Apply(PreTokenizedText* text) const override {
    return SplitByCharacter(behavior_, is_delimiter_, text);
  }

 private:
  const SplitBehavior behavior_;
  const IsDelimiter is_delimiter_;
};

template <typename IsDelimiter>
std::unique_ptr<PreTokenizer> MakeCharacterSplit(SplitBehavior behavior, IsDelimiter is_delimiter) {
  return std::make_unique<CharacterSplit<IsDelimiter>>(behavior, is_delimiter);
}

// Runs of word characters, and runs of what is neither a word character nor white space.
class WhitespacePreTokenizer final : public PreTokenizer {
 public:
  absl::Status Apply(PreTokenizedText* text) const override {
    std::vector<TextSpan> words;
    for (const TextSpan& word : text->words) {
      Kind previous = kSpace;
      for (size_t i = word.begin; i < word.end;) {
        const DecodedCharacter character = DecodeUtf8(text->text, i);
        const size_t next = i + character.length;
        const Kind kind = KindOf(character.code_point);
        if (kind != kSpace && kind == previous) {
          words.back().end = next;
        } else if (kind != kSpace) {
          words.push_back({i, next});
        }
        previous = kind;
        i = next;
      }
    }
    text->words = std::move(words);
    return absl::OkStatus();
  }

 private:
  enum Kind { kSpace, kWord, kSymbol };
  static Kind KindOf(char32_t c) {
    if (IsWhitespace(c)) return kSpace;
    return IsWordCharacter(c) ? kWord : kSymbol;
  }
};

class BertPreTokenizer final : public PreTokenizer {
 public:
  absl::Status Apply(PreTokenizedText* text) const override {
    LLMCORE_RETURN_IF_ERROR(SplitByCharacter(SplitBehavior::kRemoved, IsWhitespace, text));
    return SplitByCharacter(SplitBehavior::kIsolated, IsPunctuation, text);
  }
};

class FixedLengthPreTokenizer final : public PreTokenizer {
 public:
  explicit FixedLengthPreTokenizer(size_t characters) : characters_(characters) {}
  absl::Status Apply(PreTokenizedText* text) const override {
    std::vector<TextSpan> words;
    for (const TextSpan& word : text->words) {
      size_t count = 0;
      for (size_t i = word.begin; i < word.end; ++count) {
        const size_t next = i + DecodeUtf8(text->text, i).length;
        if (count % characters_ == 0) words.push_back({i, next});
        words.back().end = next;
        i = next;
      }
    }
    text->words = std::move(words);
    return absl::OkStatus();
  }

 private:
  const size_t characters_;
};

}  // namespace

std::optional<SplitBehavior> ParseSplitBehavior(absl::string_view name) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return std::nullopt;
}

std::optional<PrependScheme> ParsePrependScheme(absl::string_view name) {
  if (name == "never") return PrependScheme::kNever;
  if (name == "first") return PrependScheme::kFirst;
  if (name == "always") return PrependScheme::kAlways;
  return std::nullopt;
}

std::unique_ptr<PreTokenizer> MakeByteLevelPreTokenizer(const ByteLevelOptions& options) {
  return std::make_unique<ByteLevelPreTokenizer>(options);
}

std::unique_ptr<PreTokenizer> MakeMetaspacePreTokenizer(MetaspaceOptions options) {
  return std::make_unique<MetaspacePreTokenizer>(std::move(options));
}

absl::StatusOr<std::unique_ptr<PreTokenizer>> MakeRegexSplit(absl::string_view pattern,
                                                             SplitBehavior behavior, bool invert) {
  std::unique_ptr<PreTokenizer> split;
  const std::optional<SplitPattern> known = RecognizeSplitPattern(pattern);
  // With every character matched, isolating the matches and keeping only them are the same.
  if (known.has_value() &&
      (behavior == SplitBehavior::kIsolated || (behavior == SplitBehavior::kRemoved && invert))) {
    split = std::make_unique<PatternSplit>(*known);
    return split;
  }
  LLMCORE_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern));
  split = std::make_unique<RegexSplit>(std::move(regex), behavior, invert);
  return split;
}

std::unique_ptr<PreTokenizer> MakeStringSplit(std::string pattern, SplitBehavior behavior,
                                              bool invert) {
  return std::make_unique<StringSplit>(std::move(pattern), behavior, invert);
}

std::unique_ptr<PreTokenizer> MakeWhitespacePreTokenizer() {
  return std::make_unique<WhitespacePreTokenizer>();
}

std::unique_ptr<PreTokenizer> MakeWhitespaceSplitPreTokenizer() {
  return MakeCharacterSplit(SplitBehavior::kRemoved, IsWhitespace);
}

std::unique_ptr<PreTokenizer> MakeDigitsPreTokenizer(bool individual_digits) {
  return MakeCharacterSplit(
      individual_digits ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, IsNumeric);
}

std::unique_ptr<PreTokenizer> MakePunctuationPreTokenizer(SplitBehavior behavior) {
  return MakeCharacterSplit(behavior, IsPunctuation);
}

std::unique_ptr<PreTokenizer> MakeBertPreTokenizer() {
  return std::make_unique<BertPreTokenizer>();
}

std::unique_ptr<PreTokenizer> MakeFixedLengthPreTokenizer(size_t characters) {
  return std::make_unique<FixedLengthPreTokenizer>(characters);
}

}  // namespace llmcore::core
