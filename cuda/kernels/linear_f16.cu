#include "cuda/kernels/linear.cuh"
#include "cuda/kernels/linear_formats.h"

namespace llmcore::cuda {

cudaError_t LaunchLinearF16(bool gated, const LinearKernelParams& p, cudaStream_t stream) {
  return gated ? LaunchFormat<F16Weights, true>(p, stream)
               : LaunchFormat<F16Weights, false>(p, stream);
}

}  // namespace llmcore::cuda
