// Operands of products on tensor cores, and what is done with a product's sums.
//
// Exact products. A float is the sum of three bf16 pieces, cut off and not rounded: 8 significant
// bits each, 24 in all. Products of bf16 are exact in f32, so three mma give what one in f32 would.
// Weights of f16 are two pieces, of f32 three; products of pieces that lie 24 bits below the
// leading one are left out.
#ifndef LLMCORE_CUDA_KERNELS_OPERANDS_CUH_
#define LLMCORE_CUDA_KERNELS_OPERANDS_CUH_

#include "cuda/kernels/common/numbers.cuh"
#include "cuda/kernels/common/ptx.cuh"
#include "cuda/kernels/linear.h"

namespace llmcore::cuda {

constexpr uint32_t kUpperHalves = 0x7632;  // for PickBytes: the bf16 that begin two floats

__device__ __forceinline__ float CutToBf16(float value) {
  return __uint_as_float(__float_as_uint(value) & 0xFFFF0000u);
}

// Pieces of two floats, kPieces registers apart by `stride`.
template <int kPieces>
__device__ __forceinline__ void Cut(float low, float high, uint32_t* pieces, int stride) {
#pragma unroll
  for (int i = 0; i < kPieces; ++i) {
    pieces[i * stride] = PickBytes(__float_as_uint(low), __float_as_uint(high), kUpperHalves);
    low -= CutToBf16(low);
    high -= CutToBf16(high);
  }
}

// ---- Formats: a tile in registers, and the A fragments of one step -----------------------------

// kWeightPieces: registers a fragment register is cut into. kScaled: sums of a group are multiplied
// by the row's scale.

// Formats without scales: 4 or 8 KB a tile, read step by step.
struct PlainWeights {
  static constexpr int kActivationPieces = 3;
  static constexpr bool kScaled = false;
  struct Tile {
    const unsigned char* data;  // of the lane
  };
  __device__ static __forceinline__ Tile Load(const unsigned char* data, int lane) {
    return {data + lane * 16};
  }
};

struct F32Weights : PlainWeights {
  static constexpr Storage kStorage = Storage::kF32;
  static constexpr int kWeightPieces = 3;
  __device__ static __forceinline__ void Fragments(const Tile& tile, int s,
                                                   uint32_t (&a)[kWeightPieces][4]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint4 v = LoadStream16(tile.data + (s * 2 + half) * 512);
      Cut<3>(__uint_as_float(v.x), __uint_as_float(v.y), &a[0][half * 2], 4);
      Cut<3>(__uint_as_float(v.z), __uint_as_float(v.w), &a[0][half * 2 + 1], 4);
    }
  }
};

struct Bf16Weights : PlainWeights {
  static constexpr Storage kStorage = Storage::kBf16;
  static constexpr int kWeightPieces = 1;
  __device__ static __forceinline__ void Fragments(const Tile& tile, int s,
                                                   uint32_t (&a)[kWeightPieces][4]) {
    const uint4 v = LoadStream16(tile.data + s * 512);
    a[0][0] = v.x;
    a[0][1] = v.y;
    a[0][2] = v.z;
    a[0][3] = v.w;
  }
};

struct F16Weights : PlainWeights {
  static constexpr Storage kStorage = Storage::kF16;
  static constexpr int kWeightPieces = 2;
  __device__ static __forceinline__ void Fragments(const Tile& tile, int s,
                                                   uint32_t (&a)[kWeightPieces][4]) {
    const uint4 v = LoadStream16(tile.data + s * 512);
    const uint32_t pairs[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      Cut<2>(F16ToF32(static_cast<uint16_t>(pairs[r])),
             F16ToF32(static_cast<uint16_t>(pairs[r] >> 16)), &a[0][r], 4);
    }
  }
};

// A tile of codes and the scales of rows g and g + 8, as bf16 in both halves.
template <int kLoads>
struct CodeTile {
  uint4 codes[kLoads];
  uint32_t scales[2];
};

template <int kLoads>
__device__ __forceinline__ CodeTile<kLoads> LoadCodes(const unsigned char* data, int lane) {
  CodeTile<kLoads> tile;
#pragma unroll
  for (int i = 0; i < kLoads; ++i) tile.codes[i] = LoadStream16(data + i * 512 + lane * 16);
  const auto* scales = reinterpret_cast<const uint16_t*>(data + kLoads * 512);
  const uint32_t low = scales[lane / 4];
  const uint32_t high = scales[lane / 4 + 8];
  tile.scales[0] = low | low << 16;
  tile.scales[1] = high | high << 16;
  return tile;
}

__device__ __forceinline__ uint32_t Word(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// s8 codes are exact in bf16. A code + 128 in the low byte of 2^23 is the float 2^23 + 128 + code.
template <int kPieces>
struct Int8Weights {
  static constexpr Storage kStorage = Storage::kInt8;
  static constexpr int kWeightPieces = 1;
  static constexpr int kActivationPieces = kPieces;
  static constexpr bool kScaled = true;
  using Tile = CodeTile<4>;
  __device__ static __forceinline__ Tile Load(const unsigned char* data, int lane) {
    return LoadCodes<4>(data, lane);
  }
  __device__ static __forceinline__ void Fragments(const Tile& tile, int s,
                                                   uint32_t (&a)[kWeightPieces][4]) {
#pragma unroll
    for (int word = 0; word < 2; ++word) {
      const uint32_t bytes = Word(tile.codes[s / 2], s % 2 * 2 + word) ^ 0x80808080u;
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        const uint32_t first = pair * 2;
        const float low = __uint_as_float(PickBytes(bytes, 0x4B000000u, 0x7540 | first));
        const float high = __uint_as_float(PickBytes(bytes, 0x4B000000u, 0x7540 | (first + 1)));
        a[0][word * 2 + pair] = PickBytes(__float_as_uint(low - 8388736.0f),
                                          __float_as_uint(high - 8388736.0f), kUpperHalves);
      }
    }
  }
};

// A nibble q in the last bits of bf16 128 is the value 128 + q: two weights by one lop3. Taking off
// 128 + 8 is exact in bf16, and costs half an instruction a weight; taking it off the group's sum
// instead would cost digits, and a sum of the activations.
__device__ __forceinline__ uint32_t Int4Pair(uint32_t word, int r) {
  const uint32_t raw = (word >> (4 * (r % 2 * 2 + r / 2)) & 0x000F000Fu) | 0x43004300u;
  constexpr uint32_t kOnes = 0x3F803F80u;
  constexpr uint32_t kMinus136 = 0xC308C308u;
  return FmaBf16x2(raw, kOnes, kMinus136);
}

// kPieces 1: codes as weights, scales on the sums. kPieces 3: weights as the format defines them,
// bf16(code * scale).
template <int kPieces>
struct Int4Weights {
  static constexpr Storage kStorage = Storage::kInt4;
  static constexpr int kWeightPieces = 1;
  static constexpr int kActivationPieces = kPieces;
  static constexpr bool kScaled = kPieces == 1;
  using Tile = CodeTile<2>;
  __device__ static __forceinline__ Tile Load(const unsigned char* data, int lane) {
    return LoadCodes<2>(data, lane);
  }
  __device__ static __forceinline__ void Fragments(const Tile& tile, int s,
                                                   uint32_t (&a)[kWeightPieces][4]) {
    constexpr uint32_t kMinusZeros = 0x80008000u;
    const uint32_t word = Word(tile.codes[s / 4], s % 4);
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      a[0][r] = Int4Pair(word, r);
      if (!kScaled) a[0][r] = FmaBf16x2(a[0][r], tile.scales[r % 2], kMinusZeros);
    }
  }
};

__device__ __forceinline__ float ScaleOf(const CodeTile<2>& tile, int i) {
  return __uint_as_float(tile.scales[i] & 0xFFFF0000u);
}
__device__ __forceinline__ float ScaleOf(const CodeTile<4>& tile, int i) {
  return __uint_as_float(tile.scales[i] & 0xFFFF0000u);
}

// ---- Activations: the B fragment of one step ---------------------------------------------------

// Four consecutive values of a token from column k on; zeros behind its end, and for no token.
__device__ __forceinline__ float4 LoadActivations(const float* row, int k, int columns,
                                                  bool vector_loads) {
  float4 x = make_float4(0, 0, 0, 0);
  if (row == nullptr || k >= columns) return x;
  if (vector_loads) return *reinterpret_cast<const float4*>(row + k);
  x.x = row[k];
  if (k + 1 < columns) x.y = row[k + 1];
  if (k + 2 < columns) x.z = row[k + 2];
  if (k + 3 < columns) x.w = row[k + 3];
  return x;
}

template <int kPieces>
__device__ __forceinline__ void ActivationFragments(const float4& x, uint32_t (&b)[kPieces][2]) {
  if (kPieces == 1) {
    b[0][0] = PackBf16(x.x, x.y);
    b[0][1] = PackBf16(x.z, x.w);
  } else {
    Cut<kPieces>(x.x, x.y, &b[0][0], 2);
    Cut<kPieces>(x.z, x.w, &b[0][1], 2);
  }
}

// ---- Sums to outputs ---------------------------------------------------------------------------

__device__ __forceinline__ float Gate(GateFunction function, float x) {
  switch (function) {
    case GateFunction::kSilu:
      return x / (1.0f + expf(-x));
    case GateFunction::kGeluTanh:
      return 0.5f * x * (1.0f + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
    case GateFunction::kGelu:
      break;
  }
  return 0.5f * x * (1.0f + erff(x * 0.7071067811865476f));
}

// One output of a token: `sum`, in a gated product that of the gate, with `up` beside it.
template <bool kGated>
__device__ __forceinline__ void WriteOutput(const LinearKernelParams& p, int token, int output,
                                            float sum, float up) {
  const int64_t at = static_cast<int64_t>(token) * p.outputs + output;
  float value = sum;
  if (p.bias != nullptr) value += p.bias[output];
  if constexpr (kGated) {
    if (p.up_bias != nullptr) up += p.up_bias[output];
    value = Gate(p.gate, value) * up;
  } else {
    if (p.residual != nullptr) value += p.residual[at];
  }
  p.out[at] = value;
}

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_OPERANDS_CUH_
