#include "lib/sampling/sampler.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"

namespace llmcore::core {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

Sampler::Sampler(int32_t vocabulary_size) {
  const auto size = static_cast<size_t>(vocabulary_size);
  logits_.resize(size);
  ids_.resize(size);
  weights_.resize(size);
  scores_.resize(size);
  counts_.resize(size);
  top_.resize(std::min<size_t>(size, SamplingParams::kMaxLogprobs));
}

uint64_t Sampler::ScratchBytes(int32_t vocabulary_size) {
  const auto size = static_cast<uint64_t>(vocabulary_size);
  return size * (3 * sizeof(float) + 2 * sizeof(int32_t)) +
         std::min<uint64_t>(size, SamplingParams::kMaxLogprobs) * sizeof(TokenLogprob);
}

absl::Status Sampler::Check(const SampleInput& input) const {
  if (input.logits.size() != logits_.size() || logits_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("the sampler was made for ", logits_.size(),
                                                   " logits and was given ", input.logits.size()));
  }
  if (input.generated_count > input.history.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        input.generated_count, " generated tokens in a history of ", input.history.size()));
  }
  const auto& bias = input.params->logit_bias;
  if (!bias.empty() && static_cast<size_t>(bias.back().first) >= logits_.size()) {
    return absl::InvalidArgumentError(absl::StrCat("logit_bias names token ", bias.back().first,
                                                   " and the vocabulary ends at ",
                                                   logits_.size() - 1));
  }
  return absl::OkStatus();
}

absl::StatusOr<SampledToken> Sampler::Sample(const SampleInput& input) {
  LLMCORE_RETURN_IF_ERROR(Check(input));
  LLMCORE_ASSIGN_OR_RETURN(const double log_sum, LogSumExp(input.logits, input.key.position));
  SampledToken result;
  const auto top_count = std::min(static_cast<size_t>(input.params->logprobs), input.logits.size());
  const std::span<TokenLogprob> top(top_.data(), top_count);
  FindTopLogprobs(input.logits, log_sum, top);
  result.top = top;

  result.id = Draw(*input.params, input.key, Processed(input));
  if (result.id < 0) {
    return absl::InvalidArgumentError("logit_bias and penalties forbid every token");
  }
  result.logprob = static_cast<float>(
      static_cast<double>(input.logits[static_cast<size_t>(result.id)]) - log_sum);
  return result;
}

// The logits with bias and penalties: a copy only where there are any.
std::span<const float> Sampler::Processed(const SampleInput& input) {
  const SamplingParams& params = *input.params;
  const bool repetition = params.repetition_penalty != 1;
  const bool frequency = params.frequency_penalty != 0 || params.presence_penalty != 0;
  if (params.logit_bias.empty() && !repetition && !frequency) return input.logits;
  std::copy(input.logits.begin(), input.logits.end(), logits_.begin());
  ApplyLogitBias(params.logit_bias, logits_);
  if (repetition) {
    ApplyRepetitionPenalty(params.repetition_penalty, input.history, counts_, logits_);
  }
  if (frequency) {
    ApplyFrequencyAndPresencePenalties(params.frequency_penalty, params.presence_penalty,
                                       input.history.last(input.generated_count), counts_, logits_);
  }
  return logits_;
}

// -1 when no token is possible.
int32_t Sampler::Draw(const SamplingParams& params, const DrawKey& key,
                      std::span<const float> logits) {
  if (params.temperature == 0) {
    const float largest = MaxLogit(logits);
    if (largest == -kInfinity) return -1;
    return static_cast<int32_t>(std::find(logits.begin(), logits.end(), largest) - logits.begin());
  }
  Candidates candidates{logits_.data(), ids_.data(), weights_.data(), scores_.data(), 0};
  GatherCandidates(logits, &candidates);
  if (candidates.size == 0) return -1;
  ApplyTemperature(params.temperature, &candidates);
  if (params.top_k > 0) KeepTopK(params.top_k, &candidates);
  KeepTopP(params.top_p, &candidates);
  KeepMinP(params.min_p, &candidates);
  KeepTypical(params.typical_p, &candidates);
  const double sum = ComputeWeights(&candidates);
  return candidates.ids[DrawIndex({candidates.weights, candidates.size}, sum, UniformDraw(key))];
}

}  // namespace llmcore::core
