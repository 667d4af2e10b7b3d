#include "tests/session/written_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <utility>
#include <vector>

#include "lib/io/safetensors.h"

namespace llmcore::core {

void WriteModel(const std::string& directory, int64_t vocabulary) {
  constexpr int64_t kHidden = 1024, kInner = 4096, kLayers = 8;
  std::ofstream(directory + "/config.json")
      << R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
           "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 8,
           "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64,
           "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
           "tie_word_embeddings": true, "vocab_size": )"
      << vocabulary << "}";
  std::vector<SafetensorsWriter::Tensor> tensors;
  const auto add = [&tensors](const std::string& name, TensorShape shape) {
    tensors.push_back({name, DType::kBf16, std::move(shape)});
  };
  add("model.embed_tokens.weight", {vocabulary, kHidden});
  for (int64_t i = 0; i < kLayers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    add(prefix + "input_layernorm.weight", {kHidden});
    add(prefix + "self_attn.q_proj.weight", {kHidden, kHidden});
    add(prefix + "self_attn.k_proj.weight", {kHidden / 4, kHidden});
    add(prefix + "self_attn.v_proj.weight", {kHidden / 4, kHidden});
    add(prefix + "self_attn.o_proj.weight", {kHidden, kHidden});
    add(prefix + "post_attention_layernorm.weight", {kHidden});
    add(prefix + "mlp.gate_proj.weight", {kInner, kHidden});
    add(prefix + "mlp.up_proj.weight", {kInner, kHidden});
    add(prefix + "mlp.down_proj.weight", {kHidden, kInner});
  }
  add("model.norm.weight", {kHidden});
  auto writer = SafetensorsWriter::Create(directory + "/model.safetensors", tensors, {});
  ASSERT_TRUE(writer.ok()) << writer.status();
  std::vector<uint16_t> values(size_t{1} << 20);
  uint32_t state = 1;
  for (uint16_t& value : values) {  // 0.0078 to 0.031 of either sign
    state = state * 1664525u + 1013904223u;
    value = static_cast<uint16_t>(0x3C00u + (state >> 24) + ((state >> 8) & 0x8000u));
  }
  for (const SafetensorsWriter::Tensor& tensor : tensors) {
    uint64_t count = 1;
    for (const int64_t extent : tensor.shape) count *= static_cast<uint64_t>(extent);
    for (uint64_t done = 0; done < count; done += values.size()) {
      const auto piece = std::span(values).first(std::min<uint64_t>(values.size(), count - done));
      ASSERT_TRUE(writer->Append(std::as_bytes(piece)).ok());
    }
  }
  ASSERT_TRUE(writer->Commit().ok());
}

}  // namespace llmcore::core
