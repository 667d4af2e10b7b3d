// Several answers to one prompt.
#ifndef LLMCORE_LIB_SESSION_ANSWERS_H_
#define LLMCORE_LIB_SESSION_ANSWERS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/sampling/logprobs.h"
#include "lib/session/generation.h"
#include "lib/tokenizer/tokenizer.h"

namespace llmcore::core {

struct Answer {
  std::vector<TokenId> tokens;  // generated, the one that ended it included
  std::vector<float> logprobs;  // of each token: log-softmax of the model's logits
  std::string text;             // without stop string and end token; empty without a tokenizer
  double logprob = 0;           // the sum of the logprobs
  double score = 0;             // what the answers are ordered by, best first
  uint32_t index = 0;           // among all candidates
  FinishReason finish_reason = FinishReason::kNone;
};

struct SampleCount {
  static constexpr int32_t kMaxCandidates = 256;

  int32_t answers = 1;     // that are returned, 1 to `candidates`
  int32_t candidates = 1;  // that are generated, 1 to kMaxCandidates
};

// What the model makes of the tokens of a sequence.
struct PromptLogprobs {
  std::vector<float> logprobs;    // [tokens] of each, after those before it; the first is NaN
  std::vector<TokenLogprob> top;  // [tokens - 1, top_count] most likely ones of positions 1 on
  size_t top_count = 0;

  // Of the token at `position`, 1 to the last.
  std::span<const TokenLogprob> TopAt(size_t position) const {
    return std::span(top).subspan((position - 1) * top_count, top_count);
  }
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_ANSWERS_H_
