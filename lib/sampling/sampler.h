// Draws the next token of a sequence from the logits of its last position.
#ifndef LLMCORE_LIB_SAMPLING_SAMPLER_H_
#define LLMCORE_LIB_SAMPLING_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lib/base/status.h"
#include "lib/sampling/logprobs.h"
#include "lib/sampling/params.h"
#include "lib/sampling/philox.h"
#include "lib/sampling/processors.h"

namespace llmcore::core {

struct SampledToken {
  int32_t id = 0;
  // Natural logarithm of softmax(logits)[id], before any processor: what the model thought of the
  // token, whatever was done to draw it (the definition of vLLM's raw log-probabilities).
  float logprob = 0;
  // The SamplingParams::logprobs most likely tokens by the same measure, most likely first, lower
  // ids first among equals. Borrowed from the sampler until its next call.
  std::span<const TokenLogprob> top;
};

// What one draw depends on, and nothing else does.
struct SampleInput {
  const SamplingParams* params = nullptr;  // valid; its `seed` is not read
  DrawKey key;
  std::span<const float> logits;     // [vocabulary] of the last position
  std::span<const int32_t> history;  // the sequence so far: prompt, then generated tokens
  size_t generated_count = 0;        // how many tokens at the end of `history` were generated
};

// Holds the scratch of a draw, and no state between draws: one sampler serves any number of
// sequences, one at a time. Memory is taken at creation; Sample allocates nothing.
class Sampler {
 public:
  explicit Sampler(int32_t vocabulary_size);

  // Bytes that a sampler takes.
  static uint64_t ScratchBytes(int32_t vocabulary_size);

  // INTERNAL when a logit is NaN or +infinity or all are -infinity, naming token and position;
  // INVALID_ARGUMENT when logit_bias names a token outside the vocabulary or leaves none, or when
  // sizes do not fit.
  absl::StatusOr<SampledToken> Sample(const SampleInput& input);

 private:
  absl::Status Check(const SampleInput& input) const;
  std::span<const float> Processed(const SampleInput& input);
  int32_t Draw(const SamplingParams& params, const DrawKey& key, std::span<const float> logits);

  std::vector<float> logits_;
  std::vector<int32_t> ids_;
  std::vector<float> weights_;
  std::vector<float> scores_;
  std::vector<int32_t> counts_;  // zeros between the processors that use it
  std::vector<TokenLogprob> top_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SAMPLING_SAMPLER_H_
