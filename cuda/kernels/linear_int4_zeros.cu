#include "cuda/kernels/linear.cuh"
#include "cuda/kernels/linear_formats.h"

namespace llmcore::cuda {

cudaError_t LaunchLinearInt4Zeros(bool gated, Precision precision, const LinearKernelParams& p,
                                  cudaStream_t stream) {
  if (precision == Precision::kExact) {
    return gated ? LaunchFormat<Int4ZerosWeights<3>, true>(p, stream)
                 : LaunchFormat<Int4ZerosWeights<3>, false>(p, stream);
  }
  return gated ? LaunchFormat<Int4ZerosWeights<1>, true>(p, stream)
               : LaunchFormat<Int4ZerosWeights<1>, false>(p, stream);
}

}  // namespace llmcore::cuda
