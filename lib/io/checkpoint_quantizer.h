// Turns a model directory into one whose matrices are stored as int4 or int8
// (lib/io/quantized_checkpoint.md), so that a load need not quantize.
#ifndef LLMCORE_LIB_IO_CHECKPOINT_QUANTIZER_H_
#define LLMCORE_LIB_IO_CHECKPOINT_QUANTIZER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "lib/base/cancel.h"
#include "lib/base/status.h"
#include "lib/io/safetensors.h"
#include "lib/tensor/format.h"

namespace llmcore::core {

struct QuantizationOptions {
  WeightFormat format = WeightFormat::kInt4;  // kInt4 or kInt8
  int threads = 0;  // 0: one per usable core. The bytes do not depend on it
};

// What became of one matrix.
struct QuantizedTensor {
  std::string name;
  DType dtype = DType::kBf16;  // as it was stored
  TensorShape shape;
  WeightFormat format = WeightFormat::kInt4;
  uint64_t source_bytes = 0;
  uint64_t stored_bytes = 0;  // codes and scales
  // Of the dequantized values against the stored ones: ||x' - x|| / ||x|| (0 for a matrix of
  // zeros), and the largest |x' - x|.
  double relative_error = 0;
  double max_error = 0;

  // "NAME [2, 3] BF16 12 bytes -> int4 4 bytes, relative error 0.0123"
  std::string ToString() const;
};

// Called from the calling thread, in the order of the file that is written.
using QuantizedTensorCallback = std::function<void(const QuantizedTensor&)>;

// `source` is a model directory, or the name of one in the Hugging Face cache. `destination`
// appears whole or not at all; it must not exist, or be an empty directory (ALREADY_EXISTS).
// Tensors are streamed: beside the mapped files some 10 MB are held, and the scales of one tensor.
// Progress is reported in bytes of the source under the stage "quantize". NaN or infinity is
// INVALID_ARGUMENT with file, tensor, row and column; a source that is quantized already is
// INVALID_ARGUMENT too.
absl::Status QuantizeCheckpoint(const std::string& source, const std::string& destination,
                                const QuantizationOptions& options, const WorkControl& control,
                                const QuantizedTensorCallback& on_tensor);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_IO_CHECKPOINT_QUANTIZER_H_
