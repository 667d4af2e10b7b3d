// What config.json says of a decoder, for the architectures that this library runs. Whatever
// changes the result and is not understood is UNIMPLEMENTED with the field and its value; keys that
// change nothing (training settings, bookkeeping) are ignored. Missing keys take the defaults of
// the configuration classes of Hugging Face transformers.
#ifndef LLMCORE_LIB_CONFIG_MODEL_CONFIG_H_
#define LLMCORE_LIB_CONFIG_MODEL_CONFIG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/backend/backend.h"
#include "lib/base/json.h"
#include "lib/base/status.h"
#include "lib/tensor/dtype.h"
#include "lib/tensor/format.h"

namespace llmcore::core {

enum class Architecture : uint8_t { kLlama, kMistral, kQwen2, kQwen3 };
absl::string_view ArchitectureName(Architecture architecture);  // "LlamaForCausalLM", ...

enum class RopeScaling : uint8_t { kDefault, kLinear, kDynamic, kLlama3, kYarn };
absl::string_view RopeScalingName(RopeScaling scaling);  // as rope_type: "default", "linear", ...

// Rotary embedding; lib/config/rope.h turns it into frequencies.
struct RopeConfig {
  double theta = 10000;
  RopeScaling scaling = RopeScaling::kDefault;
  double factor = 1;                             // all but kDefault
  int64_t original_max_position_embeddings = 0;  // kLlama3, kYarn: positions of the pretraining
  double low_freq_factor = 1;                    // kLlama3
  double high_freq_factor = 4;                   // kLlama3
  double beta_fast = 32;                         // kYarn
  double beta_slow = 1;                          // kYarn
  std::optional<double> mscale;                  // kYarn
  std::optional<double> mscale_all_dim;          // kYarn
  std::optional<double> attention_factor;        // kYarn
  bool truncate = true;                          // kYarn: the ramp starts and ends at whole numbers

  bool operator==(const RopeConfig&) const = default;
};

// How a checkpoint that came quantized stores its matrices.
struct StoredQuantization {
  enum class Method : uint8_t {
    kLlmcore,  // our own quantizer: lib/io/quantized_checkpoint.md
    kAwq,      // of AutoAWQ: lib/io/zero_point_matrix.h, like kGptq
    kGptq,     // of AutoGPTQ and GPTQModel
  };
  Method method = Method::kLlmcore;
  WeightFormat format = WeightFormat::kInt4;  // kInt4 or kInt8; kInt4Zeros of kAwq and kGptq

  // kLlmcore: "rows", or the name of a backend's layout of packed weights ("cpu-int4-v1"), which
  // only the backend can tell to be known.
  std::string layout = "rows";
  bool packed() const { return layout != "rows"; }

  // kAwq and kGptq.
  int32_t group_size = 128;  // columns that share a scale: a multiple of 128; 0: all of a row
  int32_t zero_offset = 0;   // what a stored zero point is short of: 1 in GPTQ's first format
  bool needs_g_idx = false;  // desc_act: the order of the groups is only known with it
};

struct ModelConfig {
  Architecture architecture = Architecture::kLlama;

  int32_t hidden_size = 0;
  int32_t intermediate_size = 0;
  int32_t num_layers = 0;
  int32_t num_heads = 0;
  int32_t num_kv_heads = 0;  // divides num_heads
  int32_t head_dim = 0;      // even; num_heads * head_dim need not be hidden_size
  int32_t vocab_size = 0;
  int32_t max_position_embeddings = 0;

  double rms_norm_eps = 1e-6;
  GateActivation activation = GateActivation::kSilu;
  RopeConfig rope;
  // [num_layers]: 0 for full attention, else only the last `n` positions, a row's own included.
  std::vector<int32_t> sliding_window;

  bool tie_word_embeddings = false;
  bool qkv_bias = false;     // q_proj, k_proj, v_proj
  bool output_bias = false;  // o_proj
  bool mlp_bias = false;     // gate_proj, up_proj, down_proj
  bool qk_norm = false;      // RMSNorm of each head of q and k before the rotation

  // Ids of -1, which some checkpoints write for "none", are left out.
  std::optional<int32_t> bos_token_id;
  std::optional<int32_t> pad_token_id;
  std::vector<int32_t> eos_token_ids;

  std::optional<DType> dtype;  // torch_dtype; what the tensors really have is in the checkpoint
  std::optional<StoredQuantization> quantization;
};

absl::StatusOr<ModelConfig> ParseModelConfig(const JsonObject& json);

// Reads config.json of a model directory; errors name the file.
absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& directory);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_CONFIG_MODEL_CONFIG_H_
