// generation_config.json: what a model's authors recommend for sampling. A setting that would
// change the text and that this library has no counterpart of (beam search, contrastive search,
// ...) is UNIMPLEMENTED with its name, unless its value switches it off.
#ifndef LLMCORE_LIB_CONFIG_GENERATION_CONFIG_H_
#define LLMCORE_LIB_CONFIG_GENERATION_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/json.h"
#include "lib/base/status.h"

namespace llmcore::core {

// Unset: the file does not say.
struct GenerationConfig {
  std::optional<bool> do_sample;             // false: greedy, whatever the temperature
  std::optional<double> temperature;         // >= 0
  std::optional<int32_t> top_k;              // >= 0; 0: no limit
  std::optional<double> top_p;               // [0, 1]
  std::optional<double> min_p;               // [0, 1]
  std::optional<double> typical_p;           // (0, 1]
  std::optional<double> repetition_penalty;  // > 0
  std::optional<int64_t> max_new_tokens;
  std::optional<int64_t> max_length;

  std::optional<int32_t> bos_token_id;
  std::optional<int32_t> pad_token_id;
  std::vector<int32_t> eos_token_ids;
};

absl::StatusOr<GenerationConfig> ParseGenerationConfig(const JsonObject& json);

// Reads generation_config.json of a model directory; without one nothing is set. Errors name the
// file.
absl::StatusOr<GenerationConfig> LoadGenerationConfig(const std::string& directory);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_CONFIG_GENERATION_CONFIG_H_
