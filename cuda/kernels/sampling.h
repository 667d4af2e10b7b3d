#ifndef LLMCORE_CUDA_KERNELS_SAMPLING_H_
#define LLMCORE_CUDA_KERNELS_SAMPLING_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "lib/backend/draw.h"

namespace llmcore::cuda {

// Weights are multiples of 2^-34 of at most 1 (lib/sampling/processors.h): so many have a sum that
// a double of the host holds exactly.
constexpr int32_t kMaxSampledVocabulary = 1 << 19;

struct SampleKernelParams {
  const float* logits;  // [rows, vocabulary]
  int32_t vocabulary;   // 1 to kMaxSampledVocabulary
  int32_t rows;
  const core::TokenDraw* draws;  // [rows]
  core::DrawnToken* tokens;      // [rows]
};
cudaError_t LaunchSample(const SampleKernelParams& params, cudaStream_t stream);

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_SAMPLING_H_
