// Small pieces that several kernels share.
#ifndef LLMCORE_CUDA_KERNELS_COMMON_NUMBERS_CUH_
#define LLMCORE_CUDA_KERNELS_COMMON_NUMBERS_CUH_

#include <cuda_runtime.h>

#include <cstdint>

namespace llmcore::cuda {

constexpr int kWarpLanes = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFFu;

__device__ __forceinline__ float Bf16ToF32(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}

__device__ __forceinline__ bool IsFinite(float value) {
  return (__float_as_uint(value) & 0x7F800000u) != 0x7F800000u;
}

// Rounds |v| < 2^22 to the nearest integer, ties to even.
__device__ __forceinline__ float RoundHalfEven(float v) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23
  return __fadd_rn(__fadd_rn(v, kMagic), -kMagic);
}

__device__ __forceinline__ float Clamp(float v, float low, float high) {
  return v < low ? low : v > high ? high : v;
}

// Butterflies: every lane has the result, in the order of the tree.
__device__ __forceinline__ float WarpSum(float value) {
#pragma unroll
  for (int bits = 16; bits > 0; bits /= 2) value += __shfl_xor_sync(kAllLanes, value, bits);
  return value;
}
__device__ __forceinline__ float WarpMax(float value) {
#pragma unroll
  for (int bits = 16; bits > 0; bits /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, bits));
  }
  return value;
}

// The last i of [0, count) with starts[i] <= value, for starts[0] <= value. Empty runs before it
// are passed over.
__device__ __forceinline__ int LastNotAfter(const int32_t* starts, int count, int value) {
  int low = 0;
  int high = count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (starts[middle] <= value) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_COMMON_NUMBERS_CUH_
