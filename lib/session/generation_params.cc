#include "lib/session/generation_params.h"

#include <algorithm>
#include <limits>

namespace llmcore::core {
namespace {

// The caller's value, else the model's, else the library's default that `out` holds.
template <typename T, typename Recommended>
void Choose(const std::optional<T>& asked, const std::optional<Recommended>& recommended, T* out) {
  if (asked.has_value()) {
    *out = *asked;
  } else if (recommended.has_value()) {
    *out = static_cast<T>(*recommended);
  }
}

}  // namespace

absl::StatusOr<SamplingParams> ResolveGenerationParams(const GenerationParams& params,
                                                       const GenerationConfig& config) {
  SamplingParams resolved;
  const bool recommends_sampling = config.do_sample.value_or(false);
  if (!recommends_sampling) resolved.temperature = 0;
  Choose(params.temperature,
         recommends_sampling ? config.temperature.value_or(1.0) : std::optional<double>(),
         &resolved.temperature);
  Choose(params.top_k, config.top_k, &resolved.top_k);
  Choose(params.top_p, config.top_p, &resolved.top_p);
  Choose(params.min_p, config.min_p, &resolved.min_p);
  Choose(params.typical_p, config.typical_p, &resolved.typical_p);
  Choose(params.repetition_penalty, config.repetition_penalty, &resolved.repetition_penalty);
  resolved.frequency_penalty = params.frequency_penalty.value_or(0.0f);
  resolved.presence_penalty = params.presence_penalty.value_or(0.0f);
  resolved.seed = params.seed;
  if (params.max_tokens.has_value()) {
    if (*params.max_tokens < 0) {
      return absl::InvalidArgumentError("max_tokens must not be negative");
    }
    resolved.max_tokens = static_cast<int32_t>(
        std::min<int64_t>(*params.max_tokens, std::numeric_limits<int32_t>::max()));
  }
  resolved.stop = params.stops;
  resolved.logit_bias = params.logit_bias;
  std::sort(resolved.logit_bias.begin(), resolved.logit_bias.end());
  resolved.logprobs = params.logprobs;
  resolved.ignore_eos = params.ignore_eos;
  LLMCORE_RETURN_IF_ERROR(resolved.Validate());
  return resolved;
}

}  // namespace llmcore::core
