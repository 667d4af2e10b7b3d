// Log-probabilities of tokens from the logits of a position.
#ifndef LLMCORE_LIB_SAMPLING_LOGPROBS_H_
#define LLMCORE_LIB_SAMPLING_LOGPROBS_H_

#include <cstdint>
#include <span>

#include "lib/base/status.h"

namespace llmcore::core {

struct TokenLogprob {
  int32_t id = 0;
  float logprob = 0;
};

// log(sum of exp(logits)): log-softmax(logits)[i] is logits[i] less that. INTERNAL when a logit is
// NaN or +infinity or all are -infinity, naming token and position.
absl::StatusOr<double> LogSumExp(std::span<const float> logits, uint64_t position);

// Those errors: a logit that is no number to reckon with, and none above -infinity.
absl::Status UnusableLogitError(int64_t token, float logit, uint64_t position);
absl::Status NoLogitError(uint64_t position);

// The top.size() most likely tokens, at most as many as there are logits; most likely first, lower
// ids first among equals.
void FindTopLogprobs(std::span<const float> logits, double log_sum, std::span<TokenLogprob> top);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SAMPLING_LOGPROBS_H_
