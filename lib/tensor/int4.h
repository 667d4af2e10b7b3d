// int4 in blocks of 128, to the bit. This scalar code is the definition; backends quantize faster
// and give the same bytes.
//
//   absmax = max |x| over the block, x in bf16; 0 is taken as 1
//   scale  = bf16(absmax / 7)                       the quotient in f32, then rounded to bf16
//   q      = clamp(round_half_even(bf16(x / scale)), -8, 7)
//                                                   the quotient in f32, then rounded to bf16
//   byte i = (q[2i] & 15) << 4 | (q[2i+1] & 15)     high nibble first; an odd tail is padded with 0
//   x'     = bf16(float(q) * float(scale))
//
// All roundings are to nearest, ties to even. Where absmax is so small that its scale rounds to
// zero, x / scale is infinite for x != 0 (clamped) and NaN for x = 0 (q is 0); x' is 0 for both.
// f32 and f16 values are rounded to bf16 first; quantized are only finite ones.
#ifndef LLMCORE_LIB_TENSOR_INT4_H_
#define LLMCORE_LIB_TENSOR_INT4_H_

#include <cstdint>
#include <span>

#include "lib/base/checked.h"
#include "lib/base/status.h"

namespace llmcore::core {

// Values that share a scale, in int4 and int8.
inline constexpr int64_t kQuantBlock = 128;

// A flat buffer of `count` values, cut into blocks from its start: the last one may be short.
constexpr uint64_t Int4PackedBytes(uint64_t count) {
  return CeilDivide(count, 2);
}
constexpr uint64_t Int4ScaleCount(uint64_t count) {
  return CeilDivide(count, kQuantBlock);
}

// INVALID_ARGUMENT with the index of the first NaN or infinity; the outputs are then partly
// written. packed: Int4PackedBytes(size), scales: Int4ScaleCount(size) bf16 values.
absl::Status QuantizeInt4(std::span<const uint16_t> bf16, uint8_t* packed, uint16_t* scales);

// count values from Int4PackedBytes(count) bytes and Int4ScaleCount(count) scales.
void DequantizeInt4(const uint8_t* packed, const uint16_t* scales, uint64_t count, uint16_t* bf16);

// A matrix [rows, columns]: each row is a flat buffer of its own, so a row begins a new block and a
// new byte. Where columns is a multiple of 128 this is the flat layout of the whole matrix.
// INVALID_ARGUMENT with the row and column of the first NaN or infinity.
// packed: [rows, Int4PackedBytes(columns)], scales: [rows, Int4ScaleCount(columns)].
absl::Status QuantizeInt4Rows(const uint16_t* bf16, int64_t rows, int64_t columns, uint8_t* packed,
                              uint16_t* scales);
void DequantizeInt4Rows(const uint8_t* packed, const uint16_t* scales, int64_t rows,
                        int64_t columns, uint16_t* bf16);

// One block of 1 to 128 finite values: codes in -8..7, one a byte. Returns the scale in bf16.
uint16_t QuantizeInt4Block(const uint16_t* bf16, int64_t count, int8_t* codes);

// x' of one code.
uint16_t DequantizeInt4Value(int code, uint16_t scale);

// int4 with zero points, the format of published AWQ and GPTQ checkpoints: blocks of 128 as above,
// with unsigned codes q of 0..15, a zero point z of 0..16 (GPTQ counts its own from 1) and a scale
// s in f16 each:
//
//   byte i = q[2i] << 4 | q[2i+1]
//   x'     = (q - z) * s                             not rounded: f32 holds it
inline constexpr int kMostInt4Zero = 16;

// x' of one code.
float DequantizeInt4Zeros(int code, int zero, uint16_t scale);

// The index of the first NaN or infinity among bf16 values; `count` when there is none.
uint64_t FirstNonFiniteBf16(const uint16_t* bf16, uint64_t count);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TENSOR_INT4_H_
