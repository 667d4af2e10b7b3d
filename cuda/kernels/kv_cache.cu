// Writing to the KV cache: rotary embedding and append, and copies of blocks.
#include "cuda/kernels/common/kv.cuh"
#include "cuda/kernels/common/launch.cuh"
#include "cuda/kernels/common/numbers.cuh"
#include "cuda/kernels/common/ptx.cuh"
#include "cuda/kernels/kv_cache.h"

namespace llmcore::cuda {
namespace {

constexpr int kWarps = 4;
constexpr uint16_t kF16Nan = 0x7E00;

// How the codes of a head are made: x = (code - zero) * scale.
struct Quantization {
  uint16_t scale;  // f16
  uint16_t zero;   // f16
};

// scale = (max - min) / most, rounded up in f16, over a range that holds 0; zero = -min / scale in
// f16. NaN where a value is not finite, or where f16 cannot hold the scale. All lanes have it.
__device__ __forceinline__ Quantization ChooseQuantization(const float* values, int count, int most,
                                                           int lane) {
  float low = 0;
  float high = 0;
  bool finite = true;
  for (int i = lane; i < count; i += kWarpLanes) {
    low = fminf(low, values[i]);
    high = fmaxf(high, values[i]);
    finite = finite && IsFinite(values[i]);
  }
  low = -WarpMax(-low);
  high = WarpMax(high);
  const float wanted = __fdiv_rn(__fadd_rn(high, -low), static_cast<float>(most));
  if (!__all_sync(kAllLanes, finite) || !(wanted <= 65504.0f)) return {kF16Nan, kF16Nan};
  Quantization q = {F32ToF16(wanted), 0};
  if (F16ToF32(q.scale) < wanted) ++q.scale;
  if (q.scale != 0) q.zero = F32ToF16(__fdiv_rn(-low, F16ToF32(q.scale)));
  return q;
}

// round_half_even(x / scale + zero), cut to 0 .. most; 0 without a usable scale.
__device__ __forceinline__ int CodeOf(float x, float scale, float zero, int most) {
  if (!(scale > 0)) return 0;
  const float code = __fadd_rn(__fdiv_rn(x, scale), zero);
  return static_cast<int>(RoundHalfEven(Clamp(code, 0, static_cast<float>(most))));
}

// The head of a token by one warp, filled up with zeros: attention reads whole 16 bytes.
__device__ __forceinline__ void StoreHead(const RopeAppendKernelParams& p, const KvSlot& slot,
                                          const float* values, int lane) {
  unsigned char* token = TokenOf(p.kv, slot);
  const int count = p.kv.head_dim;
  const int padded = p.kv.token_bytes * 8 / ElementBits(p.storage);
  if (!IsQuantized(p.storage)) {
    for (int i = lane; i < padded; i += kWarpLanes) {
      const float value = i < count ? values[i] : 0.0f;
      if (p.storage == KvStorage::kF32) {
        reinterpret_cast<float*>(token)[i] = value;
      } else {
        reinterpret_cast<uint16_t*>(token)[i] =
            p.storage == KvStorage::kBf16 ? F32ToBf16(value) : F32ToF16(value);
      }
    }
    return;
  }
  const bool is_int8 = p.storage == KvStorage::kInt8;
  const int most = is_int8 ? 255 : 15;
  const Quantization q = ChooseQuantization(values, count, most, lane);
  const float scale = F16ToF32(q.scale);
  const float zero = F16ToF32(q.zero);
  const auto code = [&](int i) { return i < count ? CodeOf(values[i], scale, zero, most) : 0; };
  for (int i = lane; i < p.kv.token_bytes; i += kWarpLanes) {
    token[i] = static_cast<unsigned char>(is_int8 ? code(i) : code(2 * i) | code(2 * i + 1) << 4);
  }
  if (lane == 0) {
    *reinterpret_cast<uint32_t*>(ParametersOf(p.kv, slot)) = q.scale | static_cast<uint32_t>(q.zero)
                                                                           << 16;
  }
}

// A warp a head of a row: heads of q, then of k, then of v. A rotated key waits in shared memory
// until the whole of it is known.
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

  KvSlot kv_slot = {};
  if (!is_query) {
    const int sequence = LastNotAfter(p.batch.first_row, p.batch.sequences, row);
    const int position = p.batch.first_position[sequence] + row - p.batch.first_row[sequence];
    const int32_t* table = p.batch.block_table + static_cast<int64_t>(sequence) * p.batch.stride;
    const int kv_head = (slot - p.heads) % p.kv.kv_heads;
    kv_slot = FindSlot(p.kv, table, is_value ? 1 : 0, kv_head, position);
  }
  if (is_value) {
    StoreHead(p, kv_slot, head, lane);
    return;
  }
  float* rotated = head;
  if (!is_query) {
    rotated = reinterpret_cast<float*>(DynamicShared()) + threadIdx.x / kWarpLanes * head_dim;
  }
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
    rotated[i] = rotated_first;
    rotated[i + half] = rotated_second;
  }
  if (is_query) return;
  __syncwarp();
  StoreHead(p, kv_slot, rotated, lane);
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
  const size_t shared = sizeof(float) * kWarps * static_cast<size_t>(params.kv.head_dim);
  return Launch(RopeAppendKernel, grid, dim3(kWarps * kWarpLanes), shared, stream, params);
}

cudaError_t LaunchCopyBlocks(const CopyBlocksKernelParams& params, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(params.count), static_cast<unsigned>(params.layers));
  return Launch(CopyBlocksKernel, grid, dim3(kCopyThreads), 0, stream, params);
}

}  // namespace llmcore::cuda
