#include "lib/io/checkpoint_quantizer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/file.h"
#include "lib/base/thread_pool.h"
#include "lib/io/checkpoint.h"
#include "lib/io/quantized_directory.h"
#include "lib/tensor/float16.h"
#include "lib/tensor/int4.h"
#include "lib/tensor/int8.h"

namespace llmcore::core {
namespace {

constexpr absl::string_view kStage = "quantize";

// Source bytes between two reports, and with them the size of the code buffer: some 20 ms of work.
constexpr uint64_t kChunkBytes = uint64_t{4} << 20;
constexpr uint64_t kMostChunkRows = 1 << 16;  // what is kept of a row may be more than the row

bool IsMatrix(const TensorView& tensor) {
  return tensor.shape.size() == 2 && absl::EndsWith(tensor.name, ".weight");
}

// A matrix [rows, columns] in the format it is stored in.
struct StoredShape {
  WeightFormat format;
  int64_t rows;
  int64_t columns;

  StoredShape(const TensorView& tensor, WeightFormat stored)
      : format(stored), rows(tensor.shape[0]), columns(tensor.shape[1]) {}

  int64_t code_columns() const {
    return format == WeightFormat::kInt4 ? columns / 2 + columns % 2 : columns;
  }
  int64_t blocks() const { return columns / kQuantBlock + (columns % kQuantBlock != 0 ? 1 : 0); }
  uint64_t code_bytes() const { return static_cast<uint64_t>(rows * code_columns()); }
  uint64_t scale_bytes() const { return static_cast<uint64_t>(rows * blocks()) * 2; }
};

// ---- One row ------------------------------------------------------------------------------------

// `count` values as f32 from any alignment.
void LoadValues(const std::byte* data, DType dtype, int64_t count, float* values) {
  if (dtype == DType::kF32) {
    std::memcpy(values, data, static_cast<size_t>(count) * 4);
    return;
  }
  uint16_t bits[kQuantBlock];
  std::memcpy(bits, data, static_cast<size_t>(count) * 2);
  if (dtype == DType::kBf16) {
    for (int64_t i = 0; i < count; ++i) values[i] = Bf16ToF32(bits[i]);
  } else {
    for (int64_t i = 0; i < count; ++i) values[i] = F16ToF32(bits[i]);
  }
}

// What the codes of a block stand for.
void Dequantize(const int8_t* codes, uint16_t scale, bool int4, int64_t count, float* values) {
  if (!int4) {
    for (int64_t i = 0; i < count; ++i) {
      values[i] = static_cast<float>(codes[i]) * Bf16ToF32(scale);
    }
    return;
  }
  float table[16];
  for (int code = -8; code < 8; ++code) {
    table[code + 8] = Bf16ToF32(DequantizeInt4Value(code, scale));
  }
  for (int64_t i = 0; i < count; ++i) values[i] = table[codes[i] + 8];
}

struct RowResult {
  int64_t bad_column = -1;  // the first value that is not finite in bf16
  double squared_norm = 0;
  double squared_error = 0;
  double max_error = 0;
};

// Reads one row and writes its codes and scales.
RowResult QuantizeRow(const std::byte* row, DType dtype, const StoredShape& shape, uint8_t* codes,
                      uint16_t* scales) {
  const bool int4 = shape.format == WeightFormat::kInt4;
  RowResult result;
  float values[kQuantBlock];
  float stored[kQuantBlock];
  uint16_t bf16[kQuantBlock];
  int8_t block[kQuantBlock + 1] = {};
  for (int64_t start = 0; start < shape.columns; start += kQuantBlock) {
    const int64_t count = std::min(kQuantBlock, shape.columns - start);
    LoadValues(row + start * DTypeSize(dtype), dtype, count, values);
    for (int64_t i = 0; i < count; ++i) bf16[i] = F32ToBf16(values[i]);
    const uint64_t bad = FirstNonFiniteBf16(bf16, static_cast<uint64_t>(count));
    if (bad != static_cast<uint64_t>(count)) {
      result.bad_column = start + static_cast<int64_t>(bad);
      return result;
    }
    const uint16_t scale =
        int4 ? QuantizeInt4Block(bf16, count, block) : QuantizeInt8Block(bf16, count, block);
    *scales++ = scale;
    Dequantize(block, scale, int4, count, stored);
    for (int64_t i = 0; i < count; ++i) {
      const double error = static_cast<double>(stored[i]) - static_cast<double>(values[i]);
      result.squared_norm += static_cast<double>(values[i]) * static_cast<double>(values[i]);
      result.squared_error += error * error;
      result.max_error = std::max(result.max_error, std::abs(error));
    }
    if (int4) {
      block[count] = 0;  // the low half behind an odd tail
      for (int64_t i = 0; i < count; i += 2) {
        *codes++ = static_cast<uint8_t>((block[i] & 15) << 4 | (block[i + 1] & 15));
      }
    } else {
      std::memcpy(codes, block, static_cast<size_t>(count));
      codes += count;
    }
  }
  return result;
}

// ---- The weights --------------------------------------------------------------------------------

class Quantizer {
 public:
  Quantizer(const Checkpoint& checkpoint, const QuantizationOptions& options,
            const WorkControl& control, const QuantizedTensorCallback& on_tensor)
      : checkpoint_(checkpoint), options_(options), control_(control), on_tensor_(on_tensor) {}

  absl::Status Write(const std::string& path,
                     const std::vector<std::pair<std::string, std::string>>& metadata, bool tied);

 private:
  absl::Status Plan(bool tied);
  std::vector<SafetensorsWriter::Tensor> Header() const;
  absl::Status Copy(const TensorView& tensor, SafetensorsWriter* writer);
  absl::Status Quantize(const TensorView& tensor, SafetensorsWriter* writer);
  absl::Status Advance(const TensorView& tensor, uint64_t begin, uint64_t length);

  const Checkpoint& checkpoint_;
  const QuantizationOptions& options_;
  const WorkControl& control_;
  const QuantizedTensorCallback& on_tensor_;
  std::unique_ptr<ThreadPool> pool_;
  std::vector<const TensorView*> copied_;  // in the order of the file, before the matrices
  std::vector<const TensorView*> matrices_;
  uint64_t done_ = 0;   // source bytes
  uint64_t total_ = 0;  // likewise
};

absl::Status Quantizer::Plan(bool tied) {
  for (const TensorView* const tensor : checkpoint_.tensors()) {
    if (tied && tensor->name == "lm_head.weight") continue;
    if (!IsWeightDType(tensor->dtype)) {
      return absl::UnimplementedError(
          absl::StrCat(tensor->Where(), ": only F32, BF16 and F16 tensors can be quantized"));
    }
    (IsMatrix(*tensor) ? matrices_ : copied_).push_back(tensor);
    total_ += tensor->data.size();
  }
  std::stable_sort(copied_.begin(), copied_.end(), [](const TensorView* a, const TensorView* b) {
    return DTypeSize(a->dtype) > DTypeSize(b->dtype);
  });
  std::stable_partition(matrices_.begin(), matrices_.end(), [this](const TensorView* tensor) {
    return StoredShape(*tensor, options_.format).code_bytes() % 2 == 0;
  });
  return absl::OkStatus();
}

std::vector<SafetensorsWriter::Tensor> Quantizer::Header() const {
  std::vector<SafetensorsWriter::Tensor> tensors;
  for (const TensorView* const tensor : copied_) {
    tensors.push_back({tensor->name, tensor->dtype, tensor->shape});
  }
  const bool int4 = options_.format == WeightFormat::kInt4;
  for (const TensorView* const tensor : matrices_) {
    const StoredShape shape(*tensor, options_.format);
    tensors.push_back({absl::StrCat(tensor->name, int4 ? ".int4" : ".int8"),
                       int4 ? DType::kU8 : DType::kI8,
                       {shape.rows, shape.code_columns()}});
    tensors.push_back(
        {absl::StrCat(tensor->name, ".scale"), DType::kBf16, {shape.rows, shape.blocks()}});
  }
  return tensors;
}

absl::Status Quantizer::Write(const std::string& path,
                              const std::vector<std::pair<std::string, std::string>>& metadata,
                              bool tied) {
  LLMCORE_RETURN_IF_ERROR(Plan(tied));
  LLMCORE_ASSIGN_OR_RETURN(pool_, ThreadPool::Create(options_.threads));
  LLMCORE_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                           SafetensorsWriter::Create(path, Header(), metadata));
  LLMCORE_RETURN_IF_ERROR(control_.Report(kStage, 0, total_));
  for (const TensorView* const tensor : copied_) {
    LLMCORE_RETURN_IF_ERROR(Copy(*tensor, &writer));
  }
  for (const TensorView* const tensor : matrices_) {
    LLMCORE_RETURN_IF_ERROR(Quantize(*tensor, &writer));
  }
  return writer.Commit();
}

// The bytes were read for the last time.
absl::Status Quantizer::Advance(const TensorView& tensor, uint64_t begin, uint64_t length) {
  Checkpoint::Release(tensor, begin, length);
  done_ += length;
  return control_.Report(kStage, done_, total_);
}

absl::Status Quantizer::Copy(const TensorView& tensor, SafetensorsWriter* writer) {
  for (uint64_t begin = 0; begin < tensor.data.size(); begin += kChunkBytes) {
    const uint64_t length = std::min(kChunkBytes, tensor.data.size() - begin);
    LLMCORE_RETURN_IF_ERROR(writer->Append(tensor.data.subspan(begin, length)));
    LLMCORE_RETURN_IF_ERROR(Advance(tensor, begin, length));
  }
  return absl::OkStatus();
}

absl::Status Quantizer::Quantize(const TensorView& tensor, SafetensorsWriter* writer) {
  const StoredShape shape(tensor, options_.format);
  const auto row_bytes =
      static_cast<uint64_t>(shape.columns) * static_cast<uint64_t>(DTypeSize(tensor.dtype));
  const auto code_columns = static_cast<uint64_t>(shape.code_columns());
  const auto blocks = static_cast<uint64_t>(shape.blocks());
  // At least a row; with empty rows there is nothing to do, whatever their number.
  const auto total_rows = static_cast<uint64_t>(row_bytes == 0 ? 0 : shape.rows);
  const uint64_t chunk_rows =
      std::clamp<uint64_t>(kChunkBytes / std::max<uint64_t>(row_bytes, 1), 1, kMostChunkRows);

  RowResult sum;
  std::vector<uint16_t> scales(total_rows * blocks);
  std::vector<uint8_t> codes(std::min(chunk_rows, total_rows) * code_columns);
  std::vector<RowResult> results(std::min(chunk_rows, total_rows));
  for (uint64_t first = 0; first < total_rows; first += chunk_rows) {
    const uint64_t rows = std::min(chunk_rows, total_rows - first);
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (auto row = static_cast<uint64_t>(begin); row < static_cast<uint64_t>(end); ++row) {
        results[row] =
            QuantizeRow(tensor.data.data() + (first + row) * row_bytes, tensor.dtype, shape,
                        codes.data() + row * code_columns, scales.data() + (first + row) * blocks);
      }
    };
    LLMCORE_RETURN_IF_ERROR(
        pool_->ParallelFor(static_cast<int64_t>(rows), /*chunk=*/8, control_.cancel, body));
    // Summed in the order of the rows, so that the figures do not depend on the threads.
    for (uint64_t row = 0; row < rows; ++row) {
      const RowResult& result = results[row];
      if (result.bad_column >= 0) {
        return absl::InvalidArgumentError(absl::StrCat(tensor.Where(), ": the value at row ",
                                                       first + row, ", column ", result.bad_column,
                                                       " is NaN or infinite in bf16"));
      }
      sum.squared_norm += result.squared_norm;
      sum.squared_error += result.squared_error;
      sum.max_error = std::max(sum.max_error, result.max_error);
    }
    LLMCORE_RETURN_IF_ERROR(
        writer->Append(std::as_bytes(std::span(codes.data(), rows * code_columns))));
    LLMCORE_RETURN_IF_ERROR(Advance(tensor, first * row_bytes, rows * row_bytes));
  }
  LLMCORE_RETURN_IF_ERROR(writer->Append(std::as_bytes(std::span(scales))));

  if (on_tensor_) {
    QuantizedTensor report;
    report.name = tensor.name;
    report.dtype = tensor.dtype;
    report.shape = tensor.shape;
    report.format = options_.format;
    report.source_bytes = tensor.data.size();
    report.stored_bytes = shape.code_bytes() + shape.scale_bytes();
    report.relative_error =
        sum.squared_norm == 0 ? 0 : std::sqrt(sum.squared_error / sum.squared_norm);
    report.max_error = sum.max_error;
    on_tensor_(report);
  }
  return absl::OkStatus();
}

}  // namespace

std::string QuantizedTensor::ToString() const {
  // absl::StrFormat ends the process where memory runs out.
  char error[32];
  std::snprintf(error, sizeof error, "%.4f", relative_error);
  return absl::StrCat(name, " ", ShapeText(shape), " ", DTypeName(dtype), " ", source_bytes,
                      " bytes -> ", WeightFormatName(format), " ", stored_bytes,
                      " bytes, relative error ", error);
}

absl::Status QuantizeCheckpoint(const std::string& source, const std::string& destination,
                                const QuantizationOptions& options, const WorkControl& control,
                                const QuantizedTensorCallback& on_tensor) {
  StoredQuantization stored;
  stored.format = options.format;
  LLMCORE_ASSIGN_OR_RETURN(QuantizedDirectory directory,
                           QuantizedDirectory::Create(source, destination, stored));
  Quantizer quantizer(directory.checkpoint(), options, control, on_tensor);
  LLMCORE_RETURN_IF_ERROR(quantizer.Write(directory.weights_path(), directory.metadata(),
                                          directory.config().tie_word_embeddings));
  return directory.Commit();
}

}  // namespace llmcore::core
