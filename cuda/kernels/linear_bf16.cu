#include "cuda/kernels/linear.cuh"
#include "cuda/kernels/linear_formats.h"

namespace llmcore::cuda {

cudaError_t LaunchLinearBf16(bool gated, const LinearKernelParams& p, cudaStream_t stream) {
  return gated ? LaunchFormat<Bf16Weights, true>(p, stream)
               : LaunchFormat<Bf16Weights, false>(p, stream);
}

}  // namespace llmcore::cuda
