#include "lib/tokenizer/normalizers.h"

#include <utility>
#include <vector>

#include "lib/base/utf8.h"
#include "lib/tokenizer/byte_alphabet.h"

namespace llmcore::core {
namespace {

// Keeps, drops or rewrites each character by itself: map(c, out) appends what stands for c and
// returns whether c was kept.
template <typename Map>
class CharacterNormalizer final : public Normalizer {
 public:
  explicit CharacterNormalizer(Map map) : map_(std::move(map)) {}

  absl::Status Apply(NormalizedText* text) const override {
    std::string out;
    out.reserve(text->text.size());
    for (size_t i = 0; i < text->text.size();) {
      const DecodedCharacter character = DecodeUtf8(text->text, i);
      const bool kept = map_(character.code_point, &out);
      if (i == 0 && !kept) text->keeps_start = false;
      i += character.length;
    }
    text->text = std::move(out);
    return absl::OkStatus();
  }

 private:
  const Map map_;
};

template <typename Map>
std::unique_ptr<Normalizer> MakeCharacterNormalizer(Map map) {
  return std::make_unique<CharacterNormalizer<Map>>(std::move(map));
}

bool Keep(char32_t c, std::string* out) {
  AppendUtf8(c, out);
  return true;
}

class UnicodeNormalizer final : public Normalizer {
 public:
  explicit UnicodeNormalizer(NormalizationForm form) : form_(form) {}
  absl::Status Apply(NormalizedText* text) const override {
    text->text = NormalizeUnicode(text->text, form_);
    return absl::OkStatus();
  }

 private:
  const NormalizationForm form_;
};

class PrependNormalizer final : public Normalizer {
 public:
  explicit PrependNormalizer(std::string text) : text_(std::move(text)) {}
  absl::Status Apply(NormalizedText* text) const override {
    if (!text->text.empty()) text->text.insert(0, text_);
    return absl::OkStatus();
  }

 private:
  const std::string text_;
};

class ReplaceNormalizer final : public Normalizer {
 public:
  ReplaceNormalizer(std::string pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  absl::Status Apply(NormalizedText* text) const override {
    text->text = ReplaceAll(text->text, pattern_, content_);
    return absl::OkStatus();
  }

 private:
  const std::string pattern_;
  const std::string content_;
};

class RegexReplaceNormalizer final : public Normalizer {
 public:
  RegexReplaceNormalizer(Regex pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  absl::Status Apply(NormalizedText* text) const override {
    LLMCORE_ASSIGN_OR_RETURN(text->text, ReplaceAll(text->text, pattern_, content_));
    return absl::OkStatus();
  }

 private:
  const Regex pattern_;
  const std::string content_;
};

class StripNormalizer final : public Normalizer {
 public:
  StripNormalizer(bool left, bool right) : left_(left), right_(right) {}
  absl::Status Apply(NormalizedText* text) const override {
    const absl::string_view all = text->text;
    size_t begin = all.size();
    size_t end = 0;
    for (size_t i = 0; i < all.size();) {
      const DecodedCharacter character = DecodeUtf8(all, i);
      const size_t next = i + character.length;
      if (!IsWhitespace(character.code_point)) {
        if (end == 0) begin = i;
        end = next;
      }
      i = next;
    }
    if (!left_) begin = 0;
    if (!right_) end = all.size();
    if (begin > 0) text->keeps_start = false;
    text->text = begin < end ? std::string(all.substr(begin, end - begin)) : std::string();
    return absl::OkStatus();
  }

 private:
  const bool left_;
  const bool right_;
};

class ByteLevelNormalizer final : public Normalizer {
 public:
  absl::Status Apply(NormalizedText* text) const override {
    std::string out;
    AppendInByteAlphabet(text->text, &out);
    text->text = std::move(out);
    return absl::OkStatus();
  }
};

class SequenceNormalizer final : public Normalizer {
 public:
  explicit SequenceNormalizer(std::vector<std::unique_ptr<Normalizer>> steps)
      : steps_(std::move(steps)) {}
  absl::Status Apply(NormalizedText* text) const override {
    for (const std::unique_ptr<Normalizer>& step : steps_) {
      LLMCORE_RETURN_IF_ERROR(step->Apply(text));
    }
    return absl::OkStatus();
  }

 private:
  const std::vector<std::unique_ptr<Normalizer>> steps_;
};

bool CleanText(char32_t c, std::string* out) {
  const bool is_layout = c == '\t' || c == '\n' || c == '\r';
  if (c == 0 || c == kReplacementCharacter || (!is_layout && IsOtherCategory(c))) return false;
  return Keep(is_layout || IsWhitespace(c) ? ' ' : c, out);
}

bool SpaceIdeographs(char32_t c, std::string* out) {
  const bool is_ideograph = (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
                            (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
                            (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
                            (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
  if (is_ideograph) out->push_back(' ');
  AppendUtf8(c, out);
  if (is_ideograph) out->push_back(' ');
  return true;
}

// SentencePiece's "nmt" rules: some controls vanish, layout and invisible characters are spaces.
bool MapNmt(char32_t c, std::string* out) {
  const bool is_dropped = (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) ||
                          c == 0x7F || c == 0x8F || c == 0x9F;
  if (is_dropped) return false;
  const bool is_space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                        (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                        c == 0xFEFF || c == 0xFFFD;
  return Keep(is_space ? ' ' : c, out);
}

bool Lower(char32_t c, std::string* out) {
  AppendLowercase(c, out);
  return true;
}

}  // namespace

std::string ReplaceAll(absl::string_view text, absl::string_view pattern,
                       absl::string_view content) {
  std::string out;
  out.reserve(text.size());
  if (pattern.empty()) {
    for (size_t i = 0; i < text.size();) {
      const size_t length = DecodeUtf8(text, i).length;
      out.append(content.data(), content.size());
      out.append(text.data() + i, length);
      i += length;
    }
    if (!text.empty()) out.append(content.data(), content.size());
    return out;
  }
  size_t at = 0;
  for (size_t found = text.find(pattern); found != absl::string_view::npos;
       found = text.find(pattern, at)) {
    out.append(text.data() + at, found - at);
    out.append(content.data(), content.size());
    at = found + pattern.size();
  }
  out.append(text.data() + at, text.size() - at);
  return out;
}

absl::StatusOr<std::string> ReplaceAll(absl::string_view text, const Regex& pattern,
                                       absl::string_view content) {
  if (text.empty()) return std::string();
  std::vector<TextSpan> matches;
  LLMCORE_RETURN_IF_ERROR(pattern.FindAll(text, &matches));
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  for (const TextSpan& match : matches) {
    out.append(text.data() + at, match.begin - at);
    out.append(content.data(), content.size());
    at = match.end;
  }
  out.append(text.data() + at, text.size() - at);
  return out;
}

std::unique_ptr<Normalizer> MakeUnicodeNormalizer(NormalizationForm form) {
  return std::make_unique<UnicodeNormalizer>(form);
}

std::unique_ptr<Normalizer> MakePrependNormalizer(std::string text) {
  return std::make_unique<PrependNormalizer>(std::move(text));
}

std::unique_ptr<Normalizer> MakeReplaceNormalizer(std::string pattern, std::string content) {
  return std::make_unique<ReplaceNormalizer>(std::move(pattern), std::move(content));
}

std::unique_ptr<Normalizer> MakeRegexReplaceNormalizer(Regex pattern, std::string content) {
  return std::make_unique<RegexReplaceNormalizer>(std::move(pattern), std::move(content));
}

std::unique_ptr<Normalizer> MakeLowercaseNormalizer() {
  return MakeCharacterNormalizer(Lower);
}

std::unique_ptr<Normalizer> MakeStripNormalizer(bool left, bool right) {
  return std::make_unique<StripNormalizer>(left, right);
}

std::unique_ptr<Normalizer> MakeStripAccentsNormalizer() {
  return MakeCharacterNormalizer(
      [](char32_t c, std::string* out) { return !IsMark(c) && Keep(c, out); });
}

std::unique_ptr<Normalizer> MakeNmtNormalizer() {
  return MakeCharacterNormalizer(MapNmt);
}

std::unique_ptr<Normalizer> MakeByteLevelNormalizer() {
  return std::make_unique<ByteLevelNormalizer>();
}

std::unique_ptr<Normalizer> MakeBertNormalizer(const BertNormalizerOptions& options) {
  std::vector<std::unique_ptr<Normalizer>> steps;
  if (options.clean_text) steps.push_back(MakeCharacterNormalizer(CleanText));
  if (options.handle_chinese_chars) steps.push_back(MakeCharacterNormalizer(SpaceIdeographs));
  if (options.strip_accents) {
    steps.push_back(MakeUnicodeNormalizer(NormalizationForm::kNfd));
    steps.push_back(MakeCharacterNormalizer(
        [](char32_t c, std::string* out) { return !IsNonspacingMark(c) && Keep(c, out); }));
  }
  if (options.lowercase) steps.push_back(MakeLowercaseNormalizer());
  return std::make_unique<SequenceNormalizer>(std::move(steps));
}

}  // namespace llmcore::core
