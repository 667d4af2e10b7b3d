// Addresses in the KV cache (layout.h).
#ifndef LLMCORE_CUDA_KERNELS_COMMON_KV_CUH_
#define LLMCORE_CUDA_KERNELS_COMMON_KV_CUH_

#include "cuda/kernels/kv_cache.h"

namespace llmcore::cuda {

// Where the key (which = 0) or value (1) of a head at a position stands.
struct KvSlot {
  unsigned char* block;
  int64_t index;  // among the tokens of all heads of the block
};

// Of the sequence with this block table.
__device__ __forceinline__ KvSlot FindSlot(const KvView& kv, const int32_t* block_table, int which,
                                           int head, int position) {
  const int64_t block = block_table[position / kv.block_tokens];
  return {kv.layer + block * kv.block_bytes,
          (static_cast<int64_t>(which) * kv.kv_heads + head) * kv.block_tokens +
              position % kv.block_tokens};
}

__device__ __forceinline__ unsigned char* TokenOf(const KvView& kv, const KvSlot& slot) {
  return slot.block + slot.index * kv.token_bytes;
}

// Scale and zero of a token; those of positions that follow each other in a block do so too.
__device__ __forceinline__ unsigned char* ParametersOf(const KvView& kv, const KvSlot& slot) {
  return slot.block + kv.parameters_offset + slot.index * kKvParameterBytes;
}

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_COMMON_KV_CUH_
