// One source file a weight format, so that they compile side by side.
#ifndef LLMCORE_CUDA_KERNELS_LINEAR_FORMATS_H_
#define LLMCORE_CUDA_KERNELS_LINEAR_FORMATS_H_

#include "cuda/kernels/linear.h"

namespace llmcore::cuda {

cudaError_t LaunchLinearF32(bool gated, const LinearKernelParams& p, cudaStream_t stream);
cudaError_t LaunchLinearF16(bool gated, const LinearKernelParams& p, cudaStream_t stream);
cudaError_t LaunchLinearBf16(bool gated, const LinearKernelParams& p, cudaStream_t stream);
cudaError_t LaunchLinearInt8(bool gated, Precision precision, const LinearKernelParams& p,
                             cudaStream_t stream);
cudaError_t LaunchLinearInt4(bool gated, Precision precision, const LinearKernelParams& p,
                             cudaStream_t stream);
cudaError_t LaunchLinearInt4Zeros(bool gated, Precision precision, const LinearKernelParams& p,
                                  cudaStream_t stream);

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_LINEAR_FORMATS_H_
