#include "lib/session/synthetic_shapes.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace llmcore::core {
namespace {

// The numbers of the published config.json files.
struct Shape {
  absl::string_view name;
  Architecture architecture;
  int32_t hidden;
  int32_t intermediate;
  int32_t layers;
  int32_t heads;
  int32_t kv_heads;
  int32_t head_dim;
  int32_t vocabulary;
  int32_t context;
  double rope_theta;
  bool tied;
};

constexpr Shape kShapes[] = {
    {"qwen2.5-0.5b", Architecture::kQwen2, 896, 4864, 24, 14, 2, 64, 151936, 32768, 1e6, true},
    {"llama-3.2-1b", Architecture::kLlama, 2048, 8192, 16, 32, 8, 64, 128256, 131072, 5e5, true},
    {"llama-3-8b", Architecture::kLlama, 4096, 14336, 32, 32, 8, 128, 128256, 8192, 5e5, false},
    {"qwen2.5-32b", Architecture::kQwen2, 5120, 27648, 64, 40, 8, 128, 152064, 32768, 1e6, false},
};

}  // namespace

absl::StatusOr<ModelConfig> SyntheticConfig(absl::string_view name) {
  std::string names;
  for (const Shape& shape : kShapes) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", shape.name);
    if (shape.name != name) continue;
    ModelConfig config;
    config.architecture = shape.architecture;
    config.hidden_size = shape.hidden;
    config.intermediate_size = shape.intermediate;
    config.num_layers = shape.layers;
    config.num_heads = shape.heads;
    config.num_kv_heads = shape.kv_heads;
    config.head_dim = shape.head_dim;
    config.vocab_size = shape.vocabulary;
    config.max_position_embeddings = shape.context;
    config.rms_norm_eps = 1e-5;
    config.rope.theta = shape.rope_theta;
    config.sliding_window.assign(static_cast<size_t>(shape.layers), 0);
    config.tie_word_embeddings = shape.tied;
    config.qkv_bias = shape.architecture == Architecture::kQwen2;
    return config;
  }
  return absl::NotFoundError(absl::StrCat("no synthetic shape \"", name, "\": there are ", names));
}

uint64_t LargestTensor(const ModelConfig& config) {
  const auto hidden = static_cast<uint64_t>(config.hidden_size);
  const auto attention =
      static_cast<uint64_t>(config.num_heads) * static_cast<uint64_t>(config.head_dim);
  return hidden * std::max({static_cast<uint64_t>(config.vocab_size),
                            static_cast<uint64_t>(config.intermediate_size), attention});
}

}  // namespace llmcore::core
