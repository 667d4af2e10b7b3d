#include "lib/model/rotary_table.h"

#include <cmath>

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
  if (config_.rope.scaling == RopeScaling::kDynamic &&
      position >= config_.max_position_embeddings) {
    FillAngles(RopeInverseFrequencies(config_, position + 1), position, cos_sin);
  } else {
    FillAngles(frequencies_, position, cos_sin);
  }
}

void RotaryTable::FillAngles(const RopeFrequencies& frequencies, int64_t position,
                             float* cos_sin) const {
  // Angles are rounded to f32 before cos and sin, as in the model code.
  const auto p = static_cast<float>(position);
  const size_t half = static_cast<size_t>(config_.head_dim) / 2;
  for (size_t i = 0; i < half; ++i) {
    const float angle = p * frequencies.inverse[i];
    cos_sin[i] = std::cos(angle) * frequencies.attention_scale;
    cos_sin[half + i] = std::sin(angle) * frequencies.attention_scale;
  }
}

}  // namespace llmcore::core
