#include "lib/tensor/int8.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "lib/tensor/float16.h"

namespace llmcore::core {
namespace {

int8_t Int8Code(float x, float scale) {
  constexpr float kMagic = 12582912.0f;  // see int4.cc
  const float quotient = x / scale;
  if (std::isnan(quotient)) return 0;
  const float clamped = std::clamp(quotient, -127.0f, 127.0f);
  return static_cast<int8_t>((clamped + kMagic) - kMagic);
}

}  // namespace

uint16_t QuantizeInt8Block(const uint16_t* bf16, int64_t count, int8_t* codes) {
  uint16_t absmax_bits = 0;
  for (int64_t i = 0; i < count; ++i) {
    absmax_bits = std::max<uint16_t>(absmax_bits, bf16[i] & 0x7FFF);
  }
  const float absmax = absmax_bits == 0 ? 1.0f : Bf16ToF32(absmax_bits);
  const uint16_t scale_bits = F32ToBf16(absmax / 127.0f);
  const float scale = Bf16ToF32(scale_bits);
  for (int64_t i = 0; i < count; ++i) codes[i] = Int8Code(Bf16ToF32(bf16[i]), scale);
  return scale_bits;
}

absl::Status QuantizeInt8(std::span<const uint16_t> bf16, int8_t* codes, uint16_t* scales) {
  const uint64_t bad = FirstNonFiniteBf16(bf16.data(), bf16.size());
  if (bad != bf16.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("value ", bad, " is NaN or infinite and cannot be quantized"));
  }
  for (uint64_t start = 0; start < bf16.size(); start += kQuantBlock) {
    const auto count = static_cast<int64_t>(std::min<uint64_t>(kQuantBlock, bf16.size() - start));
    scales[start / kQuantBlock] = QuantizeInt8Block(bf16.data() + start, count, codes + start);
  }
  return absl::OkStatus();
}

void DequantizeInt8(const int8_t* codes, const uint16_t* scales, uint64_t count, float* values) {
  for (uint64_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(codes[i]) * Bf16ToF32(scales[i / kQuantBlock]);
  }
}

absl::Status QuantizeInt8Rows(const uint16_t* bf16, int64_t rows, int64_t columns, int8_t* codes,
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
    LLMCORE_RETURN_IF_ERROR(QuantizeInt8(values, codes, scales));
    codes += width;
    scales += Int8ScaleCount(width);
  }
  return absl::OkStatus();
}

void DequantizeInt8Rows(const int8_t* codes, const uint16_t* scales, int64_t rows, int64_t columns,
                        float* values) {
  const auto width = static_cast<uint64_t>(columns);
  for (int64_t row = 0; row < rows; ++row) {
    DequantizeInt8(codes + row * columns, scales, width, values + row * columns);
    scales += Int8ScaleCount(width);
  }
}

}  // namespace llmcore::core
