#include "lib/model/decoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lib/ops/ops.h"

namespace llmcore::core {
namespace {

int64_t QkvColumns(const ModelConfig& config) {
  return (int64_t{config.num_heads} + 2 * int64_t{config.num_kv_heads}) * config.head_dim;
}

int64_t AttentionColumns(const ModelConfig& config) {
  return int64_t{config.num_heads} * config.head_dim;
}

// What a product is given: rows that are normalised, or rows and the norm.
struct NormedInput {
  Matrix in;
  InputNorm norm;
};

absl::StatusOr<NormedInput> Normalize(Backend& backend, const StepContext& context,
                                      const NormParams& params) {
  if (backend.FusesNorm()) return NormedInput{params.in, {params.weight, params.epsilon}};
  LLMCORE_RETURN_IF_ERROR(Norm(backend, context, params));
  return NormedInput{params.out, {}};
}

}  // namespace

absl::StatusOr<DecoderBuffers> Decoder::TakeBuffers(const ModelConfig& config,
                                                    const DecoderLimits& limits, Arena* activations,
                                                    Arena* host) {
  const auto take = [](Arena* arena, int64_t rows, int64_t columns) {
    return arena->TakeArray<float>(static_cast<uint64_t>(rows) * static_cast<uint64_t>(columns));
  };
  const int64_t rows = limits.max_rows;
  DecoderBuffers buffers;
  LLMCORE_ASSIGN_OR_RETURN(buffers.hidden, take(activations, rows, config.hidden_size));
  // Of each two the second is written when the first has been read for the last time.
  LLMCORE_ASSIGN_OR_RETURN(
      buffers.normed,
      take(activations, rows, std::max(int64_t{config.hidden_size}, AttentionColumns(config))));
  buffers.attention = buffers.normed;
  LLMCORE_ASSIGN_OR_RETURN(
      buffers.qkv,
      take(activations, rows, std::max(QkvColumns(config), int64_t{config.intermediate_size})));
  buffers.gated = buffers.qkv;
  LLMCORE_ASSIGN_OR_RETURN(buffers.head_in,
                           take(activations, limits.max_logits, config.hidden_size));
  LLMCORE_ASSIGN_OR_RETURN(buffers.cos_sin, take(host, rows, config.head_dim));
  LLMCORE_ASSIGN_OR_RETURN(buffers.logits, take(host, limits.max_logits, config.vocab_size));
  buffers.max_logits = limits.max_logits;
  if (!limits.draws) return buffers;
  const auto count = static_cast<uint64_t>(limits.max_logits);
  LLMCORE_ASSIGN_OR_RETURN(buffers.drawn_logits,
                           take(activations, limits.max_logits, config.vocab_size));
  LLMCORE_ASSIGN_OR_RETURN(buffers.draws, host->TakeArray<TokenDraw>(count));
  LLMCORE_ASSIGN_OR_RETURN(buffers.tokens, host->TakeArray<DrawnToken>(count));
  return buffers;
}

StepLimits Decoder::WorkspaceLimits(const ModelConfig& config, const DecoderLimits& limits) {
  StepLimits step;
  step.rows = limits.max_rows;
  step.max_columns = std::max(
      {int64_t{config.hidden_size}, int64_t{config.intermediate_size}, AttentionColumns(config)});
  step.heads = config.num_heads;
  step.head_dim = config.head_dim;
  step.max_context = limits.max_context;
  step.activation_format = limits.activation_format;
  return step;
}

Decoder::Decoder(const ModelConfig& config, ActivationFormat activation_format,
                 DecoderWeights weights, DecoderBuffers buffers, KvCache cache,
                 std::unique_ptr<StepRecorder> recorder)
    : config_(config),
      activation_format_(activation_format),
      weights_(std::move(weights)),
      buffers_(buffers),
      cache_(cache),
      rotary_(config),
      recorder_(std::move(recorder)) {}

absl::StatusOr<StepOutput> Decoder::Forward(Backend& backend, const StepContext& context,
                                            const StepInput& input) {
  const auto room = static_cast<size_t>(buffers_.max_logits);
  const size_t drawn = input.drawn_rows.size();
  if (input.logit_rows.size() > room || drawn > (buffers_.draws == nullptr ? 0 : room) ||
      input.draws.size() != drawn) {
    return absl::InternalError("more logits asked for than a step can give");
  }
  // A step that ended early may still be reading its numbers, angles and draws.
  if (!waited_) LLMCORE_RETURN_IF_ERROR(backend.Synchronize());
  waited_ = false;
  rotary_.Fill(input.batch, buffers_.cos_sin);
  std::copy(input.draws.begin(), input.draws.end(), buffers_.draws);
  LLMCORE_RETURN_IF_ERROR(RunStep(recorder_.get(), context,
                                  {weights_.embedding.shape.rows, cache_, input},
                                  [&] { return Operations(backend, context, input); }));
  LLMCORE_RETURN_IF_ERROR(backend.Synchronize());
  waited_ = true;
  return StepOutput{
      {buffers_.logits, input.logit_rows.size() * static_cast<size_t>(config_.vocab_size)},
      {buffers_.tokens, drawn}};
}

absl::Status Decoder::Operations(Backend& backend, const StepContext& context,
                                 const StepInput& input) {
  const int64_t rows = input.batch.rows();
  LLMCORE_RETURN_IF_ERROR(
      Embed(backend, context,
            {weights_.embedding, input.tokens, {buffers_.hidden, rows, config_.hidden_size}}));
  for (int32_t layer = 0; layer < config_.num_layers; ++layer) {
    LLMCORE_RETURN_IF_ERROR(AttentionBlock(backend, context, input, layer));
    LLMCORE_RETURN_IF_ERROR(MlpBlock(backend, context, rows, layer));
  }
  return Head(backend, context, input);
}

// hidden += out(attention(rope(qkv(norm(hidden)))))
absl::Status Decoder::AttentionBlock(Backend& backend, const StepContext& context,
                                     const StepInput& input, int32_t layer) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const int64_t rows = input.batch.rows();
  const auto epsilon = static_cast<float>(config_.rms_norm_eps);
  const Matrix hidden{buffers_.hidden, rows, config_.hidden_size};
  const Matrix normed{buffers_.normed, rows, config_.hidden_size};
  const Matrix qkv{buffers_.qkv, rows, QkvColumns(config_)};
  const Matrix attention{buffers_.attention, rows, AttentionColumns(config_)};

  LLMCORE_ASSIGN_OR_RETURN(
      const NormedInput input_rows,
      Normalize(backend, context, {hidden, weights.attention_norm, epsilon, normed}));
  LLMCORE_RETURN_IF_ERROR(Linear(backend, context,
                                 {input_rows.in, weights.qkv, weights.qkv_bias,
                                  /*residual=*/nullptr, activation_format_, qkv, input_rows.norm}));
  LLMCORE_RETURN_IF_ERROR(RopeAppend(backend, context,
                                     {qkv, config_.num_heads, weights.q_norm, weights.k_norm,
                                      epsilon, buffers_.cos_sin, cache_, layer, input.batch}));
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(config_.head_dim)));
  LLMCORE_RETURN_IF_ERROR(
      Attention(backend, context,
                {qkv, config_.num_heads, scale, config_.sliding_window[static_cast<size_t>(layer)],
                 cache_, layer, input.batch, attention}));
  return Linear(backend, context,
                {attention, weights.attention_out, weights.attention_out_bias, hidden.data,
                 activation_format_, hidden});
}

// hidden += down(activation(gate(norm(hidden))) * up(norm(hidden)))
absl::Status Decoder::MlpBlock(Backend& backend, const StepContext& context, int64_t rows,
                               int32_t layer) {
  const LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
  const auto epsilon = static_cast<float>(config_.rms_norm_eps);
  const Matrix hidden{buffers_.hidden, rows, config_.hidden_size};
  const Matrix normed{buffers_.normed, rows, config_.hidden_size};
  const Matrix gated{buffers_.gated, rows, config_.intermediate_size};

  LLMCORE_ASSIGN_OR_RETURN(
      const NormedInput input_rows,
      Normalize(backend, context, {hidden, weights.mlp_norm, epsilon, normed}));
  LLMCORE_RETURN_IF_ERROR(
      LinearGated(backend, context,
                  {input_rows.in, weights.gate_up, weights.gate_bias, weights.up_bias,
                   config_.activation, activation_format_, gated, input_rows.norm}));
  return Linear(backend, context,
                {gated, weights.down, weights.down_bias, hidden.data, activation_format_, hidden});
}

absl::Status Decoder::Head(Backend& backend, const StepContext& context, const StepInput& input) {
  // Logits that nobody else asks for stay on the device.
  if (!input.drawn_rows.empty()) {
    LLMCORE_RETURN_IF_ERROR(
        Logits(backend, context, input, input.drawn_rows, buffers_.drawn_logits));
    const auto drawn = static_cast<int64_t>(input.drawn_rows.size());
    const Matrix logits{buffers_.drawn_logits, drawn, config_.vocab_size};
    LLMCORE_RETURN_IF_ERROR(Sample(backend, context, {logits, buffers_.draws, buffers_.tokens}));
  }
  if (input.logit_rows.empty()) return absl::OkStatus();
  return Logits(backend, context, input, input.logit_rows, buffers_.logits);
}

// out = head(norm(hidden[rows]))
absl::Status Decoder::Logits(Backend& backend, const StepContext& context, const StepInput& input,
                             std::span<const int32_t> rows, float* out) {
  const auto count = static_cast<int64_t>(rows.size());
  const Matrix hidden{buffers_.hidden, input.batch.rows(), config_.hidden_size};
  const Matrix last{buffers_.head_in, count, config_.hidden_size};
  LLMCORE_RETURN_IF_ERROR(GatherRows(backend, context, {hidden, rows, last}));
  LLMCORE_ASSIGN_OR_RETURN(
      const NormedInput input_rows,
      Normalize(backend, context,
                {last, weights_.final_norm, static_cast<float>(config_.rms_norm_eps), last}));
  return Linear(backend, context,
                {input_rows.in,
                 weights_.head,
                 /*bias=*/nullptr,
                 /*residual=*/nullptr,
                 activation_format_,
                 {out, count, config_.vocab_size},
                 input_rows.norm});
}

}  // namespace llmcore::core
