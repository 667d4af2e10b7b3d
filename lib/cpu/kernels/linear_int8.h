// Linear layers with activations quantized to int8, for int8 and int4 weights. Included by a
// kernel_set only.
//
// For T tokens and V vectors of kLanes rows, over one block of 128 columns:
//
//   dot[t][v] = -zero_point * (sum of the token's codes)       so that the zero point costs
//   nothing,
//                                                              be it the format's or the block's
//   16 octets:  lo[v], hi[v] = 4 unsigned weights a lane, columns 0..3 and 4..7 of the octet
//               dot[t][v] += lo[v] . (4 codes of token t, in every lane)   u8 x s8, exact in i32
//               dot[t][v] += hi[v] . (the next 4 codes)
//   out[t][v] = fma(f32(dot), weight scale[v] * activation scale[t], out[t][v])
//
// Integer sums are exact in any order, and the f32 sums run over blocks in order, so bits depend
// neither on the tile nor on the instruction set (but for the rounding of fma without FMA).
#ifndef LLMCORE_LIB_CPU_KERNELS_LINEAR_INT8_H_
#define LLMCORE_LIB_CPU_KERNELS_LINEAR_INT8_H_

#include "lib/cpu/kernels.h"
#include "lib/cpu/kernels/linear_f32.h"
#include "lib/cpu/kernels/simd.h"

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

// sum + u0 s0 + u1 s1 + u2 s2 + u3 s3 in each lane: unsigned bytes of `u`, signed bytes of `s`.
// kSmall: every u is at most 15, so that pairs fit 16 bits (2 * 15 * 128 < 32768).
template <bool kSmall>
LLMCORE_INLINE I32 Dot4(I32 sum, U32 u, U32 s) {
#if defined(__AVX512VNNI__)
  return (I32)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)u, (__m512i)s);
#elif defined(__AVXVNNI__)
  return (I32)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)u, (__m256i)s);
#elif defined(__AVX512BW__)
  if constexpr (kSmall) {
    const __m512i pairs = _mm512_maddubs_epi16((__m512i)u, (__m512i)s);
    return sum + (I32)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
  } else {  // even and odd bytes widened to 16 bits: maddubs could saturate
    const __m512i even = _mm512_srai_epi16(_mm512_slli_epi16((__m512i)s, 8), 8);
    const __m512i odd = _mm512_srai_epi16((__m512i)s, 8);
    const I32 a = (I32)_mm512_madd_epi16((__m512i)(u & 0x00FF00FFu), even);
    return sum + a + (I32)_mm512_madd_epi16((__m512i)((u >> 8) & 0x00FF00FFu), odd);
  }
#elif defined(__AVX2__)
  if constexpr (kSmall) {
    const __m256i pairs = _mm256_maddubs_epi16((__m256i)u, (__m256i)s);
    return sum + (I32)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  } else {
    const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16((__m256i)s, 8), 8);
    const __m256i odd = _mm256_srai_epi16((__m256i)s, 8);
    const I32 a = (I32)_mm256_madd_epi16((__m256i)(u & 0x00FF00FFu), even);
    return sum + a + (I32)_mm256_madd_epi16((__m256i)((u >> 8) & 0x00FF00FFu), odd);
  }
#elif defined(__SSE2__)
  const __m128i even = _mm_srai_epi16(_mm_slli_epi16((__m128i)s, 8), 8);
  const __m128i odd = _mm_srai_epi16((__m128i)s, 8);
  const I32 a = (I32)_mm_madd_epi16((__m128i)(u & 0x00FF00FFu), even);
  return sum + a + (I32)_mm_madd_epi16((__m128i)((u >> 8) & 0x00FF00FFu), odd);
#else
  LLMCORE_UNROLL
  for (int j = 0; j < 4; ++j) {
    const I32 code = (I32)(s << (24 - 8 * j)) >> 24;
    sum += (I32)((u >> (8 * j)) & 255u) * code;
  }
  return sum;
#endif
}

// How the codes of a block are stored: the octets of layout.h, or nibbles already spread to bytes.
// kZeroPoint is the format's, unless WithZeros says that each block has its own.
struct Int4Codes {
  static constexpr int kZeroPoint = 8;
  static constexpr bool kHasZeros = false;
  static constexpr bool kSmall = true;
  static constexpr int kOctetBytes = 4 * kPanelRows;
  static LLMCORE_INLINE void LoadOctet(const unsigned char* codes, int octet, int vector, U32* lo,
                                       U32* hi) {
    const U32 raw = LoadAs<U32>(codes + octet * (4 * kPanelRows) + vector * (4 * kLanes));
    *lo = raw & 0x0F0F0F0Fu;
    *hi = (raw >> 4) & 0x0F0F0F0Fu;
  }
};

template <int ZeroPoint>
struct ByteCodes {
  static constexpr int kZeroPoint = ZeroPoint;
  static constexpr bool kHasZeros = false;
  static constexpr bool kSmall = ZeroPoint == 8;
  static constexpr int kOctetBytes = 8 * kPanelRows;
  static LLMCORE_INLINE void LoadOctet(const unsigned char* codes, int octet, int vector, U32* lo,
                                       U32* hi) {
    const unsigned char* quad = codes + octet * (8 * kPanelRows) + vector * (4 * kLanes);
    *lo = LoadAs<U32>(quad);
    *hi = LoadAs<U32>(quad + 4 * kPanelRows);
  }
};

template <typename Codes>
struct WithZeros : Codes {
  static constexpr bool kHasZeros = true;
};

// A block of int4 codes as bytes: 8 KB, which then stay in first-level cache for all tiles.
LLMCORE_INLINE void SpreadNibbles(const unsigned char* codes, unsigned char* bytes) {
  for (int octet = 0; octet < 16; ++octet) {
    LLMCORE_UNROLL
    for (int v = 0; v < kPanelVectors; ++v) {
      U32 lo;
      U32 hi;
      Int4Codes::LoadOctet(codes, octet, v, &lo, &hi);
      unsigned char* out = bytes + octet * (8 * kPanelRows) + v * (4 * kLanes);
      __builtin_memcpy(out, &lo, sizeof lo);
      __builtin_memcpy(out + 4 * kPanelRows, &hi, sizeof hi);
    }
  }
}

// N tokens and V vectors from `vector` on, over one block whose scales are at `scales` and whose
// codes are at `codes`.
template <typename Codes, int N, int V, int kAhead>
LLMCORE_INLINE void DotTile(const unsigned char* scales, const unsigned char* codes,
                            const unsigned char* activations, int vector, float* out) {
  I32 dot[N][V];
  LLMCORE_UNROLL
  for (int t = 0; t < N; ++t) {
    const auto sum = LoadAs<int32_t>(activations + t * kActivationBlockBytes + kBlock + 4);
    LLMCORE_UNROLL
    for (int v = 0; v < V; ++v) {
      if constexpr (Codes::kHasZeros) {
        dot[t][v] = WeightZeros(scales, vector + v) * SetI32(-sum);
      } else {
        dot[t][v] = SetI32(-Codes::kZeroPoint * sum);
      }
    }
  }
  for (int octet = 0; octet < 16; ++octet) {
    if constexpr (kAhead != 0) {
      constexpr int kStep = Codes::kOctetBytes * V / kPanelVectors;
      LLMCORE_UNROLL
      for (int line = 0; line < kStep; line += 64) {
        __builtin_prefetch(codes + octet * Codes::kOctetBytes + vector / V * kStep + line + kAhead);
      }
    }
    U32 lo[V];
    U32 hi[V];
    LLMCORE_UNROLL
    for (int v = 0; v < V; ++v) Codes::LoadOctet(codes, octet, vector + v, &lo[v], &hi[v]);
    const unsigned char* quads = activations + octet * 8;
    LLMCORE_UNROLL
    for (int t = 0; t < N; ++t) {
      const U32 s = SetU32(LoadAs<uint32_t>(quads + t * kActivationBlockBytes));
      LLMCORE_UNROLL
      for (int v = 0; v < V; ++v) dot[t][v] = Dot4<Codes::kSmall>(dot[t][v], lo[v], s);
    }
    LLMCORE_UNROLL
    for (int t = 0; t < N; ++t) {
      const U32 s = SetU32(LoadAs<uint32_t>(quads + t * kActivationBlockBytes + 4));
      LLMCORE_UNROLL
      for (int v = 0; v < V; ++v) dot[t][v] = Dot4<Codes::kSmall>(dot[t][v], hi[v], s);
    }
  }
  LLMCORE_UNROLL
  for (int v = 0; v < V; ++v) {
    const F32 weight_scale =
        Codes::kHasZeros
            ? LoadF16(reinterpret_cast<const uint16_t*>(scales) + (vector + v) * kLanes)
            : WeightScale(scales, vector + v);
    LLMCORE_UNROLL
    for (int t = 0; t < N; ++t) {
      const auto scale = LoadAs<float>(activations + t * kActivationBlockBytes + kBlock);
      float* sum = out + t * kPanelRows + v * kLanes;
      Store(sum, Fma(ToF32(dot[t][v]), weight_scale * Set(scale), Load(sum)));
    }
  }
}

// What one pass holds in registers: 6 tokens x 4 vectors of 32, or 3 x 2 of 16.
constexpr int kPassTokens = kLanes == 16 ? 6 : 3;

// All 64 rows of one block times T tokens.
template <typename Codes, int T, int kAhead = 0>
LLMCORE_INLINE void DotBlock(const unsigned char* scales, const unsigned char* codes,
                             const unsigned char* activations, float* out) {
  constexpr int kTokens = T < kPassTokens ? T : kPassTokens;
  constexpr int kVectors = kLanes == 16 || kTokens == 1 ? 4 : 2;
  for (int v = 0; v < kPanelVectors; v += kVectors) {
    DotTile<Codes, kTokens, kVectors, kAhead>(scales, codes, activations, v, out + v * kLanes);
  }
  if constexpr (kTokens < T) {
    DotBlock<Codes, T - kTokens, kAhead>(
        scales, codes, activations + kTokens * kActivationBlockBytes, out + kTokens * kPanelRows);
  }
}

// Bytes that a pass over a panel asks for ahead of its loads. With few tokens the panel comes from
// memory, and the hardware prefetcher stops at each 4 KB page: 60 -> 48 ms of CPU time for all
// linears of Llama-3.2-1B on one Sapphire Rapids core, the same from 4 KB to 8 KB.
constexpr int kPrefetch = 4096;

// Formats: codes as a panel has them, and for many rows spread to bytes, if they are nibbles.
struct Int8Weight {
  using Packed = ByteCodes<128>;
  using Spread = Packed;
  static constexpr bool kNibbles = false;
  static constexpr int64_t kBlockBytes = kInt8BlockBytes;
  static constexpr int64_t kCodes = kScaleBytes;
};
struct Int4Weight {
  using Packed = Int4Codes;
  using Spread = ByteCodes<8>;
  static constexpr bool kNibbles = true;
  static constexpr int64_t kBlockBytes = kInt4BlockBytes;
  static constexpr int64_t kCodes = kScaleBytes;
};
struct Int4ZerosWeight {
  using Packed = WithZeros<Int4Codes>;
  using Spread = WithZeros<ByteCodes<8>>;
  static constexpr bool kNibbles = true;
  static constexpr int64_t kBlockBytes = kInt4ZerosBlockBytes;
  static constexpr int64_t kCodes = kScaleBytes + kPanelRows;
};

// A tile of T tokens over the whole panel.
template <typename Weight, int T>
void DotPanel(const LinearInt8Args& a) {
  const unsigned char* block = a.panel;
  const unsigned char* activations = a.activations;
  for (int64_t b = 0; b < a.blocks; ++b) {
    DotBlock<typename Weight::Packed, T, kPrefetch>(block, block + Weight::kCodes, activations,
                                                    a.out);
    block += Weight::kBlockBytes;
    activations += a.block_stride;
  }
}

template <typename Codes, int T>
void DotBlockTile(const unsigned char* scales, const unsigned char* codes,
                  const unsigned char* activations, float* out) {
  DotBlock<Codes, T>(scales, codes, activations, out);
}

// All rows over one block, in tiles of as equal a size as can be: a tile of one or two tokens has
// too few sums to keep the multipliers busy. Each asks for its share of the next block of the
// panel, which the hardware would not fetch in time: it is touched once in a few microseconds.
template <typename Codes>
LLMCORE_INLINE void DotRows(const LinearInt8Args& a, const unsigned char* scales,
                            const unsigned char* codes, const unsigned char* activations,
                            const unsigned char* next, int64_t next_bytes) {
  float* out = a.out;
  const int64_t tiles = (a.rows + kTokenTile - 1) / kTokenTile;
  const int64_t least = a.rows / tiles;
  const int64_t larger = a.rows % tiles;  // tiles of one more
  const int64_t share = (next_bytes / tiles + 63) / 64 * 64;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    for (int64_t i = 0; i < share; i += 64) __builtin_prefetch(next + i);
    next += share;
    const int64_t tokens = least + (tile < larger ? 1 : 0);
    WithCount(tokens, [&](auto count) {
      DotBlockTile<Codes, count.value>(scales, codes, activations, out);
    });
    activations += tokens * kActivationBlockBytes;
    out += tokens * kPanelRows;
  }
}

// From here on spreading the nibbles once is cheaper than in every tile, where logic takes the
// place of dot products (Sapphire Rapids). Where it runs beside them it is free: without spreading,
// 32 rows x 2048 x 8192 took 7% and 512 rows 3% less on one Zen 4 core.
constexpr int64_t kSpreadRows = 3 * kTokenTile;

template <typename Weight>
void LinearInt8(const LinearInt8Args& a) {
  constexpr int64_t kBytes = Weight::kBlockBytes;
  for (int64_t i = 0; i < a.rows * kPanelRows; i += kLanes) Store(a.out + i, F32{});
  if (a.rows <= kTokenTile) {
    WithCount(a.rows, [&](auto tokens) { DotPanel<Weight, tokens.value>(a); });
    return;
  }
  const unsigned char* block = a.panel;
  const unsigned char* activations = a.activations;
  for (int64_t b = 0; b < a.blocks; ++b) {
    const unsigned char* codes = block + Weight::kCodes;
    if (Weight::kNibbles && a.scratch != nullptr && a.rows >= kSpreadRows) {
      SpreadNibbles(codes, a.scratch);
      DotRows<typename Weight::Spread>(a, block, a.scratch, activations, block + kBytes, kBytes);
    } else {
      DotRows<typename Weight::Packed>(a, block, codes, activations, block + kBytes, kBytes);
    }
    block += kBytes;
    activations += a.block_stride;
  }
}

// ---- Quantization of activations -------------------------------------------------------------

// One token's block of n (1 to 128) values (layout.h). NaN becomes code -127 with a NaN scale,
// infinity a NaN or infinite scale, so that neither passes unseen.
LLMCORE_INLINE void QuantizeBlock(const float* in, int64_t n, unsigned char* out) {
  constexpr int kVectors = static_cast<int>(kBlock) / kLanes;
  float padded[kBlock];
  if (n < kBlock) {
    for (int64_t k = 0; k < kBlock; ++k) padded[k] = k < n ? in[k] : 0.0f;
    in = padded;
  }
  F32 largest = {};
  F32 poison = {};  // NaN where a value is NaN or infinite
  for (int v = 0; v < kVectors; ++v) {
    const F32 x = Load(in + v * kLanes);
    largest = Max(Abs(x), largest);
    poison += x * F32{};
  }
  float absmax = Largest(largest);
  absmax += Sum(poison);
  if (absmax < 0x1p-100f) {
    __builtin_memset(out, 0, kActivationBlockBytes);
    return;
  }
  const F32 factor = Set(127.0f / absmax);
  I32 total = {};
  for (int v = 0; v < kVectors; ++v) {
    const F32 x = Load(in + v * kLanes) * factor;
    const F32 limited = Min(Set(127.0f), Max(x, Set(-127.0f)));
    const I32 code = (I32)(limited + Set(12582912.0f)) - 0x4B400000;
    total += code;
    StoreLowBytes(out + v * kLanes, code);
  }
  const float scale = absmax / 127.0f;
  const auto sum = static_cast<int32_t>(Sum(ToF32(total)));  // at most 127 * 128: exact in f32
  __builtin_memcpy(out + kBlock, &scale, 4);
  __builtin_memcpy(out + kBlock + 4, &sum, 4);
}

void QuantizeRow(const QuantizeRowArgs& a) {
  unsigned char* out = a.out;
  for (int64_t column = 0; column < a.columns; column += kBlock) {
    const int64_t n = a.columns - column < kBlock ? a.columns - column : kBlock;
    QuantizeBlock(a.in + column, n, out);
    out += a.block_stride;
  }
}

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_LINEAR_INT8_H_
