#include "lib/sampling/device_draw.h"

#include <cmath>
#include <limits>

#include "lib/sampling/logprobs.h"

namespace llmcore::core {

std::optional<TokenDraw> DeviceDraw(const SamplingParams& params, const DrawKey& key) {
  const bool penalizes = params.repetition_penalty != 1 || params.frequency_penalty != 0 ||
                         params.presence_penalty != 0;
  const bool typical = params.temperature > 0 && params.typical_p < 1;
  if (penalizes || typical || !params.logit_bias.empty() || params.logprobs > 0) {
    return std::nullopt;
  }
  TokenDraw draw;
  draw.temperature = params.temperature;
  draw.top_k = params.top_k;
  draw.top_p = params.top_p;
  draw.least_score =
      params.min_p > 0 ? std::log(params.min_p) : -std::numeric_limits<float>::infinity();
  draw.uniform = UniformDraw(key);
  return draw;
}

absl::StatusOr<SampledToken> FinishDraw(const DrawnToken& drawn, uint64_t position) {
  if (drawn.unusable >= 0) return UnusableLogitError(drawn.unusable, drawn.logit, position);
  if (drawn.id < 0) return NoLogitError(position);
  SampledToken token;
  token.id = drawn.id;
  const double log_sum = static_cast<double>(drawn.largest) + std::log(drawn.sum);
  token.logprob = static_cast<float>(static_cast<double>(drawn.logit) - log_sum);
  return token;
}

}  // namespace llmcore::core
