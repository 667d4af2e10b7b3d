// What stands around a product of many tokens that a library multiplies (gemm.h): a panel of a
// weight as rows of bf16, activations as rows of bf16, and outputs from sums. Rows of both operands
// have Depth(groups) columns; those behind the last are zero.
#ifndef LLMCORE_CUDA_KERNELS_PANEL_H_
#define LLMCORE_CUDA_KERNELS_PANEL_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/kernels/linear.h"
#include "cuda/layout.h"

namespace llmcore::cuda {

LLMCORE_HOST_DEVICE constexpr int64_t Depth(int64_t groups) {
  return groups * kGroup;
}

// Pieces of bf16 whose sum a weight or an activation is. Rounded ones are a single piece each: the
// value that is nearest.
constexpr int WeightPieces(Storage storage, Precision precision) {
  if (precision == Precision::kRounded) return 1;
  switch (storage) {
    case Storage::kF32:
      return 3;
    case Storage::kF16:
    case Storage::kInt8:  // a code of 8 bits times a scale of 8
      return 2;
    case Storage::kBf16:
    case Storage::kInt4:
      break;
  }
  return 1;
}
constexpr int ActivationPieces(Precision precision) {
  return precision == Precision::kRounded ? 1 : 3;
}
// Products of piece i of a weight and piece j of an activation are left out from i + j on.
constexpr int PieceSum(Precision precision) {
  return ActivationPieces(precision);
}

struct DequantizeKernelParams {
  const unsigned char* tiles;  // layout.h: the first of the panel
  int32_t row_tiles;
  int32_t groups;
  int32_t piece;
  uint16_t* out;  // [row_tiles * 16][Depth(groups)] bf16
};
// kRounded is for kInt8 and kInt4 only.
cudaError_t LaunchDequantize(Storage storage, Precision precision,
                             const DequantizeKernelParams& params, cudaStream_t stream);

struct ActivationsKernelParams {
  const float* in;    // [tokens, columns]
  const float* norm;  // [columns] or null: weight of the RMSNorm of `in`
  float epsilon;
  int32_t tokens;
  int32_t columns;
  int32_t groups;     // Groups(columns)
  bool vector_loads;  // LinearKernelParams
  uint16_t* out;      // [pieces][tokens][Depth(groups)] bf16
};
cudaError_t LaunchActivations(Precision precision, const ActivationsKernelParams& params,
                              cudaStream_t stream);

// Outputs of one panel.
struct OutputsKernelParams {
  LinearKernelParams product;  // of which tokens, outputs, bias, up_bias, residual, gate, out count
  const float* sums;           // [tokens][panel_rows]
  int32_t panel_rows;
  int32_t first_output;  // a multiple of 16
};
cudaError_t LaunchOutputs(bool gated, const OutputsKernelParams& params, cudaStream_t stream);

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_PANEL_H_
