// What each format of the KV cache means to the loops of attention.h. Included by a kernel_set
// only.
//
// A lane of the cache (kv_layout.h) holds kUnit elements, and the loops take kParts vectors out of
// a vector of lanes, each to be multiplied with a word of the other operand (queries for keys,
// weights for values): a float with one element a lane, or a pair of 16-bit numbers with two.
#ifndef LLMCORE_LIB_CPU_KERNELS_KV_FORMATS_H_
#define LLMCORE_LIB_CPU_KERNELS_KV_FORMATS_H_

#include "lib/cpu/kernels.h"
#include "lib/cpu/kernels/simd_pairs.h"

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

struct F32Kv {
  using Sum = F32;
  static constexpr int kUnit = 1;
  static constexpr int kLaneBytes = 4;
  static constexpr int kParts = 1;
  static constexpr bool kPairs = false;
  static constexpr int kCodes = 0;      // the largest code of a quantized format
  static constexpr int kExpDegree = 5;  // of Exp2, for the weights

  static LLMCORE_INLINE I32 Load(const unsigned char* p) { return LoadAs<I32>(p); }
  template <int kPart>
  static LLMCORE_INLINE I32 Part(I32 lanes) {
    return lanes;
  }
  static LLMCORE_INLINE F32 Dot(F32 sum, I32 word, I32 part) {
    return Fma((F32)word, (F32)part, sum);
  }
};

struct F16Kv : F32Kv {
  static constexpr int kLaneBytes = 2;
  static LLMCORE_INLINE I32 Load(const unsigned char* p) {
    return (I32)LoadF16(reinterpret_cast<const uint16_t*>(p));
  }
};

// With vdpbf16ps queries and weights are rounded to bf16 too; else they are f32.
struct Bf16Kv : F32Kv {
  static constexpr int kUnit = 2;
#if defined(__AVX512BF16__)
  static constexpr bool kPairs = true;
  static constexpr int kExpDegree = 4;  // an error of 3e-6 is nothing to a weight in bf16

  static LLMCORE_INLINE F32 Dot(F32 sum, I32 word, I32 part) {
    return (F32)_mm512_dpbf16_ps((__m512)sum, (__m512bh)word, (__m512bh)part);
  }
#else
  static constexpr int kParts = 2;

  template <int kPart>
  static LLMCORE_INLINE I32 Part(I32 lanes) {
    return kPart == 0 ? lanes << 16 : lanes & SetI32(-0x10000);
  }
#endif
};

// Codes times queries or weights in 16 bits, summed in 32: exact, so alike in every kernel set.
struct IntegerKv {
  using Sum = I32;
  static constexpr int kLaneBytes = 4;
  static constexpr bool kPairs = true;
  static constexpr int kExpDegree = 4;

  static LLMCORE_INLINE I32 Load(const unsigned char* p) { return LoadAs<I32>(p); }
  static LLMCORE_INLINE I32 Dot(I32 sum, I32 word, I32 part) { return DotS16(sum, word, part); }
};

struct Int8Kv : IntegerKv {
  static constexpr int kUnit = 4;
  static constexpr int kParts = 2;
  static constexpr int kCodes = 255;

  template <int kPart>
  static LLMCORE_INLINE I32 Part(I32 lanes) {
    return ShiftRight<8 * kPart>(lanes) & SetI32(0x00FF00FF);
  }
};

struct Int4Kv : IntegerKv {
  static constexpr int kUnit = 8;
  static constexpr int kParts = 4;
  static constexpr int kCodes = 15;

  template <int kPart>
  static LLMCORE_INLINE I32 Part(I32 lanes) {
    return ShiftRight<4 * kPart>(lanes) & SetI32(0x000F000F);
  }
};

template <typename Kv>
constexpr bool kQuantized = Kv::kCodes != 0;

// Words of `elements` numbers, rounded up to whole lanes.
template <typename Kv>
constexpr int64_t Words(int64_t elements) {
  return (elements + Kv::kUnit - 1) / Kv::kUnit * Kv::kParts;
}

// f(Count<0>) ... f(Count<kParts - 1>).
template <typename Kv, typename F>
LLMCORE_INLINE void ForParts(F f) {
  f(Count<0>{});
  if constexpr (Kv::kParts > 1) f(Count<1>{});
  if constexpr (Kv::kParts > 2) {
    f(Count<2>{});
    f(Count<3>{});
  }
}

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_KV_FORMATS_H_
