// Addresses in the KV cache (layout.h).
#ifndef LLMCORE_CUDA_KERNELS_COMMON_KV_CUH_
#define LLMCORE_CUDA_KERNELS_COMMON_KV_CUH_

#include "cuda/kernels/kv_cache.h"

namespace llmcore::cuda {

__device__ __forceinline__ int ElementBytes(KvStorage storage) {
  return storage == KvStorage::kF32 ? 4 : 2;
}

// The key (which = 0) or value (1) of a head at a position of the sequence with this block table.
__device__ __forceinline__ unsigned char* KvToken(const KvView& kv, const int32_t* block_table,
                                                  int which, int head, int position) {
  const int64_t block = block_table[position / kv.block_tokens];
  const int64_t slot = (static_cast<int64_t>(which) * kv.kv_heads + head) * kv.block_tokens +
                       position % kv.block_tokens;
  return kv.layer + block * kv.block_bytes + slot * kv.token_bytes;
}

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_COMMON_KV_CUH_
