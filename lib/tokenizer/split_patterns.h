// Matchers written by hand for the patterns that most published byte-level tokenizers split by.
// Each gives the matches of its regular expression (a test compares them with PCRE2's).
#ifndef LLMCORE_LIB_TOKENIZER_SPLIT_PATTERNS_H_
#define LLMCORE_LIB_TOKENIZER_SPLIT_PATTERNS_H_

#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/tokenizer/regex.h"

namespace llmcore::core {

// The pattern of GPT-2's tokenizer, which the ByteLevel pre-tokenizer implies.
inline constexpr absl::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// Llama 3, and cl100k where it is written for Hugging Face.
inline constexpr absl::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
// Qwen 2 and 3: one digit at a time.
inline constexpr absl::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

enum class SplitPattern { kGpt2, kLlama3, kQwen2 };

// The matcher for exactly this pattern, if there is one.
std::optional<SplitPattern> RecognizeSplitPattern(absl::string_view pattern);

// Appends the matches in text[span], shifted to offsets of `text`; lookahead ends at span.end. They
// cover the whole span without gaps.
void FindSplits(SplitPattern pattern, absl::string_view text, TextSpan span,
                std::vector<TextSpan>* matches);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_SPLIT_PATTERNS_H_
