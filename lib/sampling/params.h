// How the next token is chosen from logits, and when to stop choosing.
#ifndef LLMCORE_LIB_SAMPLING_PARAMS_H_
#define LLMCORE_LIB_SAMPLING_PARAMS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/status.h"

namespace llmcore::core {

// Defaults change nothing: they draw from softmax(logits). They are those of the OpenAI API, which
// are those of transformers with two exceptions: there top_k is 50 and max_new_tokens 20.
struct SamplingParams {
  static constexpr int32_t kMaxLogprobs = 1024;
  static constexpr size_t kMaxStopBytes = size_t{64} << 10;

  // Logits are divided by it; >= 0. 0 takes the most likely token (the lowest id of equal ones)
  // and skips top_k, top_p, min_p and typical_p. Try 0.7 for chat.
  float temperature = 1.0f;

  // Only the k most likely tokens, and those as likely as the k-th; >= 0, and 0 keeps all.
  int32_t top_k = 0;

  // Only the fewest most likely tokens whose probabilities sum to at least this; 0 to 1. 1 keeps
  // all, 0 the most likely one.
  float top_p = 1.0f;

  // Only tokens at least this times as likely as the most likely one; 0 to 1. 0 keeps all.
  float min_p = 0.0f;

  // Only the fewest tokens, closest in information content to the entropy of the distribution,
  // whose probabilities sum to at least this; above 0, to 1. 1 keeps all.
  float typical_p = 1.0f;

  // Divides positive logits of tokens in the prompt or the generated text, multiplies negative
  // ones; > 0. 1 does nothing, 1.1 is a usual value.
  float repetition_penalty = 1.0f;

  // Subtracted from a token's logit once for each time it was generated, and once if it was
  // generated at all; -2 to 2. The prompt does not count. 0 does nothing.
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;

  // Equal seeds give equal draws; unset, the caller draws one from the system's entropy.
  std::optional<uint64_t> seed;

  // Tokens to generate at most; >= 0. Unset: until the context is full.
  std::optional<int32_t> max_tokens;

  // Generation ends where one of these first appears in the text, which is cut before it. Valid
  // UTF-8, none empty, kMaxStopBytes together at most.
  std::vector<std::string> stop;

  // Added to the logits of these tokens before anything else, in increasing order of the id, each
  // id once. Not NaN; -infinity forbids a token, +infinity forbids all that have a finite one.
  std::vector<std::pair<int32_t, float>> logit_bias;

  // How many of the most likely tokens are reported with their log-probabilities beside the chosen
  // one; 0 to kMaxLogprobs.
  int32_t logprobs = 0;

  // Goes on after an end-of-sequence token.
  bool ignore_eos = false;

  // INVALID_ARGUMENT naming the first field that is out of its range.
  absl::Status Validate() const;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SAMPLING_PARAMS_H_
