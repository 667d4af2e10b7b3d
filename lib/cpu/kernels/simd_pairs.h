// Vectors whose lanes are pairs of 16-bit numbers, the lower one first, and conversions to 16 bits.
// Included by a kernel_set only.
#ifndef LLMCORE_LIB_CPU_KERNELS_SIMD_PAIRS_H_
#define LLMCORE_LIB_CPU_KERNELS_SIMD_PAIRS_H_

#include "lib/cpu/kernels/simd.h"

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

template <typename T, typename V>
LLMCORE_INLINE void StoreAs(T* p, V v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// Shifts zeros in.
template <int kBits>
LLMCORE_INLINE I32 ShiftRight(I32 v) {
  return (I32)((U32)v >> kBits);
}

// |v| < 2^22, to the nearest integer, ties to even.
LLMCORE_INLINE I32 RoundToI32(F32 v) {
  return (I32)(v + Set(12582912.0f)) - SetI32(0x4B400000);
}

// The low halves of the lanes.
LLMCORE_INLINE void StoreI16(uint16_t* p, I32 v) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16((__m512i)v));
#else
  int32_t lanes[kLanes];
  StoreAs(lanes, v);
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<uint16_t>(lanes[i]);
#endif
}

// sum + low(a) * low(b) + high(a) * high(b) of signed numbers; the sum wraps around.
LLMCORE_INLINE I32 DotS16(I32 sum, I32 a, I32 b) {
#if defined(__AVX512VNNI__)
  return (I32)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif defined(__AVX512F__)
  return (I32)((U32)sum + (U32)_mm512_madd_epi16((__m512i)a, (__m512i)b));
#elif defined(__AVXVNNI__)
  return (I32)_mm256_dpwssd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)b);
#elif defined(__AVX2__)
  return (I32)((U32)sum + (U32)_mm256_madd_epi16((__m256i)a, (__m256i)b));
#elif defined(__x86_64__)
  return (I32)((U32)sum + (U32)_mm_madd_epi16((__m128i)a, (__m128i)b));
#else
  const I32 low = ((I32)((U32)a << 16) >> 16) * ((I32)((U32)b << 16) >> 16);
  return (I32)((U32)sum + (U32)low + (U32)((a >> 16) * (b >> 16)));
#endif
}

LLMCORE_INLINE int32_t Sum(I32 v) {
  int32_t sum = 0;
  LLMCORE_UNROLL
  for (int i = 0; i < kLanes; ++i) sum += v[i];
  return sum;
}

// Bits of the value rounded to bf16 (to nearest, ties to even); NaN stays NaN.
LLMCORE_INLINE U32 Bf16Bits(F32 v) {
  const I32 rounded = (I32)((U32)RoundToBf16(v) >> 16);
  const I32 quiet = (I32)((U32)v >> 16) | SetI32(0x40);
  return (U32)Select((I32)(v != v), (F32)quiet, (F32)rounded);
}

// Likewise f16, subnormals included; infinity beyond its range.
LLMCORE_INLINE U32 F16Bits(F32 v) {
  const U32 sign = (U32)v & SetU32(0x80000000u);
  const U32 magnitude = (U32)v ^ sign;
  // Rebase the exponent by 112; a carry out of the mantissa is right as it is.
  const U32 normal = (magnitude + SetU32(0xC8000FFFu) + ((magnitude >> 13) & SetU32(1u))) >> 13;
  // Below 2^-14: adding 0.5, whose last bit is worth 2^-24, rounds to a multiple of that.
  const U32 small = (U32)((F32)magnitude + Set(0.5f)) - SetU32(0x3F000000u);
  const auto choose = [](I32 mask, U32 yes, U32 no) {
    return (U32)Select(mask, (F32)yes, (F32)no);
  };
  U32 bits = choose((I32)(magnitude < SetU32(0x38800000u)), small, normal);
  bits = choose((I32)(magnitude >= SetU32(0x477FF000u)), SetU32(0x7C00u), bits);
  bits = choose((I32)(magnitude > SetU32(0x7F800000u)), SetU32(0x7E00u), bits);
  return bits | (sign >> 16);
}

// As bf16. Where vdpbf16ps takes it from there, subnormal values may become zero.
LLMCORE_INLINE void StoreBf16(uint16_t* p, F32 v) {
#if defined(__AVX512BF16__)
  StoreAs(p, _mm512_cvtneps_pbh((__m512)v));
#else
  StoreI16(p, (I32)Bf16Bits(v));
#endif
}

// Asks for the cache line that is wanted before long.
LLMCORE_INLINE void Prefetch(const unsigned char* p) {
  __builtin_prefetch(p, 0, 2);
}

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_SIMD_PAIRS_H_
