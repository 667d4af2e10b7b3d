#include "lib/model/checkpoint_packer.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/backend/source_matrix.h"
#include "lib/io/quantized_directory.h"
#include "lib/io/safetensors.h"
#include "lib/model/decoder_weights.h"
#include "lib/model/visit_weights.h"
#include "lib/model/weight_source.h"

namespace llmcore::core {
namespace {

constexpr absl::string_view kStage = "quantize";

// Packed weights come first in the file and are whole multiples of 64 bytes, so that each is
// aligned like the first one. A page, so that the pages of the weights hold nothing else.
constexpr uint64_t kDataAlignment = 4096;
constexpr uint64_t kWeightAlignment = 64;

// Source bytes packed and written at a time.
constexpr uint64_t kSliceBytes = uint64_t{8} << 20;

struct Matrix {
  WeightKind kind;
  int64_t columns;
  std::vector<WeightPart> parts;
};

// Collects what there is to write.
class Collector : public WeightVisitor {
 public:
  absl::Status Packed(WeightKind kind, int64_t columns, const std::vector<WeightPart>& parts,
                      PackedWeight*) override {
    matrices.push_back({kind, columns, parts});
    return absl::OkStatus();
  }
  absl::Status Vector(const std::vector<WeightPart>& parts, const float**) override {
    vectors.insert(vectors.end(), parts.begin(), parts.end());
    return absl::OkStatus();
  }

  std::vector<Matrix> matrices;
  std::vector<WeightPart> vectors;
};

class Packer {
 public:
  Packer(const Checkpoint& checkpoint, WeightFormat format, Backend* backend,
         const WorkControl& control, const PackedWeightCallback& on_weight)
      : checkpoint_(checkpoint),
        format_(format),
        backend_(*backend),
        control_(control),
        on_weight_(on_weight) {}

  absl::Status Write(const ModelConfig& config, const QuantizedDirectory& directory);

 private:
  absl::StatusOr<std::vector<SafetensorsWriter::Tensor>> Header();
  absl::Status Pack(const Matrix& matrix);
  absl::Status PackSlice(const Matrix& matrix, const std::vector<SourceMatrix>& sources,
                         int64_t first, int64_t rows);
  absl::Status Copy(const WeightPart& vector);
  WeightShape ShapeOfMatrix(const Matrix& matrix) const {
    return ShapeOf(format_, matrix.kind, matrix.columns, matrix.parts);
  }

  const Checkpoint& checkpoint_;
  const WeightFormat format_;
  Backend& backend_;
  const WorkControl& control_;
  const PackedWeightCallback& on_weight_;
  Collector collected_;
  std::unique_ptr<WeightSource> source_;
  std::unique_ptr<SafetensorsWriter> writer_;
  std::unique_ptr<DeviceMemory> buffer_;
  uint64_t done_ = 0;   // source bytes
  uint64_t total_ = 0;  // likewise
};

absl::StatusOr<std::vector<SafetensorsWriter::Tensor>> Packer::Header() {
  std::vector<SafetensorsWriter::Tensor> tensors;
  for (const Matrix& matrix : collected_.matrices) {
    const uint64_t bytes = backend_.PackedWeightBytes(ShapeOfMatrix(matrix));
    if (bytes % kWeightAlignment != 0) return absl::InternalError("a layout that is not aligned");
    tensors.push_back({absl::StrCat(PackedName(matrix.parts), kPackedSuffix),
                       DType::kU8,
                       {static_cast<int64_t>(bytes)}});
  }
  // Those of four bytes an element before those of two, so that they are aligned too.
  std::vector<const TensorView*> views;
  for (const WeightPart& part : collected_.vectors) {
    LLMCORE_ASSIGN_OR_RETURN(views.emplace_back(), checkpoint_.Get(part.name));
  }
  std::stable_sort(collected_.vectors.begin(), collected_.vectors.end(),
                   [this](const WeightPart& a, const WeightPart& b) {
                     return DTypeSize(checkpoint_.Find(a.name)->dtype) >
                            DTypeSize(checkpoint_.Find(b.name)->dtype);
                   });
  for (const WeightPart& part : collected_.vectors) {
    const TensorView* const view = checkpoint_.Find(part.name);
    tensors.push_back({view->name, view->dtype, view->shape});
  }
  return tensors;
}

absl::Status Packer::Write(const ModelConfig& config, const QuantizedDirectory& directory) {
  source_ = CheckpointWeights(&checkpoint_, config);
  LLMCORE_RETURN_IF_ERROR(CheckWeights(config, *source_, backend_));
  DecoderWeights unused;
  LLMCORE_RETURN_IF_ERROR(VisitWeights(config, collected_, &unused));
  for (const TensorView* const tensor : checkpoint_.tensors()) total_ += tensor->data.size();
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<SafetensorsWriter::Tensor> header, Header());
  LLMCORE_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                           SafetensorsWriter::Create(directory.weights_path(), header,
                                                     directory.metadata(), kDataAlignment));
  writer_ = std::make_unique<SafetensorsWriter>(std::move(writer));
  LLMCORE_RETURN_IF_ERROR(control_.Report(kStage, 0, total_));
  for (const Matrix& matrix : collected_.matrices) LLMCORE_RETURN_IF_ERROR(Pack(matrix));
  for (const WeightPart& vector : collected_.vectors) LLMCORE_RETURN_IF_ERROR(Copy(vector));
  return writer_->Commit();
}

absl::Status Packer::Pack(const Matrix& matrix) {
  std::vector<SourceMatrix> sources;
  uint64_t source_bytes = 0;
  for (const WeightPart& part : matrix.parts) {
    LLMCORE_ASSIGN_OR_RETURN(sources.emplace_back(),
                             source_->Find(part.name, part.rows, matrix.columns));
    source_bytes += checkpoint_.Find(part.name)->data.size();
  }
  const WeightShape shape = ShapeOfMatrix(matrix);
  // Rows of the weight, or of one half of a gated one.
  const int64_t rows = matrix.kind == WeightKind::kGated ? shape.rows / 2 : shape.rows;
  const int64_t unit = backend_.WeightSliceRows();
  const uint64_t row_bytes =
      std::max<uint64_t>(1, source_bytes / static_cast<uint64_t>(std::max<int64_t>(rows, 1)));
  const int64_t slice =
      std::max<int64_t>(1, static_cast<int64_t>(kSliceBytes / row_bytes) / unit) * unit;
  for (int64_t first = 0; first < rows; first += slice) {
    LLMCORE_RETURN_IF_ERROR(PackSlice(matrix, sources, first, std::min(slice, rows - first)));
  }
  if (on_weight_) {
    on_weight_(absl::StrCat(PackedName(matrix.parts), " [", shape.rows, ", ", shape.columns, "] ",
                            source_bytes, " bytes -> ", backend_.WeightLayoutName(format_), " ",
                            backend_.PackedWeightBytes(shape), " bytes"));
  }
  return absl::OkStatus();
}

// Rows `first` to `first + rows` of the weight; when gated, those of both halves.
absl::Status Packer::PackSlice(const Matrix& matrix, const std::vector<SourceMatrix>& sources,
                               int64_t first, int64_t rows) {
  std::vector<SourceMatrix> pieces;
  WeightShape shape = {format_, matrix.kind, 0, matrix.columns};
  uint64_t read = 0;
  const std::vector<PartRows> slice = SliceParts(matrix.kind, matrix.parts, first, rows);
  for (const PartRows& part : slice) {
    const uint64_t row_bytes = SourceRowBytes(sources[part.part]);
    SourceMatrix piece = sources[part.part];
    piece.data += static_cast<uint64_t>(part.first) * row_bytes;
    piece.rows = part.rows;
    shape.rows += piece.rows;
    read += static_cast<uint64_t>(piece.rows) * row_bytes;
    pieces.push_back(piece);
  }
  const uint64_t bytes = backend_.PackedWeightBytes(shape);
  if (buffer_ == nullptr || buffer_->size() < bytes) {
    buffer_ = nullptr;
    LLMCORE_ASSIGN_OR_RETURN(buffer_, backend_.Allocate(bytes));
  }
  const WorkControl inner{control_.cancel, [&](absl::string_view, uint64_t done, uint64_t) {
                            return control_.Report(kStage, done_ + done, total_).ok();
                          }};
  const absl::Status status = backend_.PackWeight(shape, pieces, buffer_->data(), inner);
  if (!status.ok()) {
    return Annotate(status,
                    absl::StrCat("rows from ", first, " on of \"", PackedName(matrix.parts), "\""));
  }
  LLMCORE_RETURN_IF_ERROR(writer_->Append({static_cast<const std::byte*>(buffer_->data()), bytes}));
  for (const PartRows& part : slice) {
    source_->Release(matrix.parts[part.part].name, static_cast<uint64_t>(part.first + part.rows) *
                                                       SourceRowBytes(sources[part.part]));
  }
  done_ += read;
  return control_.Report(kStage, done_, total_);
}

absl::Status Packer::Copy(const WeightPart& vector) {
  const TensorView& tensor = *checkpoint_.Find(vector.name);
  LLMCORE_RETURN_IF_ERROR(writer_->Append(tensor.data));
  done_ += tensor.data.size();
  return control_.Report(kStage, done_, total_);
}

}  // namespace

absl::Status PackCheckpoint(const std::string& source, const std::string& destination,
                            WeightFormat format, Backend* backend, const WorkControl& control,
                            const PackedWeightCallback& on_weight) {
  StoredQuantization stored;
  stored.format = format;
  stored.layout = backend->WeightLayoutName(format);
  const bool quantized = format == WeightFormat::kInt4 || format == WeightFormat::kInt8;
  if (quantized && stored.layout.empty()) {
    return absl::UnimplementedError(
        absl::StrCat(backend->name(), " has no layout of stored weights"));
  }
  LLMCORE_ASSIGN_OR_RETURN(QuantizedDirectory directory,
                           QuantizedDirectory::Create(source, destination, stored));
  Packer packer(directory.checkpoint(), format, backend, control, on_weight);
  LLMCORE_RETURN_IF_ERROR(packer.Write(directory.config(), directory));
  return directory.Commit();
}

}  // namespace llmcore::core
