#ifndef LLMCORE_CUDA_KERNELS_LINEAR_H_
#define LLMCORE_CUDA_KERNELS_LINEAR_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/layout.h"

namespace llmcore::cuda {

enum class GateFunction : int { kSilu, kGeluTanh, kGelu };

struct LinearKernelParams {
  const unsigned char* weight;  // layout.h
  const float* in;              // [tokens, columns]
  const float* norm;            // [columns] or null: weight of the RMSNorm of `in`
  float epsilon;                // of the norm
  const float* bias;            // [outputs] or null; of the gate in a gated product
  const float* up_bias;         // [outputs] or null; gated only
  const float* residual;        // [tokens, outputs] or null; may be out
  float* out;                   // [tokens, outputs]
  int32_t tokens;
  int32_t columns;
  int32_t outputs;
  int32_t groups;  // Groups(columns)
  GateFunction gate;
  bool vector_loads;  // rows of `in`, and `norm`, begin at multiples of 16 bytes
};

// How the product is computed. kExact keeps activations in f32 (as three bf16 pieces) and weights
// as their format defines them; kRounded rounds activations to bf16, and takes int4 and int8 scales
// on the sums. kRounded is for formats of codes only.
enum class Precision : int { kExact, kRounded };

// Bits of a row of the output depend neither on the other rows nor on their number.
cudaError_t LaunchLinear(Storage storage, Precision precision, const LinearKernelParams& params,
                         cudaStream_t stream);
cudaError_t LaunchLinearGated(Storage storage, Precision precision,
                              const LinearKernelParams& params, cudaStream_t stream);

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_LINEAR_H_
