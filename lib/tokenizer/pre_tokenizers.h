// Pre-tokenizers cut a stretch of normalized text into words, which the model encodes one by one.
// Each is one entry of tokenizer.json's "pre_tokenizer"; a Sequence is flattened by the loader.
#ifndef LLMCORE_LIB_TOKENIZER_PRE_TOKENIZERS_H_
#define LLMCORE_LIB_TOKENIZER_PRE_TOKENIZERS_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/tokenizer/regex.h"

namespace llmcore::core {

// Text and the words in it, in order; what no word covers was removed. No word is empty.
struct PreTokenizedText {
  absl::string_view text;  // borrowed from the caller, or from `storage`
  std::vector<TextSpan> words;
  bool at_origin = true;  // whether text begins where the whole input began
  std::string storage;

  absl::string_view WordAt(size_t i) const {
    return text.substr(words[i].begin, words[i].end - words[i].begin);
  }
};

class PreTokenizer {
 public:
  PreTokenizer() = default;
  virtual ~PreTokenizer() = default;
  PreTokenizer(const PreTokenizer&) = delete;
  PreTokenizer& operator=(const PreTokenizer&) = delete;

  virtual absl::Status Apply(PreTokenizedText* text) const = 0;
};

// What becomes of the delimiters between words.
enum class SplitBehavior {
  kRemoved,             // dropped
  kIsolated,            // each a word of its own
  kMergedWithPrevious,  // the end of the word before
  kMergedWithNext,      // the start of the word after
  kContiguous,          // neighbouring delimiters are one word
};
std::optional<SplitBehavior> ParseSplitBehavior(absl::string_view name);

enum class PrependScheme { kNever, kFirst, kAlways };
std::optional<PrependScheme> ParsePrependScheme(absl::string_view name);

struct ByteLevelOptions {
  bool add_prefix_space = true;  // before each stretch that does not begin with one
  bool use_regex = true;         // split by GPT-2's pattern
  // Write the words in the byte alphabet. False where the model reads bytes (BpeOptions).
  bool write_alphabet = true;
};

struct MetaspaceOptions {
  std::string replacement = "\xE2\x96\x81";  // U+2581, stands for a space
  PrependScheme prepend_scheme = PrependScheme::kAlways;
  bool split = true;  // before each replacement
};

std::unique_ptr<PreTokenizer> MakeByteLevelPreTokenizer(const ByteLevelOptions& options);
std::unique_ptr<PreTokenizer> MakeMetaspacePreTokenizer(MetaspaceOptions options);
// The pattern is a regular expression. `invert`: it matches words rather than delimiters.
absl::StatusOr<std::unique_ptr<PreTokenizer>> MakeRegexSplit(absl::string_view pattern,
                                                             SplitBehavior behavior, bool invert);
std::unique_ptr<PreTokenizer> MakeStringSplit(std::string pattern, SplitBehavior behavior,
                                              bool invert);
std::unique_ptr<PreTokenizer> MakeWhitespacePreTokenizer();       // \w+|[^\w\s]+
std::unique_ptr<PreTokenizer> MakeWhitespaceSplitPreTokenizer();  // between white space
std::unique_ptr<PreTokenizer> MakeDigitsPreTokenizer(bool individual_digits);
std::unique_ptr<PreTokenizer> MakePunctuationPreTokenizer(SplitBehavior behavior);
std::unique_ptr<PreTokenizer> MakeBertPreTokenizer();
std::unique_ptr<PreTokenizer> MakeFixedLengthPreTokenizer(size_t characters);  // > 0

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_PRE_TOKENIZERS_H_
