#ifndef LLMCORE_CUDA_KERNELS_PACK_H_
#define LLMCORE_CUDA_KERNELS_PACK_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/layout.h"

namespace llmcore::cuda {

constexpr unsigned char kNoneBad = 0xFF;

// What the rows of a source hold. kZeros has no data and fills up the last tile.
enum class PackSource : int { kZeros, kF32, kBf16, kF16, kInt8, kInt4, kInt4Zeros };

LLMCORE_HOST_DEVICE constexpr bool IsQuantized(PackSource source) {
  return source == PackSource::kInt8 || source == PackSource::kInt4 ||
         source == PackSource::kInt4Zeros;
}

constexpr int kMostZero = 16;  // a zero point that is larger is refused

// `rows` rows of one part of a weight into the backend's layout.
struct PackKernelParams {
  PackSource source;
  const unsigned char* data;  // rows of row_bytes, aligned to the element; host memory will do
  int64_t row_bytes;
  const uint16_t* scales;      // [rows, groups], of quantized ones: bf16, or f16 beside zeros
  const unsigned char* zeros;  // [rows, groups], of kInt4Zeros
  int32_t rows;
  int32_t columns;
  int32_t groups;      // Groups(columns)
  Storage storage;     // kInt4Zeros is made from kInt4Zeros and kZeros only
  unsigned char* out;  // the whole weight
  // Row i goes to row (first_row + i) % 16 of tile first_tile + (first_row + i) / 16 * tile_step.
  int64_t first_row;
  int32_t first_tile;
  int32_t tile_step;
  // [rows, groups]: the first column of a group whose value is not finite or does not fit, or
  // kNoneBad; null: not asked.
  unsigned char* bad;
};

// Codes and scales equal to those of lib/tensor/int4.h and int8.h.
cudaError_t LaunchPack(const PackKernelParams& params, cudaStream_t stream);

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_PACK_H_
