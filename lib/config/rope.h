// Rotary frequencies of a model (Su et al. 2021, RoFormer) with the published ways to extend the
// context, as Hugging Face transformers computes them: in float32, in the same order of operations.
#ifndef LLMCORE_LIB_CONFIG_ROPE_H_
#define LLMCORE_LIB_CONFIG_ROPE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "lib/config/model_config.h"

namespace llmcore::core {

struct RopeFrequencies {
  // [head_dim / 2]: pair i is rotated by position * inverse[i] radians.
  std::vector<float> inverse;
  // Multiplies both cos and sin; other than 1 with YaRN only.
  float attention_scale = 1;
};

// `sequence_length` is the number of positions of the sequence, this one included. Only kDynamic
// looks at it, whose base grows with the sequence beyond max_position_embeddings (0 is as good as
// any length up to there).
RopeFrequencies RopeInverseFrequencies(const ModelConfig& config, int64_t sequence_length);

// The `inverse` of a model whose scaling is kDynamic, for the steps of the engine: allocates
// nothing.
void FillDynamicFrequencies(const ModelConfig& config, int64_t sequence_length,
                            std::span<float> inverse);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_CONFIG_ROPE_H_
