#ifndef LLMCORE_CUDA_KERNELS_KV_CACHE_H_
#define LLMCORE_CUDA_KERNELS_KV_CACHE_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/layout.h"

namespace llmcore::cuda {

enum class KvStorage : int { kF32, kBf16, kF16, kInt8, kInt4 };

constexpr int kKvParameterBytes = 4;  // scale and zero of one token of one head

LLMCORE_HOST_DEVICE constexpr int ElementBits(KvStorage storage) {
  switch (storage) {
    case KvStorage::kF32:
      return 32;
    case KvStorage::kBf16:
    case KvStorage::kF16:
      return 16;
    case KvStorage::kInt8:
      return 8;
    case KvStorage::kInt4:
      break;
  }
  return 4;
}

LLMCORE_HOST_DEVICE constexpr bool IsQuantized(KvStorage storage) {
  return storage == KvStorage::kInt8 || storage == KvStorage::kInt4;
}

struct RopeAppendKernelParams {
  float* qkv;  // [rows, (heads + 2 kv_heads) * head_dim]
  const float* cos_sin;
  const float* q_norm;
  const float* k_norm;
  float epsilon;
  int32_t heads;
  KvStorage storage;
  KvView kv;
  BatchView batch;
};
cudaError_t LaunchRopeAppend(const RopeAppendKernelParams& params, cudaStream_t stream);

constexpr int kBlockPairsALaunch = 256;
struct CopyBlocksKernelParams {
  unsigned char* data;  // [layers][blocks]
  int64_t block_bytes;  // a multiple of 16
  int32_t blocks;
  int32_t layers;
  int32_t count;
  int32_t from[kBlockPairsALaunch];
  int32_t to[kBlockPairsALaunch];
};
cudaError_t LaunchCopyBlocks(const CopyBlocksKernelParams& params, cudaStream_t stream);

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_KV_CACHE_H_
