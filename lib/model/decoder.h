// A decoder-only transformer over the operation table: tokens in, logits out. Written once for all
// backends and architectures (Llama, Mistral, Qwen2, Qwen3).
#ifndef LLMCORE_LIB_MODEL_DECODER_H_
#define LLMCORE_LIB_MODEL_DECODER_H_

#include <cstdint>
#include <memory>
#include <span>

#include "lib/backend/backend.h"
#include "lib/base/status.h"
#include "lib/config/model_config.h"
#include "lib/memory/arena.h"
#include "lib/model/decoder_weights.h"
#include "lib/model/rotary_table.h"

namespace llmcore::core {

// What the largest step holds.
struct DecoderLimits {
  int32_t max_rows = 0;     // tokens of a step
  int32_t max_context = 0;  // positions of a sequence
  int32_t max_logits = 0;   // rows whose logits are wanted
  ActivationFormat activation_format = ActivationFormat::kAuto;
  bool draws = false;  // tokens on the device, from some of those rows
};

// The rows of a step whose hidden state lives between operations. normed and attention are the same
// memory, and qkv and gated: what one half of a layer leaves there the other does not read.
struct DecoderBuffers {
  float* hidden = nullptr;     // [rows, hidden], the residual stream
  float* normed = nullptr;     // [rows, hidden]
  float* qkv = nullptr;        // [rows, (heads + 2 * kv_heads) * head_dim]
  float* attention = nullptr;  // [rows, heads * head_dim]
  float* gated = nullptr;      // [rows, intermediate]
  float* head_in = nullptr;    // [max_logits, hidden]
  // On the host:
  float* cos_sin = nullptr;  // [rows, head_dim]
  float* logits = nullptr;   // [max_logits, vocabulary]
  int32_t max_logits = 0;
  // NULL without DecoderLimits::draws. On the device:
  float* drawn_logits = nullptr;  // [max_logits, vocabulary]
  // On the host:
  TokenDraw* draws = nullptr;    // [max_logits]
  DrawnToken* tokens = nullptr;  // [max_logits]
};

// Valid until the next step.
struct StepOutput {
  std::span<const float> logits;       // [logit_rows.size(), vocabulary]
  std::span<const DrawnToken> tokens;  // [drawn_rows.size()]
};

class Decoder {
 public:
  // Takes the buffers of the largest step from `activations` (device) and `host`.
  static absl::StatusOr<DecoderBuffers> TakeBuffers(const ModelConfig& config,
                                                    const DecoderLimits& limits, Arena* activations,
                                                    Arena* host);
  // What Backend::WorkspaceBytes needs to know.
  static StepLimits WorkspaceLimits(const ModelConfig& config, const DecoderLimits& limits);

  // `recorder`: Backend::CreateStepRecorder, may be NULL.
  Decoder(const ModelConfig& config, ActivationFormat activation_format, DecoderWeights weights,
          DecoderBuffers buffers, KvCache cache, std::unique_ptr<StepRecorder> recorder);

  // Runs a step: writes K and V of its rows to the cache, and waits once, for what is wanted: at
  // most max_logits of each kind.
  absl::StatusOr<StepOutput> Forward(Backend& backend, const StepContext& context,
                                     const StepInput& input);

  const KvCache& cache() const { return cache_; }

 private:
  // All operations of a step. What differs between steps of one shape comes from `input` and from
  // `buffers_` alone: StepRecorder::Run.
  absl::Status Operations(Backend& backend, const StepContext& context, const StepInput& input);
  absl::Status AttentionBlock(Backend& backend, const StepContext& context, const StepInput& input,
                              int32_t layer);
  absl::Status MlpBlock(Backend& backend, const StepContext& context, int64_t rows, int32_t layer);
  absl::Status Head(Backend& backend, const StepContext& context, const StepInput& input);
  absl::Status Logits(Backend& backend, const StepContext& context, const StepInput& input,
                      std::span<const int32_t> rows, float* out);

  const ModelConfig config_;
  const ActivationFormat activation_format_;
  const DecoderWeights weights_;
  const DecoderBuffers buffers_;
  const KvCache cache_;
  const RotaryTable rotary_;
  const std::unique_ptr<StepRecorder> recorder_;
  bool waited_ = true;  // for the last step: what the host lent it is free
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_MODEL_DECODER_H_
