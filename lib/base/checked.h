// Arithmetic on untrusted sizes: nullopt instead of wrapping around.
#ifndef LLMCORE_LIB_BASE_CHECKED_H_
#define LLMCORE_LIB_BASE_CHECKED_H_

#include <cstdint>
#include <optional>

namespace llmcore::core {

inline std::optional<uint64_t> CheckedAdd(uint64_t a, uint64_t b) {
  uint64_t sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

inline std::optional<uint64_t> CheckedMultiply(uint64_t a, uint64_t b) {
  uint64_t product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// ceil(a / b), b > 0.
constexpr uint64_t CeilDivide(uint64_t a, uint64_t b) {
  return a / b + (a % b != 0 ? 1 : 0);
}

// The least multiple of `unit` (> 0) that is not below `value`; `value` is at most 2^63.
constexpr uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return CeilDivide(value, unit) * unit;
}

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_CHECKED_H_
