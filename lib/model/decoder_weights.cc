#include "lib/model/decoder_weights.h"

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/hash_map.h"
#include "lib/tensor/float16.h"

namespace llmcore::core {
namespace {

// A tensor of the checkpoint that becomes part of a weight.
struct Part {
  std::string name;
  int64_t rows;
};

// What is done with each weight of a decoder; the walk below names them all.
class Visitor {
 public:
  virtual ~Visitor() = default;
  // A packed weight of `parts`, each [part.rows, columns].
  virtual absl::Status Packed(WeightKind kind, int64_t columns, const std::vector<Part>& parts,
                              PackedWeight* weight) = 0;
  // A vector of `parts`, each [part.rows], one after the other.
  virtual absl::Status Vector(const std::vector<Part>& parts, const float** vector) = 0;
};

absl::Status VisitLayer(const ModelConfig& config, int32_t index, Visitor& visitor,
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

// Names every weight of the model (the tensor names of the Llama, Mistral, Qwen2 and Qwen3 code of
// Hugging Face transformers) in the order in which they lie in memory.
absl::Status VisitWeights(const ModelConfig& config, Visitor& visitor, DecoderWeights* weights) {
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
                    const std::vector<Part>& parts) {
  WeightShape shape{format, kind, 0, columns};
  for (const Part& part : parts) shape.rows += part.rows;
  return shape;
}

class Measurer : public Visitor {
 public:
  Measurer(WeightFormat format, const Backend& backend) : format_(format), backend_(backend) {}

  absl::Status Packed(WeightKind kind, int64_t columns, const std::vector<Part>& parts,
                      PackedWeight*) override {
    return arena_.Take(backend_.PackedWeightBytes(ShapeOf(format_, kind, columns, parts))).status();
  }
  absl::Status Vector(const std::vector<Part>& parts, const float**) override {
    uint64_t length = 0;
    for (const Part& part : parts) length += static_cast<uint64_t>(part.rows);
    return arena_.TakeArray<float>(length).status();
  }
  uint64_t bytes() const { return arena_.used(); }

 private:
  const WeightFormat format_;
  const Backend& backend_;
  Arena arena_;
};

class Checker : public Visitor {
 public:
  explicit Checker(const WeightSource& source) : source_(source) {}

  absl::Status Packed(WeightKind, int64_t columns, const std::vector<Part>& parts,
                      PackedWeight*) override {
    for (const Part& part : parts) {
      LLMCORE_RETURN_IF_ERROR(source_.Find(part.name, part.rows, columns).status());
      known_.insert(part.name);
    }
    return absl::OkStatus();
  }
  absl::Status Vector(const std::vector<Part>& parts, const float**) override {
    for (const Part& part : parts) {
      LLMCORE_RETURN_IF_ERROR(source_.Find(part.name, 1, part.rows).status());
      known_.insert(part.name);
    }
    return absl::OkStatus();
  }

  // Tensors that the walk did not name: buffers that the model code derives, and a head that the
  // configuration ties to the embedding, are harmless; anything else would be silently ignored.
  absl::Status CheckRest(const ModelConfig& config) const {
    for (const std::string& name : source_.Names()) {
      if (known_.contains(name) || absl::EndsWith(name, "rotary_emb.inv_freq")) continue;
      if (config.tie_word_embeddings && name == "lm_head.weight") continue;
      return absl::UnimplementedError(absl::StrCat("the checkpoint has a tensor \"", name,
                                                   "\" which this architecture does not use"));
    }
    return absl::OkStatus();
  }

 private:
  const WeightSource& source_;
  HashSet<std::string> known_;
};

// What `value` is in a model that was converted to `format` as a whole: with 16-bit weights norms
// and biases are rounded too, as transformers does with a dtype. Quantized models keep them.
float RoundVectorValue(float value, WeightFormat format) {
  if (format == WeightFormat::kBf16) return Bf16ToF32(F32ToBf16(value));
  if (format == WeightFormat::kF16) return F16ToF32(F32ToF16(value));
  return value;
}

// Values of a stored vector in f32.
absl::Status ReadVector(const SourceMatrix& source, WeightFormat format, float* out) {
  const auto count = static_cast<size_t>(source.columns);
  for (size_t i = 0; i < count; ++i) {
    if (source.dtype == DType::kF32) {
      std::memcpy(out + i, source.data + i * sizeof(float), sizeof(float));
    } else {
      uint16_t bits;
      std::memcpy(&bits, source.data + i * sizeof(bits), sizeof(bits));
      out[i] = source.dtype == DType::kBf16 ? Bf16ToF32(bits) : F16ToF32(bits);
    }
    out[i] = RoundVectorValue(out[i], format);
    if (!(out[i] - out[i] == 0)) {
      return absl::InvalidArgumentError(absl::StrCat("element ", i, " is not a finite number"));
    }
  }
  return absl::OkStatus();
}

uint64_t SourceBytes(const SourceMatrix& source) {
  const auto elements = static_cast<uint64_t>(source.rows) * static_cast<uint64_t>(source.columns);
  if (source.format == WeightFormat::kInt4) return elements / 2;
  if (source.format == WeightFormat::kInt8) return elements;
  return elements * static_cast<uint64_t>(DTypeSize(source.dtype));
}

class Loader : public Visitor {
 public:
  Loader(WeightFormat format, const WeightSource& source, Backend* backend, Arena* arena,
         const WorkControl& control, uint64_t total)
      : format_(format),
        source_(source),
        backend_(*backend),
        arena_(*arena),
        control_(control),
        total_(total) {}

  absl::Status Packed(WeightKind kind, int64_t columns, const std::vector<Part>& parts,
                      PackedWeight* weight) override {
    weight->shape = ShapeOf(format_, kind, columns, parts);
    LLMCORE_ASSIGN_OR_RETURN(void* const memory,
                             arena_.Take(backend_.PackedWeightBytes(weight->shape)));
    weight->data = memory;
    std::vector<SourceMatrix> sources;
    uint64_t bytes = 0;
    for (const Part& part : parts) {
      LLMCORE_ASSIGN_OR_RETURN(sources.emplace_back(), source_.Find(part.name, part.rows, columns));
      bytes += SourceBytes(sources.back());
    }
    const WorkControl inner{control_.cancel, [&](absl::string_view, uint64_t done, uint64_t) {
                              // Pages of the file that were read need not stay resident.
                              ReleaseRead(kind, parts, sources, bytes, done);
                              return Report(done_ + done).ok();
                            }};
    const absl::Status status = backend_.PackWeight(weight->shape, sources, memory, inner);
    if (!status.ok()) {
      return Annotate(status, absl::StrCat(parts.size() == 1 ? "tensor \"" : "tensors from \"",
                                           parts.front().name, "\""));
    }
    ReleaseRead(kind, parts, sources, bytes, bytes);
    done_ += bytes;
    return Report(done_);
  }

  absl::Status Vector(const std::vector<Part>& parts, const float** vector) override {
    uint64_t length = 0;
    for (const Part& part : parts) length += static_cast<uint64_t>(part.rows);
    LLMCORE_ASSIGN_OR_RETURN(float* const memory, arena_.TakeArray<float>(length));
    std::vector<float> values(length);
    size_t offset = 0;
    for (const Part& part : parts) {
      LLMCORE_ASSIGN_OR_RETURN(const SourceMatrix source, source_.Find(part.name, 1, part.rows));
      const absl::Status status = ReadVector(source, format_, values.data() + offset);
      if (!status.ok()) return Annotate(status, absl::StrCat("tensor \"", part.name, "\""));
      offset += static_cast<size_t>(part.rows);
      done_ += SourceBytes(source);
    }
    *vector = memory;
    return backend_.CopyToDevice(memory, std::as_bytes(std::span(values)));
  }

 private:
  absl::Status Report(uint64_t done) const { return control_.Report("load weights", done, total_); }

  // `done` of the weight's `total` bytes were read: part after part, or both parts of a gated
  // weight side by side.
  void ReleaseRead(WeightKind kind, const std::vector<Part>& parts,
                   const std::vector<SourceMatrix>& sources, uint64_t total, uint64_t done) const {
    for (size_t i = 0; i < parts.size() && done > 0; ++i) {
      const uint64_t part = SourceBytes(sources[i]);
      if (kind == WeightKind::kGated) {
        source_.Release(parts[i].name, done == total ? part : done / parts.size());
        continue;
      }
      const uint64_t bytes = std::min(done, part);
      source_.Release(parts[i].name, bytes);
      done -= bytes;
    }
  }

  const WeightFormat format_;
  const WeightSource& source_;
  Backend& backend_;
  Arena& arena_;
  const WorkControl& control_;
  const uint64_t total_;
  uint64_t done_ = 0;
};

// Bytes of the checkpoint that a load reads, for its progress.
class SourceMeasurer : public Visitor {
 public:
  explicit SourceMeasurer(const WeightSource& source) : source_(source) {}

  absl::Status Packed(WeightKind, int64_t columns, const std::vector<Part>& parts,
                      PackedWeight*) override {
    return Add(columns, parts);
  }
  absl::Status Vector(const std::vector<Part>& parts, const float**) override {
    for (const Part& part : parts) {
      LLMCORE_ASSIGN_OR_RETURN(const SourceMatrix source, source_.Find(part.name, 1, part.rows));
      bytes_ += SourceBytes(source);
    }
    return absl::OkStatus();
  }
  uint64_t bytes() const { return bytes_; }

 private:
  absl::Status Add(int64_t columns, const std::vector<Part>& parts) {
    for (const Part& part : parts) {
      LLMCORE_ASSIGN_OR_RETURN(const SourceMatrix source,
                               source_.Find(part.name, part.rows, columns));
      bytes_ += SourceBytes(source);
    }
    return absl::OkStatus();
  }

  const WeightSource& source_;
  uint64_t bytes_ = 0;
};

}  // namespace

absl::Status CheckWeights(const ModelConfig& config, const WeightSource& source) {
  Checker checker(source);
  DecoderWeights unused;
  LLMCORE_RETURN_IF_ERROR(VisitWeights(config, checker, &unused));
  return checker.CheckRest(config);
}

absl::StatusOr<uint64_t> WeightBytes(const ModelConfig& config, WeightFormat format,
                                     const Backend& backend) {
  Measurer measurer(format, backend);
  DecoderWeights unused;
  LLMCORE_RETURN_IF_ERROR(VisitWeights(config, measurer, &unused));
  return measurer.bytes();
}

absl::StatusOr<DecoderWeights> LoadWeights(const ModelConfig& config, WeightFormat format,
                                           const WeightSource& source, Backend* backend,
                                           Arena* arena, const WorkControl& control) {
  DecoderWeights weights;
  SourceMeasurer measurer(source);
  LLMCORE_RETURN_IF_ERROR(VisitWeights(config, measurer, &weights));
  Loader loader(format, source, backend, arena, control, measurer.bytes());
  LLMCORE_RETURN_IF_ERROR(VisitWeights(config, loader, &weights));
  return weights;
}

}  // namespace llmcore::core
