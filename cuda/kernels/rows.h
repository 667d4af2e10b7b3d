#ifndef LLMCORE_CUDA_KERNELS_ROWS_H_
#define LLMCORE_CUDA_KERNELS_ROWS_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/layout.h"

namespace llmcore::cuda {

// Numbers from the host travel inside of a launch: nothing is staged, and nothing has to wait.
// Arguments of a kernel may have 4 KB in all. A launch that is recorded reads them in memory of the
// device instead, since its arguments stay what they are.
constexpr int kIndicesALaunch = 960;
struct Indices {
  int32_t values[kIndicesALaunch];
};

struct EmbedKernelParams {
  const unsigned char* table;  // layout.h
  Storage storage;
  int32_t columns;
  int32_t groups;
  float* out;  // [count, columns]
  int32_t count;
  const int32_t* recorded;  // [count], the tokens; or null
  Indices tokens;
};
cudaError_t LaunchEmbed(const EmbedKernelParams& params, cudaStream_t stream);

struct NormKernelParams {
  const float* in;
  const float* weight;
  float* out;  // may be in
  int32_t rows;
  int32_t columns;
  float epsilon;
};
cudaError_t LaunchNorm(const NormKernelParams& params, cudaStream_t stream);

struct GatherKernelParams {
  const float* in;
  float* out;  // [count, columns]
  int32_t columns;
  int32_t count;
  const int32_t* recorded;  // [count], the rows; or null
  Indices rows;
};
cudaError_t LaunchGather(const GatherKernelParams& params, cudaStream_t stream);

// Writes `count` numbers to device memory, and zeros behind them.
struct UploadKernelParams {
  int32_t* out;
  int32_t count;
  int32_t zeros;
  Indices values;
};
cudaError_t LaunchUpload(const UploadKernelParams& params, cudaStream_t stream);

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_ROWS_H_
