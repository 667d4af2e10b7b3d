// int8 in blocks of 128, to the bit. This scalar code is the definition; backends quantize faster
// and give the same bytes.
//
//   absmax = max |x| over the block, x in bf16; 0 is taken as 1
//   scale  = bf16(absmax / 127)                     the quotient in f32, then rounded to bf16
//   q      = clamp(round_half_even(x / scale), -127, 127)
//                                                   the quotient in f32, not rounded to bf16: with
//                                                   8 bits of significand half of the codes above
//                                                   64 would be rounded twice
//   x'     = float(q) * float(scale)                exact in f32
//
// All roundings are to nearest, ties to even. Where the scale rounds to zero, q is clamped for
// x != 0 and 0 for x = 0, as in int4.h. f32 and f16 values are rounded to bf16 first; quantized are
// only finite ones. -128 is never a code, so that -q is one too.
#ifndef LLMCORE_LIB_TENSOR_INT8_H_
#define LLMCORE_LIB_TENSOR_INT8_H_

#include <cstdint>
#include <span>

#include "lib/base/status.h"
#include "lib/tensor/int4.h"

namespace llmcore::core {

// Scales of a flat buffer of `count` values; its codes are `count` bytes.
constexpr uint64_t Int8ScaleCount(uint64_t count) {
  return CeilDivide(count, kQuantBlock);
}

// INVALID_ARGUMENT with the index of the first NaN or infinity; the outputs are then partly
// written. codes: size values, scales: Int8ScaleCount(size) bf16 values.
absl::Status QuantizeInt8(std::span<const uint16_t> bf16, int8_t* codes, uint16_t* scales);

// count values of f32 from `count` codes and Int8ScaleCount(count) scales.
void DequantizeInt8(const int8_t* codes, const uint16_t* scales, uint64_t count, float* values);

// A matrix [rows, columns] whose rows each begin a new block.
// codes: [rows, columns], scales: [rows, Int8ScaleCount(columns)].
absl::Status QuantizeInt8Rows(const uint16_t* bf16, int64_t rows, int64_t columns, int8_t* codes,
                              uint16_t* scales);
void DequantizeInt8Rows(const int8_t* codes, const uint16_t* scales, int64_t rows, int64_t columns,
                        float* values);

// One block of 1 to 128 finite values. Returns the scale in bf16.
uint16_t QuantizeInt8Block(const uint16_t* bf16, int64_t count, int8_t* codes);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TENSOR_INT8_H_
