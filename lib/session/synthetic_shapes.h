// Shapes of published models, for measuring speed where no weights are.
#ifndef LLMCORE_LIB_SESSION_SYNTHETIC_SHAPES_H_
#define LLMCORE_LIB_SESSION_SYNTHETIC_SHAPES_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/config/model_config.h"

namespace llmcore::core {

// "qwen2.5-0.5b", "llama-3.2-1b", "llama-3-8b" or "qwen2.5-32b"; NOT_FOUND with these names.
absl::StatusOr<ModelConfig> SyntheticConfig(absl::string_view shape);

// Elements of the largest tensor of a model.
uint64_t LargestTensor(const ModelConfig& config);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_SYNTHETIC_SHAPES_H_
