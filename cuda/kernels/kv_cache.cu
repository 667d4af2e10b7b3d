// Writing to the KV cache: rotary embedding and append, and copies of blocks.
#include "cuda/kernels/common/kv.cuh"
#include "cuda/kernels/common/launch.cuh"
#include "cuda/kernels/common/numbers.cuh"
#include "cuda/kernels/common/ptx.cuh"
#include "cuda/kernels/kv_cache.h"

namespace llmcore::cuda {
namespace {

constexpr int kWarps = 4;

__device__ __forceinline__ void Store(KvStorage storage, unsigned char* token, int i, float value) {
  if (storage == KvStorage::kF32) {
    reinterpret_cast<float*>(token)[i] = value;
  } else {
    reinterpret_cast<uint16_t*>(token)[i] =
        storage == KvStorage::kBf16 ? F32ToBf16(value) : F32ToF16(value);
  }
}

// A warp a head of a row: heads of q, then of k, then of v.
__global__ void __launch_bounds__(kWarps* kWarpLanes)
    RopeAppendKernel(const RopeAppendKernelParams p) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int slots = p.heads + 2 * p.kv.kv_heads;
  const int slot =
      static_cast<int>(blockIdx.y) * kWarps + static_cast<int>(threadIdx.x) / kWarpLanes;
  const int row = static_cast<int>(blockIdx.x);
  if (slot >= slots) return;
  const int head_dim = p.kv.head_dim;
  float* head = p.qkv + (static_cast<int64_t>(row) * slots + slot) * head_dim;
  const bool is_query = slot < p.heads;
  const bool is_value = slot >= p.heads + p.kv.kv_heads;

  unsigned char* token = nullptr;
  if (!is_query) {
    const int sequence = LastNotAfter(p.batch.first_row, p.batch.sequences, row);
    const int position = p.batch.first_position[sequence] + row - p.batch.first_row[sequence];
    const int32_t* table = p.batch.block_table + static_cast<int64_t>(sequence) * p.batch.stride;
    const int kv_head = (slot - p.heads) % p.kv.kv_heads;
    token = KvToken(p.kv, table, is_value ? 1 : 0, kv_head, position);
  }
  if (is_value) {
    for (int i = lane; i < head_dim; i += kWarpLanes) Store(p.storage, token, i, head[i]);
  } else {
    const float* norm = is_query ? p.q_norm : p.k_norm;
    float factor = 1;
    if (norm != nullptr) {
      float squares = 0;
      for (int i = lane; i < head_dim; i += kWarpLanes) {
        squares = __fmaf_rn(head[i], head[i], squares);
      }
      factor = 1.0f / sqrtf(WarpSum(squares) / static_cast<float>(head_dim) + p.epsilon);
    }
    const int half = head_dim / 2;
    const float* angles = p.cos_sin + static_cast<int64_t>(row) * head_dim;
    for (int i = lane; i < half; i += kWarpLanes) {
      float first = head[i];
      float second = head[i + half];
      if (norm != nullptr) {
        first = first * factor * norm[i];
        second = second * factor * norm[i + half];
      }
      const float cosine = angles[i];
      const float sine = angles[half + i];
      const float rotated_first = first * cosine - second * sine;
      const float rotated_second = second * cosine + first * sine;
      if (is_query) {
        head[i] = rotated_first;
        head[i + half] = rotated_second;
      } else {
        Store(p.storage, token, i, rotated_first);
        Store(p.storage, token, i + half, rotated_second);
      }
    }
  }
  if (is_query) return;
  // Attention reads whole 16 bytes.
  const int stored = p.kv.token_bytes / ElementBytes(p.storage);
  for (int i = head_dim + lane; i < stored; i += kWarpLanes) Store(p.storage, token, i, 0.0f);
}

constexpr int kCopyThreads = 256;

// x: pairs, y: layers.
__global__ void CopyBlocksKernel(const CopyBlocksKernelParams p) {
  const int64_t layer = static_cast<int64_t>(blockIdx.y) * p.blocks;
  const auto* from =
      reinterpret_cast<const uint4*>(p.data + (layer + p.from[blockIdx.x]) * p.block_bytes);
  auto* to = reinterpret_cast<uint4*>(p.data + (layer + p.to[blockIdx.x]) * p.block_bytes);
  const int64_t count = p.block_bytes / 16;
  for (int64_t i = threadIdx.x; i < count; i += kCopyThreads) to[i] = from[i];
}

}  // namespace

cudaError_t LaunchRopeAppend(const RopeAppendKernelParams& params, cudaStream_t stream) {
  const int slots = params.heads + 2 * params.kv.kv_heads;
  const dim3 grid(static_cast<unsigned>(params.batch.rows),
                  static_cast<unsigned>((slots + kWarps - 1) / kWarps));
  return Launch(RopeAppendKernel, grid, dim3(kWarps * kWarpLanes), 0, stream, params);
}

cudaError_t LaunchCopyBlocks(const CopyBlocksKernelParams& params, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(params.count), static_cast<unsigned>(params.layers));
  return Launch(CopyBlocksKernel, grid, dim3(kCopyThreads), 0, stream, params);
}

}  // namespace llmcore::cuda
