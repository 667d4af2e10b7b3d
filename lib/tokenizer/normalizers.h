// Normalizers rewrite a stretch of text before it is split. Each is one entry of tokenizer.json's
// "normalizer"; a Sequence is flattened by the loader.
#ifndef LLMCORE_LIB_TOKENIZER_NORMALIZERS_H_
#define LLMCORE_LIB_TOKENIZER_NORMALIZERS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/tokenizer/charsmap.h"
#include "lib/tokenizer/regex.h"
#include "lib/tokenizer/unicode.h"

namespace llmcore::core {

struct NormalizedText {
  std::string text;
  // Whether the text still begins with what stood first. The Metaspace scheme "first" marks only
  // such text.
  bool keeps_start = true;
};

class Normalizer {
 public:
  Normalizer() = default;
  virtual ~Normalizer() = default;
  Normalizer(const Normalizer&) = delete;
  Normalizer& operator=(const Normalizer&) = delete;

  // Valid UTF-8 in and out.
  virtual absl::Status Apply(NormalizedText* text) const = 0;
};

struct BertNormalizerOptions {
  bool clean_text = true;            // drops control characters, turns white space into spaces
  bool handle_chinese_chars = true;  // puts spaces around ideographs
  bool strip_accents = true;         // the default is `lowercase`
  bool lowercase = true;
};

std::unique_ptr<Normalizer> MakeUnicodeNormalizer(NormalizationForm form);
std::unique_ptr<Normalizer> MakePrependNormalizer(std::string text);
std::unique_ptr<Normalizer> MakeReplaceNormalizer(std::string pattern, std::string content);
std::unique_ptr<Normalizer> MakeRegexReplaceNormalizer(Regex pattern, std::string content);
std::unique_ptr<Normalizer> MakeLowercaseNormalizer();
std::unique_ptr<Normalizer> MakeStripNormalizer(bool left, bool right);
std::unique_ptr<Normalizer> MakeStripAccentsNormalizer();
std::unique_ptr<Normalizer> MakeNmtNormalizer();
std::unique_ptr<Normalizer> MakeByteLevelNormalizer();
std::unique_ptr<Normalizer> MakeBertNormalizer(const BertNormalizerOptions& options);

std::unique_ptr<Normalizer> MakePrecompiledNormalizer(CharsMap map);

// What a SentencePiece model does to text before segmenting it.
struct SentencePieceNormalizerOptions {
  CharsMap map;                          // of several entries the longest counts
  std::vector<std::string> verbatim;     // user-defined symbols, which stay as they are
  bool add_dummy_prefix = true;          // a space before the text
  bool remove_extra_whitespaces = true;  // at both ends, and all but one in a row
  bool escape_whitespaces = true;        // spaces become U+2581
};
std::unique_ptr<Normalizer> MakeSentencePieceNormalizer(SentencePieceNormalizerOptions options);

// Replaces every occurrence of `pattern`, from left to right. An empty pattern stands between any
// two characters and at both ends.
std::string ReplaceAll(absl::string_view text, absl::string_view pattern,
                       absl::string_view content);
absl::StatusOr<std::string> ReplaceAll(absl::string_view text, const Regex& pattern,
                                       absl::string_view content);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_NORMALIZERS_H_
