// The one way in which kernels are launched.
#ifndef LLMCORE_CUDA_KERNELS_COMMON_LAUNCH_CUH_
#define LLMCORE_CUDA_KERNELS_COMMON_LAUNCH_CUH_

#include <cuda_runtime.h>

namespace llmcore::cuda {

// What a kernel may take of shared memory without asking.
constexpr size_t kSharedWithoutAsking = 48 << 10;

template <typename Params>
cudaError_t Launch(void (*kernel)(Params), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, const Params& params) {
  if (shared_bytes > kSharedWithoutAsking) {
    const cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, params);
}

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_COMMON_LAUNCH_CUH_
