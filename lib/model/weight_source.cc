#include "lib/model/weight_source.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/tensor/int4.h"

namespace llmcore::core {
namespace {

constexpr absl::string_view kScaleSuffix = ".scale";
constexpr absl::string_view kWeightSuffix = ".weight";
constexpr absl::string_view kBiasSuffix = ".bias";
constexpr uintptr_t kPackedAlignment = 64;  // what backends ask of packed weights

class CheckpointSource : public WeightSource {
 public:
  CheckpointSource(const Checkpoint* checkpoint, std::optional<StoredQuantization> quantization)
      : checkpoint_(*checkpoint), quantization_(std::move(quantization)) {}

  absl::StatusOr<SourceMatrix> Find(absl::string_view name, int64_t rows,
                                    int64_t columns) const override {
    SourceMatrix source;
    source.rows = rows;
    source.columns = columns;
    const bool zero_points = HasZeroPoints(name);
    if (const TensorView* plain = checkpoint_.Find(name)) {
      if (zero_points) {
        return absl::InvalidArgumentError(
            absl::StrCat(plain->Where(), ": is there as \".qweight\" too"));
      }
      if (!IsWeightDType(plain->dtype)) {
        return absl::UnimplementedError(
            absl::StrCat(plain->Where(), ": a weight is stored in F32, BF16 or F16"));
      }
      LLMCORE_RETURN_IF_ERROR(CheckShape(*plain, rows, columns));
      source.data = plain->data.data();
      source.dtype = plain->dtype;
      return source;
    }
    if (zero_points) {
      LLMCORE_RETURN_IF_ERROR(FindZeroPoints(name, rows, columns).status());
      source.format = WeightFormat::kInt4Zeros;
      return source;
    }
    if (!HasRows()) return checkpoint_.Get(name).status();
    LLMCORE_ASSIGN_OR_RETURN(const TensorView* const codes,
                             checkpoint_.Get(absl::StrCat(name, CodesSuffix())));
    LLMCORE_ASSIGN_OR_RETURN(const TensorView* const scales,
                             checkpoint_.Get(absl::StrCat(name, kScaleSuffix)));
    source.format = quantization_->format;
    const bool int4 = source.format == WeightFormat::kInt4;
    const int64_t code_columns = int4 ? (columns + 1) / 2 : columns;
    const int64_t blocks = (columns + kQuantBlock - 1) / kQuantBlock;
    LLMCORE_RETURN_IF_ERROR(CheckType(*codes, int4 ? DType::kU8 : DType::kI8));
    LLMCORE_RETURN_IF_ERROR(CheckType(*scales, DType::kBf16));
    LLMCORE_RETURN_IF_ERROR(CheckShape(*codes, rows, code_columns));
    LLMCORE_RETURN_IF_ERROR(CheckShape(*scales, rows, blocks));
    source.data = codes->data.data();
    source.scales = scales->data.data();
    return source;
  }

  absl::StatusOr<ZeroPointMatrix> FindZeroPoints(absl::string_view name, int64_t rows,
                                                 int64_t columns) const override {
    return ZeroPointMatrix::Open(checkpoint_, ModuleOf(name), *quantization_, rows, columns);
  }

  std::string packed_layout() const override {
    return quantization_.has_value() && quantization_->packed() ? quantization_->layout : "";
  }

  absl::StatusOr<std::span<const std::byte>> FindPacked(absl::string_view name,
                                                        uint64_t bytes) const override {
    LLMCORE_ASSIGN_OR_RETURN(const TensorView* const tensor,
                             checkpoint_.Get(absl::StrCat(name, kPackedSuffix)));
    LLMCORE_RETURN_IF_ERROR(CheckType(*tensor, DType::kU8));
    if (tensor->data.size() != bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(tensor->Where(), ": the configuration asks for ", bytes, " bytes"));
    }
    if (reinterpret_cast<uintptr_t>(tensor->data.data()) % kPackedAlignment != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          tensor->Where(), ": a packed weight must begin at a multiple of ", kPackedAlignment));
    }
    return tensor->data;
  }

  void Release(absl::string_view name, uint64_t bytes) const override {
    if (const TensorView* plain = checkpoint_.Find(name)) {
      return Checkpoint::Release(*plain, 0, bytes);
    }
    if (HasZeroPoints(name)) return ReleaseZeroPoints(name, bytes);
    if (!HasRows()) return;
    const TensorView* codes = checkpoint_.Find(absl::StrCat(name, CodesSuffix()));
    const TensorView* scales = checkpoint_.Find(absl::StrCat(name, kScaleSuffix));
    if (codes == nullptr || scales == nullptr || codes->data.empty()) return;
    Checkpoint::Release(*codes, 0, bytes);
    // Rows were read whole: as much of the scales as of the codes.
    const double share = static_cast<double>(bytes) / static_cast<double>(codes->data.size());
    const auto scale_bytes = static_cast<double>(scales->data.size());
    Checkpoint::Release(*scales, 0, static_cast<uint64_t>(std::min(share, 1.0) * scale_bytes));
  }

  std::vector<std::string> Names() const override {
    std::vector<std::string> names;
    for (const TensorView* tensor : checkpoint_.tensors()) {
      absl::string_view name = tensor->name;
      if (ByOthers()) {
        if (IsEmptyBias(*tensor)) continue;
        if (ZeroPointMatrix::ConsumeSuffix(&name)) {
          names.push_back(absl::StrCat(name, kWeightSuffix));
          continue;
        }
      } else if (!packed_layout().empty()) {
        absl::ConsumeSuffix(&name, kPackedSuffix);
      } else if (HasRows() && !absl::ConsumeSuffix(&name, CodesSuffix())) {
        absl::ConsumeSuffix(&name, kScaleSuffix);
      }
      names.emplace_back(name);
    }
    return names;
  }

  void AddSample(Checksum* checksum) const override {
    constexpr size_t kSampleBytes = 256;
    for (const TensorView* tensor : checkpoint_.tensors()) {
      const size_t bytes = std::min(kSampleBytes, tensor->data.size());
      checksum->Add(absl::StrCat(tensor->name, DTypeName(tensor->dtype), ShapeText(tensor->shape)));
      checksum->Add(tensor->data.first(bytes));
      checksum->Add(tensor->data.last(bytes));
      // Where the file is mapped in huge pages, each of the two has brought in 2 MB.
      Checkpoint::Release(*tensor, 0, tensor->data.size());
    }
  }

  WeightFormat stored_format() const override {
    if (quantization_.has_value()) return quantization_->format;
    // That of most bytes: norms are often stored in f32 beside 16-bit weights.
    uint64_t bytes[3] = {};
    for (const TensorView* tensor : checkpoint_.tensors()) {
      if (tensor->dtype == DType::kF32) bytes[0] += tensor->data.size();
      if (tensor->dtype == DType::kBf16) bytes[1] += tensor->data.size();
      if (tensor->dtype == DType::kF16) bytes[2] += tensor->data.size();
    }
    constexpr WeightFormat kFormats[] = {WeightFormat::kF32, WeightFormat::kBf16,
                                         WeightFormat::kF16};
    return kFormats[std::max_element(bytes, bytes + 3) - bytes];
  }

 private:
  // Whether matrices are stored as codes and scales (layout "rows").
  bool HasRows() const {
    return quantization_.has_value() && !ByOthers() && !quantization_->packed();
  }

  // Whether the checkpoint is an AWQ or GPTQ one, and the weight `name` one of its matrices.
  bool ByOthers() const {
    return quantization_.has_value() &&
           quantization_->method != StoredQuantization::Method::kLlmcore;
  }
  bool HasZeroPoints(absl::string_view name) const {
    return ByOthers() && absl::EndsWith(name, kWeightSuffix) &&
           ZeroPointMatrix::IsIn(checkpoint_, ModuleOf(name));
  }
  static absl::string_view ModuleOf(absl::string_view name) {
    return absl::StripSuffix(name, kWeightSuffix);
  }

  // Its tensors lie across the rows: they go when all of them were read.
  void ReleaseZeroPoints(absl::string_view name, uint64_t bytes) const {
    for (const absl::string_view suffix : ZeroPointMatrix::kSuffixes) {
      const TensorView* const tensor = checkpoint_.Find(absl::StrCat(ModuleOf(name), suffix));
      if (tensor == nullptr || bytes < tensor->data.size()) return;
      Checkpoint::Release(*tensor, 0, tensor->data.size());
    }
  }

  // Early AutoGPTQ gave every module that it quantized a bias, whether the model has one or not:
  // where it has none they are zeros, which change nothing.
  bool IsEmptyBias(const TensorView& tensor) const {
    absl::string_view module = tensor.name;
    return absl::ConsumeSuffix(&module, kBiasSuffix) &&
           ZeroPointMatrix::IsIn(checkpoint_, module) &&
           std::all_of(tensor.data.begin(), tensor.data.end(),
                       [](std::byte value) { return value == std::byte{0}; });
  }

  absl::string_view CodesSuffix() const {
    return quantization_->format == WeightFormat::kInt4 ? ".int4" : ".int8";
  }

  static absl::Status CheckType(const TensorView& tensor, DType dtype) {
    if (tensor.dtype == dtype) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(tensor.Where(), ": must be ", DTypeName(dtype)));
  }

  static absl::Status CheckShape(const TensorView& tensor, int64_t rows, int64_t columns) {
    const TensorShape matrix = {rows, columns};
    const TensorShape vector = {columns};
    if (tensor.shape == matrix || (rows == 1 && tensor.shape == vector)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(tensor.Where(),
                                                   ": the configuration asks for the shape ",
                                                   ShapeText(rows == 1 ? vector : matrix)));
  }

  const Checkpoint& checkpoint_;
  const std::optional<StoredQuantization> quantization_;
};

}  // namespace

absl::StatusOr<std::span<const std::byte>> WeightSource::FindPacked(absl::string_view name,
                                                                    uint64_t) const {
  return absl::NotFoundError(absl::StrCat("no packed weight \"", name, "\""));
}

absl::StatusOr<ZeroPointMatrix> WeightSource::FindZeroPoints(absl::string_view name, int64_t,
                                                             int64_t) const {
  return absl::InternalError(absl::StrCat("\"", name, "\" has no zero points"));
}

std::unique_ptr<WeightSource> CheckpointWeights(const Checkpoint* checkpoint,
                                                const ModelConfig& config) {
  return std::make_unique<CheckpointSource>(checkpoint, config.quantization);
}

}  // namespace llmcore::core
