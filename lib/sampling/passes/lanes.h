// Vectors of the width that this object file is compiled for, by the vector extension of GCC and
// Clang. What is done to one float does not depend on the width. Included by pass_set.h only.
#ifndef LLMCORE_LIB_SAMPLING_PASSES_LANES_H_
#define LLMCORE_LIB_SAMPLING_PASSES_LANES_H_

#include <stddef.h>
#include <stdint.h>

#include "lib/base/vector_width.h"

namespace llmcore::core::LLMCORE_PASS_SET {
namespace {

constexpr size_t kLanes = kVectorFloats;

typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef double Doubles __attribute__((vector_size(4 * kLanes)));

LLMCORE_INLINE Floats Load(const float* values) {
  Floats result;
  __builtin_memcpy(&result, values, sizeof(result));
  return result;
}

// The first `count` (< kLanes) of them, then `rest`.
LLMCORE_INLINE Floats LoadPart(const float* values, size_t count, float rest) {
  float part[kLanes];
  for (size_t i = 0; i < kLanes; ++i) part[i] = i < count ? values[i] : rest;
  return Load(part);
}

LLMCORE_INLINE void Store(Floats values, float* out) {
  __builtin_memcpy(out, &values, sizeof(values));
}

LLMCORE_INLINE void StorePart(Floats values, size_t count, float* out) {
  float part[kLanes];
  Store(values, part);
  for (size_t i = 0; i < count; ++i) out[i] = part[i];
}

// Half as many as a vector holds, in f64.
LLMCORE_INLINE Doubles LoadWide(const float* values) {
  typedef float Half __attribute__((vector_size(2 * kLanes)));
  Half half;
  __builtin_memcpy(&half, values, sizeof(half));
  return __builtin_convertvector(half, Doubles);
}

LLMCORE_INLINE double SumOf(Doubles values) {
  double sum = 0;
  for (size_t i = 0; i < kLanes / 2; ++i) sum += values[i];
  return sum;
}

LLMCORE_INLINE Floats Max(Floats a, Floats b) {
  return a > b ? a : b;
}

// exp(x) for x <= 0: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial in r (Cephes), times 2^n.
LLMCORE_INLINE Floats ExpNonPositive(Floats x) {
  constexpr float kLowest = -88.1f;  // n is -127 there, whose power of two is written as 0
  constexpr float kRound = 12582912.0f;
  const Floats clamped = Max(x, Floats{} + kLowest);
  const Floats n = (clamped * 1.44269504f + kRound) - kRound;
  const Floats r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  Floats p = Floats{} + 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const Floats mantissa = p * (r * r) + r + 1.0f;
  const Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
  Floats scale;
  __builtin_memcpy(&scale, &power, sizeof(scale));
  return mantissa * scale;
}

// Multiples of 2^-34 nearest to weights of 0 to 1, halves to even: those from 2^-11 on are such.
LLMCORE_INLINE Floats RoundWeights(Floats weights) {
  constexpr float kFine = 0x1p-11f;  // from here to 2^-10 floats are 2^-34 apart
  const Floats rounded = (weights + kFine) - kFine;
  return weights < Floats{} + kFine ? rounded : weights;
}

}  // namespace
}  // namespace llmcore::core::LLMCORE_PASS_SET

#endif  // LLMCORE_LIB_SAMPLING_PASSES_LANES_H_
