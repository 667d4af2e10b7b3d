// The weights of a decoder on a device, and which tensors of a checkpoint they are made of.
#ifndef LLMCORE_LIB_MODEL_DECODER_WEIGHTS_H_
#define LLMCORE_LIB_MODEL_DECODER_WEIGHTS_H_

#include <vector>

#include "lib/backend/backend.h"
#include "lib/base/cancel.h"
#include "lib/base/status.h"
#include "lib/config/model_config.h"
#include "lib/memory/arena.h"
#include "lib/model/weight_source.h"
#include "lib/tensor/format.h"

namespace llmcore::core {

// Vectors are f32, [elements] as noted; NULL where the architecture has none.
struct LayerWeights {
  const float* attention_norm = nullptr;      // [hidden]
  PackedWeight qkv;                           // q, k and v rows, one after the other
  const float* qkv_bias = nullptr;            // [(heads + 2 * kv_heads) * head_dim]
  const float* q_norm = nullptr;              // [head_dim]
  const float* k_norm = nullptr;              // [head_dim]
  PackedWeight attention_out;                 // [hidden, heads * head_dim]
  const float* attention_out_bias = nullptr;  // [hidden]
  const float* mlp_norm = nullptr;            // [hidden]
  PackedWeight gate_up;                       // [2 * intermediate, hidden], gated
  const float* gate_bias = nullptr;           // [intermediate]
  const float* up_bias = nullptr;             // [intermediate]
  PackedWeight down;                          // [hidden, intermediate]
  const float* down_bias = nullptr;           // [hidden]
};

struct DecoderWeights {
  PackedWeight embedding;  // [vocabulary, hidden]
  std::vector<LayerWeights> layers;
  const float* final_norm = nullptr;  // [hidden]
  PackedWeight head;                  // [vocabulary, hidden]; the embedding's memory when tied
};

// Every tensor that the model needs is there with its shape, and none that it would ignore changes
// the result. Reads headers only.
// Packed weights are checked against the layout and the sizes of `backend`: UNIMPLEMENTED with both
// names when they are in another layout.
absl::Status CheckWeights(const ModelConfig& config, const WeightSource& source,
                          const Backend& backend);

// Bytes of weights on the backend. The same walk as LoadWeights. Without a source they are stored
// neither packed nor in kInt4Zeros.
struct WeightSizes {
  uint64_t allocated = 0;  // of the arena
  uint64_t mapped = 0;     // used where a packed checkpoint is mapped
};
absl::StatusOr<WeightSizes> WeightBytes(const ModelConfig& config, WeightFormat format,
                                        const WeightSource* source, const Backend& backend);

// Reads, quantizes and packs all weights into `arena`, which has WeightSizes::allocated. Packed
// weights of a source stay where they are. Progress in bytes of the checkpoint under the stage
// "load weights". Errors name the tensor.
absl::StatusOr<DecoderWeights> LoadWeights(const ModelConfig& config, WeightFormat format,
                                           const WeightSource& source, Backend* backend,
                                           Arena* arena, const WorkControl& control);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_MODEL_DECODER_WEIGHTS_H_
