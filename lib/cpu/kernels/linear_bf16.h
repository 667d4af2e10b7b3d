// Linear layers of bf16 weights with activations rounded to bf16. Included by a kernel_set only.
//
// Where the set has vdpbf16ps, for T tokens and 4 vectors v of 16 rows, over a block of 128
// columns:
//
//   64 pairs:  w[v] = 16 rows x 2 columns of the weight
//              dot[t][v] += w[v] . (2 columns of token t, in every lane)
//   out[t][v] += dot[t][v]
//
// Products of two bf16 values are exact in f32, where they are added.
//
// The other sets only round: linear_f32.h then multiplies the same values.
#ifndef LLMCORE_LIB_CPU_KERNELS_LINEAR_BF16_H_
#define LLMCORE_LIB_CPU_KERNELS_LINEAR_BF16_H_

#include "lib/cpu/kernels.h"
#include "lib/cpu/kernels/linear_f32.h"
#include "lib/cpu/kernels/simd.h"

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

#if defined(__AVX512BF16__)

constexpr int kPairBytes = 4 * kPanelRows;            // a pair of columns of a panel
constexpr int kPairs = static_cast<int>(kBlock) / 2;  // of a block
constexpr int64_t kPairBlockBytes = kPairs * kPairBytes;

// T tokens over `pairs` pairs of columns of a panel and of a block of activations. kAhead: bytes
// ahead of the loads to ask for.
template <int T, int kAhead>
LLMCORE_INLINE void PairTile(const unsigned char* weights, const unsigned char* activations,
                             int64_t pairs, float* out) {
  Sums<T, kPanelVectors> dot;
  const auto* x = reinterpret_cast<const uint32_t*>(activations);
  for (int64_t p = 0; p < pairs; ++p) {
    if constexpr (kAhead != 0) {
      LLMCORE_UNROLL
      for (int line = 0; line < kPairBytes; line += 64) {
        __builtin_prefetch(weights + line + kAhead);
      }
    }
    U32 w[kPanelVectors];
    LLMCORE_UNROLL
    for (int v = 0; v < kPanelVectors; ++v) w[v] = LoadAs<U32>(weights + v * (4 * kLanes));
    LLMCORE_UNROLL
    for (int t = 0; t < T; ++t) {
      const U32 pair = SetU32(x[t * kPairs + p]);
      LLMCORE_UNROLL
      for (int v = 0; v < kPanelVectors; ++v) {
        dot.at[t][v] = _mm512_dpbf16_ps(dot.at[t][v], (__m512bh)w[v], (__m512bh)pair);
      }
    }
    weights += kPairBytes;
  }
  dot.AddTo(out);
}

template <int T>
void PairBlockTile(const unsigned char* weights, const unsigned char* activations, int64_t pairs,
                   float* out) {
  PairTile<T, 0>(weights, activations, pairs, out);
}

LLMCORE_INLINE int64_t PairsFrom(int64_t column, int64_t columns) {
  return (columns - column < kBlock ? columns - column + 1 : kBlock) / 2;
}

// A tile of T tokens over the whole panel, which comes from memory.
template <int T>
void PairPanel(const LinearBf16Args& a) {
  const unsigned char* weights = a.panel;
  const unsigned char* activations = a.activations;
  for (int64_t column = 0; column < a.columns; column += kBlock) {
    PairTile<T, kStreamAhead>(weights, activations, PairsFrom(column, a.columns), a.out);
    weights += kPairBlockBytes;
    activations += a.block_stride;
  }
}

void LinearBf16(const LinearBf16Args& a) {
  for (int64_t i = 0; i < a.rows * kPanelRows; i += kLanes) Store(a.out + i, F32{});
  if (a.rows <= kTokenTile) {
    WithCount(a.rows, [&](auto tokens) { PairPanel<tokens.value>(a); });
    return;
  }
  const unsigned char* weights = a.panel;
  const unsigned char* block = a.activations;
  const int64_t tiles = (a.rows + kTokenTile - 1) / kTokenTile;
  const int64_t share = (kPairBlockBytes / tiles + 63) / 64 * 64;
  for (int64_t column = 0; column < a.columns; column += kBlock) {
    const int64_t pairs = PairsFrom(column, a.columns);
    const unsigned char* activations = block;
    float* out = a.out;
    // Each tile asks for its share of the next block of the panel, into the second level: the first
    // is full of this block and of what streams past it.
    const unsigned char* next = weights + kPairBlockBytes;
    for (int64_t row = 0; row < a.rows; row += kTokenTile) {
      for (int64_t i = 0; i < share; i += 64) __builtin_prefetch(next + i, 0, 2);
      next += share;
      WithCount(a.rows - row, [&](auto tokens) {
        PairBlockTile<tokens.value>(weights, activations, pairs, out);
      });
      activations += kTokenTile * kBf16BlockBytes;
      out += kTokenTile * kPanelRows;
    }
    weights += kPairBlockBytes;
    block += a.block_stride;
  }
}

// NaN stays NaN, subnormals become zero.
void RoundRow(const RoundRowArgs& a) {
  unsigned char* out = a.out;
  for (int64_t column = 0; column < a.columns; column += kBlock) {
    const int64_t n = a.columns - column < kBlock ? a.columns - column : kBlock;
    for (int64_t k = 0; k < n; k += kLanes) {
      const float* in = a.in + column + k;
      const F32 x = n - k < kLanes ? LoadFirst(in, n - k) : Load(in);
      const __m256bh halves = _mm512_cvtneps_pbh(x);
      __builtin_memcpy(out + k * 2, &halves, sizeof halves);
    }
    out += a.block_stride;
  }
}

constexpr auto kLinearBf16 = LinearBf16;

#else

// Rounded to bf16 with NaN kept: rounding its bits could turn it into something else.
LLMCORE_INLINE F32 RoundActivation(F32 v) {
  return Select((I32)(v == v), RoundToBf16(v), v);
}

void RoundRow(const RoundRowArgs& a) {
  float* out = reinterpret_cast<float*>(a.out);
  int64_t k = 0;
  for (; k + kLanes <= a.columns; k += kLanes) Store(out + k, RoundActivation(Load(a.in + k)));
  if (k < a.columns) {
    StoreFirst(out + k, RoundActivation(LoadFirst(a.in + k, a.columns - k)), a.columns - k);
  }
}

constexpr void (*kLinearBf16)(const LinearBf16Args&) = nullptr;

#endif

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_LINEAR_BF16_H_
