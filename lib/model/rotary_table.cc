#include "lib/model/rotary_table.h"

#include <cmath>
#include <span>

namespace llmcore::core {

RotaryTable::RotaryTable(const ModelConfig& config)
    : config_(config), frequencies_(RopeInverseFrequencies(config, /*context_length=*/0)) {}

void RotaryTable::Fill(const Batch& batch, float* cos_sin) const {
  for (size_t s = 0; s < batch.first_position.size(); ++s) {
    const int32_t count = batch.first_row[s + 1] - batch.first_row[s];
    for (int32_t i = 0; i < count; ++i) {
      FillRow(int64_t{batch.first_position[s]} + i, cos_sin);
      cos_sin += config_.head_dim;
    }
  }
}

void RotaryTable::FillRow(int64_t position, float* cos_sin) const {
  std::span<const float> inverse = frequencies_.inverse;
  if (config_.rope.scaling == RopeScaling::kDynamic &&
      position >= config_.max_position_embeddings) {
    // In the place of the row's cosines, each of which is computed after its frequency was read.
    FillDynamicFrequencies(config_, position + 1, {cos_sin, inverse.size()});
    inverse = {cos_sin, inverse.size()};
  }
  // Angles are rounded to f32 before cos and sin, as in the model code.
  const auto p = static_cast<float>(position);
  const size_t half = inverse.size();
  for (size_t i = 0; i < half; ++i) {
    const float angle = p * inverse[i];
    cos_sin[i] = std::cos(angle) * frequencies_.attention_scale;
    cos_sin[half + i] = std::sin(angle) * frequencies_.attention_scale;
  }
}

}  // namespace llmcore::core
