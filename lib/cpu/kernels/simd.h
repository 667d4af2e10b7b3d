// Vectors of the width that this object file is compiled for. Included by a kernel_set only.
//
// F32 holds kLanes floats and I32 kLanes ints; both are GNU vectors, so + - * & | ^ << >> and the
// comparisons work on them as they stand. What has no operator is a function here.
#ifndef LLMCORE_LIB_CPU_KERNELS_SIMD_H_
#define LLMCORE_LIB_CPU_KERNELS_SIMD_H_

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "lib/base/vector_width.h"
#include "lib/cpu/layout.h"

#if defined(__clang__)
#define LLMCORE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define LLMCORE_UNROLL _Pragma("GCC unroll 32")
#endif

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

constexpr int kLanes = core::kVectorFloats;
constexpr int kPanelVectors = static_cast<int>(kPanelRows) / kLanes;

using F32 = float __attribute__((vector_size(4 * kLanes)));
using I32 = int32_t __attribute__((vector_size(4 * kLanes)));
using U32 = uint32_t __attribute__((vector_size(4 * kLanes)));

template <typename V, typename T>
LLMCORE_INLINE V LoadAs(const T* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

LLMCORE_INLINE F32 Load(const float* p) {
  return LoadAs<F32>(p);
}
LLMCORE_INLINE void Store(float* p, F32 v) {
  __builtin_memcpy(p, &v, sizeof v);
}
LLMCORE_INLINE F32 Set(float x) {
  return x - F32{};
}
LLMCORE_INLINE I32 SetI32(int32_t x) {
  return x - I32{};
}
LLMCORE_INLINE U32 SetU32(uint32_t x) {
  return x - U32{};
}
LLMCORE_INLINE F32 ToF32(I32 v) {
  return __builtin_convertvector(v, F32);
}

// The lanes 0, 1, ..., kLanes - 1.
LLMCORE_INLINE I32 LaneNumbers() {
  I32 v;
  LLMCORE_UNROLL
  for (int i = 0; i < kLanes; ++i) v[i] = i;
  return v;
}

// mask is 0 or -1 in each lane, as comparisons give it.
LLMCORE_INLINE F32 Select(I32 mask, F32 yes, F32 no) {
  return (F32)((mask & (I32)yes) | (~mask & (I32)no));
}

// a * b + c; rounded once where the instruction set has FMA, else twice.
LLMCORE_INLINE F32 Fma(F32 a, F32 b, F32 c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

// The larger; b where one is NaN.
LLMCORE_INLINE F32 Max(F32 a, F32 b) {
#if defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#else
  return Select(a > b, a, b);
#endif
}
LLMCORE_INLINE F32 Min(F32 a, F32 b) {
#if defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#else
  return Select(a < b, a, b);
#endif
}
LLMCORE_INLINE F32 Abs(F32 v) {
  return (F32)((I32)v & SetI32(0x7FFFFFFF));
}

// The first n (0 to kLanes) values, zeros after them.
LLMCORE_INLINE F32 LoadFirst(const float* p, int64_t n) {
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1u), p);
#else
  F32 v = {};
  for (int i = 0; i < kLanes; ++i) {
    if (i < n) v[i] = p[i];
  }
  return v;
#endif
}
LLMCORE_INLINE void StoreFirst(float* p, F32 v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1u), v);
#else
  for (int i = 0; i < kLanes; ++i) {
    if (i < n) p[i] = v[i];
  }
#endif
}

// The lanes combined in halves: (0 with 8, 1 with 9, ...), then (0 with 4, ...), ...
#if defined(__SSE2__)
template <typename Op>
LLMCORE_INLINE float Reduce(F32 v, Op op) {
#if defined(__AVX512F__)
  const __m256 eight = op(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
#elif defined(__AVX2__)
  const __m256 eight = v;
#endif
#if defined(__AVX2__)
  const __m128 four = op(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
#else
  const __m128 four = v;
#endif
  const __m128 two = op(four, _mm_movehl_ps(four, four));
  return op(two, _mm_shuffle_ps(two, two, 1))[0];
}
LLMCORE_INLINE float Sum(F32 v) {
  return Reduce(v, [](auto a, auto b) { return a + b; });
}
// Callers look for NaN themselves: a lane that holds one may or may not win.
LLMCORE_INLINE float Largest(F32 v) {
  return Reduce(v, [](auto a, auto b) { return a > b ? a : b; });
}
#else
LLMCORE_INLINE float Sum(F32 v) {
  float lanes[kLanes];
  Store(lanes, v);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}
LLMCORE_INLINE float Largest(F32 v) {
  float lanes[kLanes];
  Store(lanes, v);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) {
      if (!(lanes[i] > lanes[i + half])) lanes[i] = lanes[i + half];
    }
  }
  return lanes[0];
}
#endif
// The low byte of each lane.
LLMCORE_INLINE void StoreLowBytes(unsigned char* p, I32 v) {
#if defined(__AVX512F__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8((__m512i)v));
#else
  int32_t lanes[kLanes];
  __builtin_memcpy(lanes, &v, sizeof lanes);
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<unsigned char>(lanes[i]);
#endif
}

// kLanes unsigned bytes. GCC 12 widens them one by one unless it is told how.
LLMCORE_INLINE I32 LoadBytes(const unsigned char* p) {
#if defined(__AVX512F__)
  return (I32)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  return (I32)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#else
  I32 v;
  LLMCORE_UNROLL
  for (int i = 0; i < kLanes; ++i) v[i] = p[i];
  return v;
#endif
}

LLMCORE_INLINE float Bf16Value(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  __builtin_memcpy(&value, &wide, 4);
  return value;
}

// As lib/tensor/float16.h defines it; here once more, so that no inline function of it is emitted
// with this object file's instruction set.
LLMCORE_INLINE float F16Value(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t magnitude = h & 0x7FFFu;
  // A multiplication by 2^112 rebases the exponent and normalizes subnormals; infinity and NaN come
  // out too small and get their exponent back.
  uint32_t bits = magnitude << 13;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  value *= 0x1p112f;
  __builtin_memcpy(&bits, &value, 4);
  if (magnitude >= 0x7C00u) bits |= 0x7F800000u;
  bits |= sign;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

LLMCORE_INLINE F32 LoadBf16(const uint16_t* p) {
#if defined(__AVX512F__)
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return (F32)_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
#elif defined(__AVX2__)
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return (F32)_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16);
#else
  return F32{Bf16Value(p[0]), Bf16Value(p[1]), Bf16Value(p[2]), Bf16Value(p[3])};
#endif
}

LLMCORE_INLINE F32 LoadF16(const uint16_t* p) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__AVX2__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  return F32{F16Value(p[0]), F16Value(p[1]), F16Value(p[2]), F16Value(p[3])};
#endif
}

// A finite value rounded to bf16 (to nearest, ties to even), as f32.
LLMCORE_INLINE F32 RoundToBf16(F32 v) {
  const U32 bits = (U32)v;
  return (F32)((bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u);
}

// |v| < 2^22, rounded to the nearest integer, ties to even.
LLMCORE_INLINE F32 RoundHalfEven(F32 v) {
  const F32 magic = Set(12582912.0f);  // 1.5 * 2^23: no room for a fraction
  return (v + magic) - magic;
}

// e^v to about 2 ulp: 0 below -87.3, at most e^88; NaN stays. v = n ln 2 + r with |r| <= ln 2 / 2,
// and a Taylor polynomial of degree 7 in r (its remainder is below 6e-9).
LLMCORE_INLINE F32 Exp(F32 v) {
  const F32 x = Min(Set(88.0f), Max(Set(-87.3f), v));
  const F32 n = RoundHalfEven(x * Set(1.44269504f));
  F32 r =
      Fma(n, Set(-0.693359375f), x);  // ln 2 in two parts: the first has 9 bits, n * it is exact
  r = Fma(n, Set(2.12194440e-4f), r);
  F32 p = Set(1.0f / 5040);
  p = Fma(p, r, Set(1.0f / 720));
  p = Fma(p, r, Set(1.0f / 120));
  p = Fma(p, r, Set(1.0f / 24));
  p = Fma(p, r, Set(1.0f / 6));
  p = Fma(p, r, Set(0.5f));
  p = Fma(p, r, Set(1.0f));
  p = Fma(p, r, Set(1.0f));
  // n as an integer from the bits of n + magic, so that NaN is no undefined conversion.
  const U32 exponent = (U32)(n + Set(12582912.0f)) - SetU32(0x4B400000u);
  const F32 result = p * (F32)((exponent + 127u) << 23);
  return Select(v < Set(-87.3f), F32{}, result);
}

constexpr float kLog2E = 1.44269504f;

// 2^v for v <= 0, to a relative error of 3e-6 (degree 4) or 1e-7 (degree 5): 2^-126 below -126;
// exactly 1 for 0; NaN stays. v = n + r with |r| <= 1/2, and a minimax polynomial in r.
template <int kDegree>
LLMCORE_INLINE F32 Exp2(F32 v) {
  const F32 x = Max(Set(-126.0f), v);
  // 1.5 * 2^23 + 127: the low bits of the sum are the exponent field of 2^n.
  const F32 magic = Set(12583039.0f);
  const F32 shifted = x + magic;
  const F32 r = x - (shifted - magic);
  F32 p;
  if constexpr (kDegree == 4) {
    p = Fma(Set(0.00958285294f), r, Set(0.0559064262f));
    p = Fma(p, r, Set(0.240240991f));
    p = Fma(p, r, Set(0.693124175f));
  } else {
    p = Fma(Set(0.00132647273f), r, Set(0.00967151299f));
    p = Fma(p, r, Set(0.0555073358f));
    p = Fma(p, r, Set(0.240222424f));
    p = Fma(p, r, Set(0.693147004f));
  }
  p = Fma(p, r, Set(1.0f));
  return p * (F32)((U32)shifted << 23);
}

template <int N>
struct Count {
  static constexpr int value = N;
};

// f(Count<n>) with n as a constant, for n from 1 to 6; a larger n counts as 6.
template <typename F>
LLMCORE_INLINE void WithCount(int64_t n, F f) {
  switch (n) {
    case 1:
      return f(Count<1>{});
    case 2:
      return f(Count<2>{});
    case 3:
      return f(Count<3>{});
    case 4:
      return f(Count<4>{});
    case 5:
      return f(Count<5>{});
    default:
      return f(Count<6>{});
  }
}

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_SIMD_H_
