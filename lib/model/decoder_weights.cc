#include "lib/model/decoder_weights.h"

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/backend/source_matrix.h"
#include "lib/base/hash_map.h"
#include "lib/base/quote.h"
#include "lib/model/gathered_weight.h"
#include "lib/model/visit_weights.h"
#include "lib/tensor/float16.h"

namespace llmcore::core {
namespace {

class Measurer : public WeightVisitor {
 public:
  Measurer(WeightFormat format, const WeightSource* source, const Backend& backend)
      : format_(format),
        source_(source),
        packed_(source != nullptr && !source->packed_layout().empty()),
        backend_(backend) {}

  absl::Status Packed(WeightKind kind, int64_t columns, const std::vector<WeightPart>& parts,
                      PackedWeight*) override {
    LLMCORE_ASSIGN_OR_RETURN(const WeightFormat format,
                             FormatOfWeight(format_, source_, columns, parts));
    const uint64_t bytes = backend_.PackedWeightBytes(ShapeOf(format, kind, columns, parts));
    return (packed_ ? mapped_ : arena_).Take(bytes).status();
  }
  absl::Status Vector(const std::vector<WeightPart>& parts, const float**) override {
    uint64_t length = 0;
    for (const WeightPart& part : parts) length += static_cast<uint64_t>(part.rows);
    return arena_.TakeArray<float>(length).status();
  }
  WeightSizes sizes() const { return {arena_.used(), mapped_.used()}; }

 private:
  const WeightFormat format_;
  const WeightSource* const source_;
  const bool packed_;
  const Backend& backend_;
  Arena arena_;
  Arena mapped_;
};

class Checker : public WeightVisitor {
 public:
  Checker(const WeightSource& source, const Backend& backend)
      : source_(source), backend_(backend), packed_(!source.packed_layout().empty()) {}

  absl::Status Packed(WeightKind kind, int64_t columns, const std::vector<WeightPart>& parts,
                      PackedWeight*) override {
    if (packed_) {
      const std::string name = PackedName(parts);
      known_.insert(name);
      const WeightShape shape = ShapeOf(source_.stored_format(), kind, columns, parts);
      return source_.FindPacked(name, backend_.PackedWeightBytes(shape)).status();
    }
    for (const WeightPart& part : parts) {
      LLMCORE_RETURN_IF_ERROR(source_.Find(part.name, part.rows, columns).status());
      known_.insert(part.name);
    }
    return absl::OkStatus();
  }
  absl::Status Vector(const std::vector<WeightPart>& parts, const float**) override {
    for (const WeightPart& part : parts) {
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
      if (config.tie_word_embeddings && name == kHead && IsPlainHead(config)) continue;
      return absl::UnimplementedError(absl::StrCat("the checkpoint has a tensor \"", name,
                                                   "\" which this architecture does not use"));
    }
    return absl::OkStatus();
  }

 private:
  static constexpr absl::string_view kHead = "lm_head.weight";

  // One that was quantized by itself has other values than the embedding.
  bool IsPlainHead(const ModelConfig& config) const {
    if (source_.stored_format() != WeightFormat::kInt4Zeros) return true;
    const auto head = source_.Find(kHead, config.vocab_size, config.hidden_size);
    return head.ok() && head->format == WeightFormat::kAuto;
  }

  const WeightSource& source_;
  const Backend& backend_;
  const bool packed_;
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
  return SourceRowBytes(source) * static_cast<uint64_t>(source.rows);
}

class Loader : public WeightVisitor {
 public:
  Loader(WeightFormat format, const WeightSource& source, Backend* backend, Arena* arena,
         const WorkControl& control, uint64_t total)
      : format_(format),
        source_(source),
        backend_(*backend),
        arena_(*arena),
        control_(control),
        packed_(!source.packed_layout().empty()),
        total_(total) {}

  absl::Status Packed(WeightKind kind, int64_t columns, const std::vector<WeightPart>& parts,
                      PackedWeight* weight) override {
    LLMCORE_ASSIGN_OR_RETURN(const WeightFormat format,
                             FormatOfWeight(format_, &source_, columns, parts));
    weight->shape = ShapeOf(format, kind, columns, parts);
    if (packed_) return Map(parts, weight);
    LLMCORE_ASSIGN_OR_RETURN(void* const memory,
                             arena_.Take(backend_.PackedWeightBytes(weight->shape)));
    weight->data = memory;
    std::vector<SourceMatrix> sources;
    uint64_t bytes = 0;
    for (const WeightPart& part : parts) {
      LLMCORE_ASSIGN_OR_RETURN(sources.emplace_back(), source_.Find(part.name, part.rows, columns));
      bytes += SourceBytes(sources.back());
    }
    const WorkControl inner{control_.cancel, [&](absl::string_view, uint64_t done, uint64_t) {
                              // Pages of the file that were read need not stay resident.
                              ReleaseRead(kind, parts, sources, bytes, done);
                              return Report(done_ + done).ok();
                            }};
    const absl::Status status =
        MustBeGathered(sources)
            ? PackGathered(source_, weight->shape, parts, sources, &backend_, memory, inner)
            : backend_.PackWeight(weight->shape, sources, memory, inner);
    if (!status.ok()) {
      return Annotate(status, absl::StrCat(parts.size() == 1 ? "tensor \"" : "tensors from \"",
                                           parts.front().name, "\""));
    }
    ReleaseRead(kind, parts, sources, bytes, bytes);
    done_ += bytes;
    return Report(done_);
  }

  absl::Status Vector(const std::vector<WeightPart>& parts, const float** vector) override {
    uint64_t length = 0;
    for (const WeightPart& part : parts) length += static_cast<uint64_t>(part.rows);
    LLMCORE_ASSIGN_OR_RETURN(float* const memory, arena_.TakeArray<float>(length));
    std::vector<float> values(length);
    size_t offset = 0;
    for (const WeightPart& part : parts) {
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
  // A weight that is stored packed is used where it is. Looking at it brings its pages in, so that
  // the first step does not wait for them.
  absl::Status Map(const std::vector<WeightPart>& parts, PackedWeight* weight) {
    const std::string name = PackedName(parts);
    const uint64_t bytes = backend_.PackedWeightBytes(weight->shape);
    LLMCORE_ASSIGN_OR_RETURN(const std::span<const std::byte> stored,
                             source_.FindPacked(name, bytes));
    weight->data = stored.data();
    const WorkControl inner{control_.cancel, [&](absl::string_view, uint64_t done, uint64_t) {
                              return Report(done_ + done).ok();
                            }};
    const absl::Status status = backend_.CheckPackedWeight(weight->shape, stored, inner);
    if (!status.ok()) return Annotate(status, absl::StrCat("tensor \"", name, kPackedSuffix, "\""));
    done_ += bytes;
    return Report(done_);
  }

  absl::Status Report(uint64_t done) const { return control_.Report("load weights", done, total_); }

  // `done` of the weight's `total` bytes were read: part after part, or both parts of a gated
  // weight side by side.
  void ReleaseRead(WeightKind kind, const std::vector<WeightPart>& parts,
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
  const bool packed_;
  const uint64_t total_;
  uint64_t done_ = 0;
};

// Bytes of the checkpoint that a load reads, for its progress.
class SourceMeasurer : public WeightVisitor {
 public:
  SourceMeasurer(const WeightSource& source, WeightFormat format, const Backend& backend)
      : source_(source),
        format_(format),
        backend_(backend),
        packed_(!source.packed_layout().empty()) {}

  absl::Status Packed(WeightKind kind, int64_t columns, const std::vector<WeightPart>& parts,
                      PackedWeight*) override {
    if (packed_) {
      bytes_ += backend_.PackedWeightBytes(ShapeOf(format_, kind, columns, parts));
      return absl::OkStatus();
    }
    for (const WeightPart& part : parts) LLMCORE_RETURN_IF_ERROR(Add(part, part.rows, columns));
    return absl::OkStatus();
  }
  absl::Status Vector(const std::vector<WeightPart>& parts, const float**) override {
    for (const WeightPart& part : parts) LLMCORE_RETURN_IF_ERROR(Add(part, 1, part.rows));
    return absl::OkStatus();
  }
  uint64_t bytes() const { return bytes_; }

 private:
  absl::Status Add(const WeightPart& part, int64_t rows, int64_t columns) {
    LLMCORE_ASSIGN_OR_RETURN(const SourceMatrix source, source_.Find(part.name, rows, columns));
    bytes_ += SourceBytes(source);
    return absl::OkStatus();
  }

  const WeightSource& source_;
  const WeightFormat format_;
  const Backend& backend_;
  const bool packed_;
  uint64_t bytes_ = 0;
};

// Weights that were packed for another device, or by another version, are refused by name.
absl::Status CheckLayout(const WeightSource& source, const Backend& backend) {
  const std::string stored = source.packed_layout();
  if (stored.empty()) return absl::OkStatus();
  const std::string known = backend.WeightLayoutName(source.stored_format());
  if (stored == known) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(
      "the weights are packed in the layout ", Quoted(stored), "; this version on ", backend.name(),
      known.empty() ? " uses none" : absl::StrCat(" uses ", Quoted(known)),
      ": quantize the original again, or in the layout \"rows\", which every device reads"));
}

}  // namespace

absl::Status CheckWeights(const ModelConfig& config, const WeightSource& source,
                          const Backend& backend) {
  LLMCORE_RETURN_IF_ERROR(CheckLayout(source, backend));
  Checker checker(source, backend);
  DecoderWeights unused;
  LLMCORE_RETURN_IF_ERROR(VisitWeights(config, checker, &unused));
  return checker.CheckRest(config);
}

absl::StatusOr<WeightSizes> WeightBytes(const ModelConfig& config, WeightFormat format,
                                        const WeightSource* source, const Backend& backend) {
  Measurer measurer(format, source, backend);
  DecoderWeights unused;
  LLMCORE_RETURN_IF_ERROR(VisitWeights(config, measurer, &unused));
  return measurer.sizes();
}

absl::StatusOr<DecoderWeights> LoadWeights(const ModelConfig& config, WeightFormat format,
                                           const WeightSource& source, Backend* backend,
                                           Arena* arena, const WorkControl& control) {
  DecoderWeights weights;
  SourceMeasurer measurer(source, format, *backend);
  LLMCORE_RETURN_IF_ERROR(VisitWeights(config, measurer, &weights));
  Loader loader(format, source, backend, arena, control, measurer.bytes());
  LLMCORE_RETURN_IF_ERROR(VisitWeights(config, loader, &weights));
  return weights;
}

}  // namespace llmcore::core
