// Sampling parameters as a caller gives them: what is unset follows the model's
// generation_config.json, then the library's defaults (lib/sampling/params.h).
#ifndef LLMCORE_LIB_SESSION_GENERATION_PARAMS_H_
#define LLMCORE_LIB_SESSION_GENERATION_PARAMS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "lib/config/generation_config.h"
#include "lib/sampling/params.h"
#include "lib/tokenizer/tokenizer.h"

namespace llmcore::core {

struct GenerationParams {
  // >= 0; 0: greedy. Unset: what the model's authors recommend when they recommend sampling, else
  // 0, as transformers does.
  std::optional<float> temperature;
  std::optional<int32_t> top_k;             // >= 0; 0: all
  std::optional<float> top_p;               // (0, 1]
  std::optional<float> min_p;               // [0, 1]
  std::optional<float> typical_p;           // (0, 1]
  std::optional<float> repetition_penalty;  // > 0; 1: none
  std::optional<float> frequency_penalty;   // [-2, 2]
  std::optional<float> presence_penalty;    // [-2, 2]
  std::optional<uint64_t> seed;             // unset: from the system's entropy
  std::optional<int64_t> max_tokens;        // unset: until the model ends or the context is full
  std::vector<std::string> stops;           // not empty each
  std::vector<std::pair<TokenId, float>> logit_bias;
  int32_t logprobs = 0;  // alternatives reported a token, 0 to 20
  bool ignore_eos = false;
};

// Fills what is unset. INVALID_ARGUMENT naming the field that is out of range.
absl::StatusOr<SamplingParams> ResolveGenerationParams(const GenerationParams& params,
                                                       const GenerationConfig& config);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_GENERATION_PARAMS_H_
