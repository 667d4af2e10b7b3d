#include "cuda/kernels/linear.cuh"
#include "cuda/kernels/linear_formats.h"

namespace llmcore::cuda {

cudaError_t LaunchLinearF32(bool gated, const LinearKernelParams& p, cudaStream_t stream) {
  return gated ? LaunchFormat<F32Weights, true>(p, stream)
               : LaunchFormat<F32Weights, false>(p, stream);
}

}  // namespace llmcore::cuda
