// Linear layers with f32 activations, for every weight format. Included by a kernel_set only.
//
//                    64 weight rows (a panel)
//                 v0     v1     v2     v3          vectors of kLanes rows
//   token 0     [sum]  [sum]  [sum]  [sum]
//   token 1     [sum]  [sum]  [sum]  [sum]         one BlockTile: T tokens x V vectors, all sums in
//     ...                                          registers over the 64 columns of a block
//   token 5     [sum]  [sum]  [sum]  [sum]
//
// A block of the weight is first written to scratch as f32 (16 KB, stays in cache) unless it is
// f32 already, then all tokens pass over it. So a weight in any format gives the bits that its
// dequantized values give in f32.
#ifndef LLMCORE_LIB_CPU_KERNELS_LINEAR_F32_H_
#define LLMCORE_LIB_CPU_KERNELS_LINEAR_F32_H_

#include "lib/cpu/kernels.h"
#include "lib/cpu/kernels/simd.h"

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

// Vectors of rows that a tile of T tokens holds: T * V sums, V weights and one activation fit in 32
// registers of 512 bits, or in 16 of the narrower sets.
template <int T>
constexpr int TileVectors() {
  if (kLanes == 16) return 4;
  return T == 1 ? 8 : T == 2 ? 4 : 2;
}

// sums[t][v] += the block's sum; weights [n][64], in [T] rows of stride in_stride.
template <int T, int V>
LLMCORE_INLINE void BlockTile(const float* weights, const float* in, int64_t in_stride, int64_t n,
                              float* sums) {
  F32 sum[T][V];
  LLMCORE_UNROLL
  for (int t = 0; t < T; ++t) {
    LLMCORE_UNROLL
    for (int v = 0; v < V; ++v) sum[t][v] = F32{};
  }
  for (int64_t k = 0; k < n; ++k) {
    F32 w[V];
    LLMCORE_UNROLL
    for (int v = 0; v < V; ++v) w[v] = Load(weights + k * kPanelRows + v * kLanes);
    LLMCORE_UNROLL
    for (int t = 0; t < T; ++t) {
      const F32 x = Set(in[t * in_stride + k]);
      LLMCORE_UNROLL
      for (int v = 0; v < V; ++v) sum[t][v] = Fma(x, w[v], sum[t][v]);
    }
  }
  LLMCORE_UNROLL
  for (int t = 0; t < T; ++t) {
    LLMCORE_UNROLL
    for (int v = 0; v < V; ++v) {
      float* out = sums + t * kPanelRows + v * kLanes;
      Store(out, Load(out) + sum[t][v]);
    }
  }
}

template <int T>
void BlockTokens(const float* weights, const float* in, int64_t in_stride, int64_t n, float* sums) {
  constexpr int kVectors = TileVectors<T>();
  for (int v = 0; v < kPanelVectors; v += kVectors) {
    BlockTile<T, kVectors>(weights + v * kLanes, in, in_stride, n, sums + v * kLanes);
  }
}

// All tokens over one block of the weight.
void BlockRows(const float* weights, const float* in, int64_t in_stride, int64_t n, int64_t rows,
               float* sums) {
  for (int64_t row = 0; row < rows; row += kTokenTile) {
    const float* x = in + row * in_stride;
    float* out = sums + row * kPanelRows;
    WithCount(rows - row,
              [&](auto tokens) { BlockTokens<tokens.value>(weights, x, in_stride, n, out); });
  }
}

// Each format: the columns [column, column + n) of a panel as f32 [n][64], in scratch or in place.
// column is a multiple of kF32Block.
struct F32Panel {
  static LLMCORE_INLINE const float* Block(const unsigned char* panel, int64_t column, int64_t,
                                           float*) {
    return reinterpret_cast<const float*>(panel) + column * kPanelRows;
  }
};

struct F16Panel {
  static LLMCORE_INLINE const float* Block(const unsigned char* panel, int64_t column, int64_t n,
                                           float* scratch) {
    const auto* values = reinterpret_cast<const uint16_t*>(panel) + column * kPanelRows;
    for (int64_t i = 0; i < n * kPanelRows; i += kLanes) Store(scratch + i, LoadF16(values + i));
    return scratch;
  }
};

struct Bf16Panel {
  static LLMCORE_INLINE const float* Block(const unsigned char* panel, int64_t column, int64_t n,
                                           float* scratch) {
    // Pairs of columns: the even one in the low half of each 32 bits. The last pair of an odd
    // count writes one column more than n, which scratch has room for.
    const auto* pairs = reinterpret_cast<const uint32_t*>(panel) + column / 2 * kPanelRows;
    for (int64_t k = 0; k < n; k += 2) {
      LLMCORE_UNROLL
      for (int v = 0; v < kPanelVectors; ++v) {
        const U32 pair = LoadAs<U32>(pairs + k / 2 * kPanelRows + v * kLanes);
        float* out = scratch + k * kPanelRows + v * kLanes;
        Store(out, (F32)(pair << 16));
        Store(out + kPanelRows, (F32)(pair & 0xFFFF0000u));
      }
    }
    return scratch;
  }
};

LLMCORE_INLINE F32 WeightScale(const unsigned char* block, int vector) {
  return LoadBf16(reinterpret_cast<const uint16_t*>(block) + vector * kLanes);
}

struct Int8Panel {
  static LLMCORE_INLINE const float* Block(const unsigned char* panel, int64_t column, int64_t n,
                                           float* scratch) {
    const unsigned char* block = panel + column / kBlock * kInt8BlockBytes;
    const int64_t first = column % kBlock / 4 * kPanelRows;
    for (int v = 0; v < kPanelVectors; ++v) {
      const F32 scale = WeightScale(block, v);
      const auto* quads =
          reinterpret_cast<const uint32_t*>(block + kScaleBytes) + first + v * kLanes;
      for (int64_t k = 0; k < n; k += 4) {
        const U32 quad = LoadAs<U32>(quads + k / 4 * kPanelRows);
        float* out = scratch + k * kPanelRows + v * kLanes;
        LLMCORE_UNROLL
        for (int j = 0; j < 4; ++j) {
          const I32 code = (I32)((quad >> (8 * j)) & 255u) - 128;
          Store(out + j * kPanelRows, ToF32(code) * scale);
        }
      }
    }
    return scratch;
  }
};

struct Int4Panel {
  static LLMCORE_INLINE const float* Block(const unsigned char* panel, int64_t column, int64_t n,
                                           float* scratch) {
    const unsigned char* block = panel + column / kBlock * kInt4BlockBytes;
    const int64_t first = column % kBlock / 8 * kPanelRows;
    for (int v = 0; v < kPanelVectors; ++v) {
      const F32 scale = WeightScale(block, v);
      const auto* octets =
          reinterpret_cast<const uint32_t*>(block + kScaleBytes) + first + v * kLanes;
      for (int64_t k = 0; k < n; k += 8) {
        const U32 octet = LoadAs<U32>(octets + k / 8 * kPanelRows);
        float* out = scratch + k * kPanelRows + v * kLanes;
        LLMCORE_UNROLL
        for (int j = 0; j < 8; ++j) {
          const int shift = j < 4 ? 8 * j : 8 * (j - 4) + 4;
          const I32 code = (I32)((octet >> shift) & 15u) - 8;
          Store(out + j * kPanelRows, RoundToBf16(ToF32(code) * scale));
        }
      }
    }
    return scratch;
  }
};

template <typename Panel>
void LinearF32(const LinearF32Args& a) {
  for (int64_t i = 0; i < a.rows * kPanelRows; i += kLanes) Store(a.out + i, F32{});
  for (int64_t column = 0; column < a.columns; column += kF32Block) {
    const int64_t n = a.columns - column < kF32Block ? a.columns - column : kF32Block;
    const float* weights = Panel::Block(a.panel, column, n, a.scratch);
    BlockRows(weights, a.in + column, a.in_stride, n, a.rows, a.out);
  }
}

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_LINEAR_F32_H_
