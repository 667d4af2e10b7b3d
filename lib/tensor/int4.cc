#include "lib/tensor/int4.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "lib/tensor/float16.h"

namespace llmcore::core {
namespace {

// Rounds |v| < 2^22 to the nearest integer, ties to even: the sum has no room for a fraction.
float RoundHalfEven(float v) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23
  return (v + kMagic) - kMagic;
}

int8_t Int4Code(float x, float scale) {
  const float quotient = Bf16ToF32(F32ToBf16(x / scale));
  if (std::isnan(quotient)) return 0;
  return static_cast<int8_t>(RoundHalfEven(std::clamp(quotient, -8.0f, 7.0f)));
}

void PackNibbles(const int8_t* codes, int64_t count, uint8_t* packed) {
  for (int64_t i = 0; i < count; i += 2) {
    const int low = i + 1 < count ? codes[i + 1] & 15 : 0;
    packed[i / 2] = static_cast<uint8_t>((codes[i] & 15) << 4 | low);
  }
}

}  // namespace

float DequantizeInt4Zeros(int code, int zero, uint16_t scale) {
  return static_cast<float>(code - zero) * F16ToF32(scale);
}

uint64_t FirstNonFiniteBf16(const uint16_t* bf16, uint64_t count) {
  constexpr uint16_t kExponent = 0x7F80;
  for (uint64_t i = 0; i < count; ++i) {
    if ((bf16[i] & kExponent) == kExponent) return i;
  }
  return count;
}

uint16_t QuantizeInt4Block(const uint16_t* bf16, int64_t count, int8_t* codes) {
  uint16_t absmax_bits = 0;  // finite magnitudes compare like their bits
  for (int64_t i = 0; i < count; ++i) {
    absmax_bits = std::max<uint16_t>(absmax_bits, bf16[i] & 0x7FFF);
  }
  const float absmax = absmax_bits == 0 ? 1.0f : Bf16ToF32(absmax_bits);
  const uint16_t scale_bits = F32ToBf16(absmax / 7.0f);
  const float scale = Bf16ToF32(scale_bits);
  for (int64_t i = 0; i < count; ++i) codes[i] = Int4Code(Bf16ToF32(bf16[i]), scale);
  return scale_bits;
}

uint16_t DequantizeInt4Value(int code, uint16_t scale) {
  return F32ToBf16(static_cast<float>(code) * Bf16ToF32(scale));
}

absl::Status QuantizeInt4(std::span<const uint16_t> bf16, uint8_t* packed, uint16_t* scales) {
  const uint64_t bad = FirstNonFiniteBf16(bf16.data(), bf16.size());
  if (bad != bf16.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("value ", bad, " is NaN or infinite and cannot be quantized"));
  }
  int8_t codes[kQuantBlock];
  for (uint64_t start = 0; start < bf16.size(); start += kQuantBlock) {
    const auto count = static_cast<int64_t>(std::min<uint64_t>(kQuantBlock, bf16.size() - start));
    scales[start / kQuantBlock] = QuantizeInt4Block(bf16.data() + start, count, codes);
    PackNibbles(codes, count, packed + start / 2);
  }
  return absl::OkStatus();
}

void DequantizeInt4(const uint8_t* packed, const uint16_t* scales, uint64_t count, uint16_t* bf16) {
  for (uint64_t i = 0; i < count; ++i) {
    const int nibble = i % 2 == 0 ? packed[i / 2] >> 4 : packed[i / 2] & 15;
    bf16[i] = DequantizeInt4Value((nibble ^ 8) - 8, scales[i / kQuantBlock]);
  }
}

absl::Status QuantizeInt4Rows(const uint16_t* bf16, int64_t rows, int64_t columns, uint8_t* packed,
                              uint16_t* scales) {
  const auto width = static_cast<uint64_t>(columns);
  for (int64_t row = 0; row < rows; ++row) {
    const std::span<const uint16_t> values(bf16 + row * columns, width);
    const uint64_t bad = FirstNonFiniteBf16(values.data(), width);
    if (bad != width) {
      return absl::InvalidArgumentError(absl::StrCat("the value at row ", row, ", column ", bad,
                                                     " is NaN or infinite and cannot be "
                                                     "quantized"));
    }
    LLMCORE_RETURN_IF_ERROR(QuantizeInt4(values, packed, scales));
    packed += Int4PackedBytes(width);
    scales += Int4ScaleCount(width);
  }
  return absl::OkStatus();
}

void DequantizeInt4Rows(const uint8_t* packed, const uint16_t* scales, int64_t rows,
                        int64_t columns, uint16_t* bf16) {
  const auto width = static_cast<uint64_t>(columns);
  for (int64_t row = 0; row < rows; ++row) {
    DequantizeInt4(packed, scales, width, bf16 + row * columns);
    packed += Int4PackedBytes(width);
    scales += Int4ScaleCount(width);
  }
}

}  // namespace llmcore::core
