#include "lib/model/visit_weights.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "lib/model/decoder_weights.h"
#include "lib/model/weight_source.h"

namespace llmcore::core {
namespace {

absl::Status VisitLayer(const ModelConfig& config, int32_t index, WeightVisitor& visitor,
                        LayerWeights* layer) {
  const int64_t hidden = config.hidden_size;
  const int64_t inner = config.intermediate_size;
  const int64_t q_rows = int64_t{config.num_heads} * config.head_dim;
  const int64_t kv_rows = int64_t{config.num_kv_heads} * config.head_dim;
  const std::string prefix = absl::StrCat("model.layers.", index, ".");
  const auto name = [&prefix](absl::string_view suffix) { return absl::StrCat(prefix, suffix); };
  const auto plain = WeightKind::kPlain;

  LLMCORE_RETURN_IF_ERROR(
      visitor.Vector({{name("input_layernorm.weight"), hidden}}, &layer->attention_norm));
  LLMCORE_RETURN_IF_ERROR(visitor.Packed(plain, hidden,
                                         {{name("self_attn.q_proj.weight"), q_rows},
                                          {name("self_attn.k_proj.weight"), kv_rows},
                                          {name("self_attn.v_proj.weight"), kv_rows}},
                                         &layer->qkv));
  if (config.qkv_bias) {
    LLMCORE_RETURN_IF_ERROR(visitor.Vector({{name("self_attn.q_proj.bias"), q_rows},
                                            {name("self_attn.k_proj.bias"), kv_rows},
                                            {name("self_attn.v_proj.bias"), kv_rows}},
                                           &layer->qkv_bias));
  }
  if (config.qk_norm) {
    LLMCORE_RETURN_IF_ERROR(
        visitor.Vector({{name("self_attn.q_norm.weight"), config.head_dim}}, &layer->q_norm));
    LLMCORE_RETURN_IF_ERROR(
        visitor.Vector({{name("self_attn.k_norm.weight"), config.head_dim}}, &layer->k_norm));
  }
  LLMCORE_RETURN_IF_ERROR(visitor.Packed(plain, q_rows, {{name("self_attn.o_proj.weight"), hidden}},
                                         &layer->attention_out));
  if (config.output_bias) {
    LLMCORE_RETURN_IF_ERROR(
        visitor.Vector({{name("self_attn.o_proj.bias"), hidden}}, &layer->attention_out_bias));
  }
  LLMCORE_RETURN_IF_ERROR(
      visitor.Vector({{name("post_attention_layernorm.weight"), hidden}}, &layer->mlp_norm));
  LLMCORE_RETURN_IF_ERROR(
      visitor.Packed(WeightKind::kGated, hidden,
                     {{name("mlp.gate_proj.weight"), inner}, {name("mlp.up_proj.weight"), inner}},
                     &layer->gate_up));
  LLMCORE_RETURN_IF_ERROR(
      visitor.Packed(plain, inner, {{name("mlp.down_proj.weight"), hidden}}, &layer->down));
  if (config.mlp_bias) {
    LLMCORE_RETURN_IF_ERROR(
        visitor.Vector({{name("mlp.gate_proj.bias"), inner}}, &layer->gate_bias));
    LLMCORE_RETURN_IF_ERROR(visitor.Vector({{name("mlp.up_proj.bias"), inner}}, &layer->up_bias));
    LLMCORE_RETURN_IF_ERROR(
        visitor.Vector({{name("mlp.down_proj.bias"), hidden}}, &layer->down_bias));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status VisitWeights(const ModelConfig& config, WeightVisitor& visitor,
                          DecoderWeights* weights) {
  LLMCORE_RETURN_IF_ERROR(visitor.Packed(WeightKind::kPlain, config.hidden_size,
                                         {{"model.embed_tokens.weight", config.vocab_size}},
                                         &weights->embedding));
  weights->layers.resize(static_cast<size_t>(config.num_layers));
  for (int32_t i = 0; i < config.num_layers; ++i) {
    LLMCORE_RETURN_IF_ERROR(
        VisitLayer(config, i, visitor, &weights->layers[static_cast<size_t>(i)]));
  }
  LLMCORE_RETURN_IF_ERROR(
      visitor.Vector({{"model.norm.weight", config.hidden_size}}, &weights->final_norm));
  if (config.tie_word_embeddings) {
    weights->head = weights->embedding;
    return absl::OkStatus();
  }
  return visitor.Packed(WeightKind::kPlain, config.hidden_size,
                        {{"lm_head.weight", config.vocab_size}}, &weights->head);
}

WeightShape ShapeOf(WeightFormat format, WeightKind kind, int64_t columns,
                    const std::vector<WeightPart>& parts) {
  WeightShape shape{format, kind, 0, columns};
  for (const WeightPart& part : parts) shape.rows += part.rows;
  return shape;
}

absl::StatusOr<WeightFormat> FormatOfWeight(WeightFormat format, const WeightSource* source,
                                            int64_t columns, const std::vector<WeightPart>& parts) {
  if (format != WeightFormat::kInt4Zeros) return format;
  if (source == nullptr) return absl::InternalError("zero points without a source");
  std::optional<WeightFormat> common;
  for (const WeightPart& part : parts) {
    LLMCORE_ASSIGN_OR_RETURN(const SourceMatrix stored,
                             source->Find(part.name, part.rows, columns));
    const WeightFormat own = stored.format != WeightFormat::kAuto ? stored.format
                             : stored.dtype == DType::kBf16       ? WeightFormat::kBf16
                             : stored.dtype == DType::kF16        ? WeightFormat::kF16
                                                                  : WeightFormat::kF32;
    if (common.value_or(own) != own) return WeightFormat::kF32;
    common = own;
  }
  return common.value_or(format);
}

std::vector<PartRows> SliceParts(WeightKind kind, const std::vector<WeightPart>& parts,
                                 int64_t first, int64_t rows) {
  std::vector<PartRows> slice;
  int64_t part_begin = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const int64_t begin = std::clamp<int64_t>(first - part_begin, 0, parts[i].rows);
    const int64_t end = std::clamp<int64_t>(first + rows - part_begin, 0, parts[i].rows);
    if (end > begin) slice.push_back({i, begin, end - begin});
    if (kind != WeightKind::kGated) part_begin += parts[i].rows;
  }
  return slice;
}

std::string PackedName(const std::vector<WeightPart>& parts) {
  std::string name;
  for (const WeightPart& part : parts) absl::StrAppend(&name, name.empty() ? "" : "+", part.name);
  return name;
}

}  // namespace llmcore::core
