#include "tests/support/zero_point_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <random>
#include <span>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/io/safetensors.h"
#include "lib/tensor/float16.h"

namespace llmcore::core {
namespace {

using Packing = ZeroPointModel::Packing;

// Where in a word of AWQ the code of output 0, 1, ... 7 of its eight is.
constexpr int kAwqPlace[] = {0, 4, 1, 5, 2, 6, 3, 7};

class File {
 public:
  template <typename T>
  void Add(const std::string& name, DType dtype, TensorShape shape, const std::vector<T>& values) {
    tensors_.push_back({name, dtype, std::move(shape)});
    const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  void Write(const std::string& directory) const {
    auto writer = SafetensorsWriter::Create(directory + "/model.safetensors", tensors_, {});
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE(writer->Append(bytes_).ok());
    ASSERT_TRUE(writer->Commit().ok());
  }

 private:
  std::vector<SafetensorsWriter::Tensor> tensors_;
  std::vector<std::byte> bytes_;
};

class Writer {
 public:
  explicit Writer(const ZeroPointModel& model) : model_(model) {}

  void WriteTo(const std::string& directory, const std::string& twin) {
    has_twin_ = !twin.empty();
    const int64_t hidden = model_.hidden, inner = model_.inner;
    Plain("model.embed_tokens.weight", {model_.vocabulary, hidden}, 0.5f);
    for (int64_t i = 0; i < model_.layers; ++i) {
      const std::string layer = absl::StrCat("model.layers.", i, ".");
      Plain(layer + "input_layernorm.weight", {hidden}, 1);
      Linear(layer + "self_attn.q_proj", hidden, hidden, true);
      Linear(layer + "self_attn.k_proj", hidden / 3, hidden, true);
      Linear(layer + "self_attn.v_proj", hidden / 3, hidden, true);
      Linear(layer + "self_attn.o_proj", hidden, hidden, false);
      Plain(layer + "post_attention_layernorm.weight", {hidden}, 1);
      Linear(layer + "mlp.gate_proj", inner, hidden, false);
      Linear(layer + "mlp.up_proj", inner, hidden, false);
      Linear(layer + "mlp.down_proj", hidden, inner, false);
    }
    Plain("model.norm.weight", {hidden}, 1);
    if (model_.quantized_head) {
      Quantized("lm_head", model_.vocabulary, hidden);
    } else {
      Plain("lm_head.weight", {model_.vocabulary, hidden}, 0.1f);
    }
    file_.Write(directory);
    WriteConfig(directory, true);
    if (!has_twin_) return;
    twin_.Write(twin);
    WriteConfig(twin, false);
  }

 private:
  float Uniform() { return static_cast<float>(random_() >> 8) * 0x1p-23f - 1; }  // in [-1, 1)

  // Values of f16 of about that size, both files' alike.
  void Plain(const std::string& name, TensorShape shape, float size) {
    int64_t count = 1;
    for (const int64_t extent : shape) count *= extent;
    std::vector<uint16_t> halves;
    std::vector<float> values;
    for (int64_t i = 0; i < count; ++i) {
      halves.push_back(F32ToF16(size * (shape.size() == 1 ? 1 + 0.2f * Uniform() : Uniform())));
      values.push_back(F16ToF32(halves.back()));
    }
    file_.Add(name, DType::kF16, shape, halves);
    if (has_twin_) twin_.Add(name, DType::kF32, shape, values);
  }

  void Linear(const std::string& module, int64_t rows, int64_t columns, bool bias) {
    const auto named = [&module](const std::string& part) {
      return absl::StrContains(module, part);
    };
    if (std::any_of(model_.plain.begin(), model_.plain.end(), named)) {
      Plain(module + ".weight", {rows, columns}, 0.1f);
    } else {
      Quantized(module, rows, columns);
    }
    if (bias) Plain(module + ".bias", {rows}, 0.1f);
    if (!bias && model_.empty_biases) {
      const std::vector<uint16_t> zeros(static_cast<size_t>(rows));
      file_.Add(module + ".bias", DType::kF16, {rows}, zeros);
    }
  }

  void Quantized(const std::string& module, int64_t rows, int64_t columns) {
    const bool awq = model_.packing == Packing::kAwq;
    const int64_t group = model_.group_size > 0 ? model_.group_size : columns;
    const int64_t groups = (columns + group - 1) / group;
    const int offset = model_.packing == Packing::kGptq ? 1 : 0;
    std::vector<uint32_t> words(static_cast<size_t>(rows * columns / 8));
    std::vector<uint32_t> zero_words(static_cast<size_t>(rows * groups / 8));
    std::vector<uint16_t> scales;
    std::vector<float> scale;
    std::vector<int> zero;
    for (int64_t i = 0; i < groups * rows; ++i) {
      const float wanted = 0.012f * (1.5f + Uniform());
      const bool half = model_.scales == DType::kF16;
      scales.push_back(half ? F32ToF16(wanted) : F32ToBf16(wanted));
      scale.push_back(half ? F16ToF32(scales.back()) : Bf16ToF32(scales.back()));
      const auto stored = static_cast<uint32_t>(random_() % 16);
      zero.push_back(static_cast<int>(stored) + offset);
      const int64_t row = i % rows;
      const int64_t place = awq ? kAwqPlace[row % 8] : row % 8;
      zero_words[static_cast<size_t>(i / rows * (rows / 8) + row / 8)] |= stored << (4 * place);
    }
    std::vector<float> values;
    std::vector<uint32_t> index;
    for (int64_t k = 0; k < columns; ++k) index.push_back(static_cast<uint32_t>(k / group));
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t k = 0; k < columns; ++k) {
        const auto code = static_cast<uint32_t>(random_() % 16);
        const auto at = static_cast<size_t>(k / group * rows + row);
        if (has_twin_)
          values.push_back(static_cast<float>(static_cast<int>(code) - zero[at]) * scale[at]);
        if (awq) {
          words[static_cast<size_t>(k * (rows / 8) + row / 8)] |= code << (4 * kAwqPlace[row % 8]);
        } else {
          words[static_cast<size_t>(k / 8 * rows + row)] |= code << (4 * (k % 8));
        }
      }
    }
    file_.Add(module + ".qweight", DType::kI32,
              awq ? TensorShape{columns, rows / 8} : TensorShape{columns / 8, rows}, words);
    file_.Add(module + ".qzeros", DType::kI32, {groups, rows / 8}, zero_words);
    file_.Add(module + ".scales", model_.scales, {groups, rows}, scales);
    if (!awq) file_.Add(module + ".g_idx", DType::kI32, {columns}, index);
    if (has_twin_) twin_.Add(module + ".weight", DType::kF32, {rows, columns}, values);
  }

  void WriteConfig(const std::string& directory, bool quantized) const {
    std::ofstream config(directory + "/config.json");
    config << R"({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
      "hidden_act": "silu", "num_attention_heads": 6, "num_key_value_heads": 2,
      "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
      "tie_word_embeddings": false, "torch_dtype": "float16")"
           << ", \"hidden_size\": " << model_.hidden << ", \"intermediate_size\": " << model_.inner
           << ", \"num_hidden_layers\": " << model_.layers
           << ", \"vocab_size\": " << model_.vocabulary;
    if (quantized) {
      const bool awq = model_.packing == Packing::kAwq;
      config << R"(, "quantization_config": {"bits": 4, "group_size": )" << model_.group_size
             << (awq ? R"(, "quant_method": "awq", "version": "gemm", "zero_point": true)"
                     : R"(, "quant_method": "gptq", "sym": false, "desc_act": false)")
             << (model_.packing == Packing::kGptqV2 ? R"(, "checkpoint_format": "gptq_v2")" : "")
             << model_.more_config << "}";
    }
    config << "}";
    ASSERT_TRUE(config.good());
  }

  const ZeroPointModel& model_;
  std::mt19937 random_{20};
  File file_;
  File twin_;
  bool has_twin_ = false;
};

}  // namespace

void WriteZeroPointModel(const ZeroPointModel& model, const std::string& directory,
                         const std::string& twin) {
  Writer(model).WriteTo(directory, twin);
}

}  // namespace llmcore::core
