// Four floats at a time, by the vector extension of GCC and Clang: one code, and one order of
// operations, for every CPU. Sampling is a small part of a step: wider vectors would not pay for
// their dispatch.
#ifndef LLMCORE_LIB_SAMPLING_LANES_H_
#define LLMCORE_LIB_SAMPLING_LANES_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace llmcore::core {

inline constexpr size_t kLanes = 4;
typedef float Floats __attribute__((vector_size(16)));
typedef int32_t Ints __attribute__((vector_size(16)));
typedef double Doubles __attribute__((vector_size(16)));

inline Floats Load(const float* values) {
  Floats result;
  std::memcpy(&result, values, sizeof(result));
  return result;
}

// The first `count` (< kLanes) of them, then `rest`.
inline Floats LoadPart(const float* values, size_t count, float rest) {
  Floats result = {rest, rest, rest, rest};
  for (size_t i = 0; i < count; ++i) result[i] = values[i];
  return result;
}

// Two of them, in f64.
inline Doubles LoadWide(const float* values) {
  typedef float Pair __attribute__((vector_size(8)));
  Pair pair;
  std::memcpy(&pair, values, sizeof(pair));
  return __builtin_convertvector(pair, Doubles);
}

inline void Store(Floats values, float* out) {
  std::memcpy(out, &values, sizeof(values));
}

inline Floats Max(Floats a, Floats b) {
  return a > b ? a : b;
}

// Whether any lane of a comparison holds.
inline bool Any(Ints mask) {
  return (mask[0] | mask[1] | mask[2] | mask[3]) != 0;
}

// exp(x) for x <= 0: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial in r (Cephes), times 2^n.
inline Floats ExpNonPositive(Floats x) {
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
  std::memcpy(&scale, &power, sizeof(scale));
  return mantissa * scale;
}

// Multiples of 2^-34 nearest to weights of 0 to 1, halves to even: those from 2^-11 on are such.
inline Floats RoundWeights(Floats weights) {
  constexpr float kFine = 0x1p-11f;  // from here to 2^-10 floats are 2^-34 apart
  const Floats rounded = (weights + kFine) - kFine;
  return weights < Floats{} + kFine ? rounded : weights;
}

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SAMPLING_LANES_H_
