#include "tests/reference/number_formats.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace llmcore::reference {
namespace {

constexpr size_t kBlock = 128;

// A binary format of `precision` significant bits whose normal numbers are 2^least to below
// 2^(greatest + 1).
double RoundTo(double value, int precision, int least, int greatest) {
  if (value == 0 || !std::isfinite(value)) return value;
  const int exponent = std::max(std::ilogb(value), least);
  const double unit = std::ldexp(1.0, exponent - precision + 1);
  const double rounded = std::nearbyint(value / unit) * unit;
  if (std::abs(rounded) >= std::ldexp(1.0, greatest + 1)) {
    return std::copysign(std::numeric_limits<double>::infinity(), value);
  }
  return rounded;
}

// Sign, `exponent_bits` of exponent, the rest mantissa: 16 bits.
uint16_t Encode(double value, int precision, int least, int exponent_bits) {
  const int mantissa_bits = precision - 1;
  const auto sign = static_cast<unsigned>(std::signbit(value)) << 15;
  const double magnitude = std::abs(value);
  unsigned bits;
  if (std::isinf(value)) {
    bits = ((1u << exponent_bits) - 1) << mantissa_bits;
  } else if (magnitude < std::ldexp(1.0, least)) {
    bits = static_cast<unsigned>(std::ldexp(magnitude, mantissa_bits - least));
  } else {
    const int exponent = std::ilogb(magnitude);
    const auto mantissa = static_cast<unsigned>(std::ldexp(magnitude, mantissa_bits - exponent));
    bits = static_cast<unsigned>(exponent - least + 1) << mantissa_bits;
    bits += mantissa - (1u << mantissa_bits);
  }
  return static_cast<uint16_t>(sign | bits);
}

double AbsMax(const std::vector<double>& values, size_t begin, size_t end) {
  double largest = 0;
  for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(values[i]));
  return largest;
}

int RoundAndClamp(float value, int low, int high) {
  if (std::isnan(value)) return 0;
  return static_cast<int>(std::nearbyint(
      std::clamp(static_cast<double>(value), static_cast<double>(low), static_cast<double>(high))));
}

template <typename Code>
QuantizedRow QuantizeBf16(const std::vector<double>& original, float levels, Code code) {
  std::vector<double> values = original;
  for (double& value : values) value = RoundToBf16(value);
  QuantizedRow row;
  for (size_t begin = 0; begin < values.size(); begin += kBlock) {
    const size_t end = std::min(begin + kBlock, values.size());
    auto largest = static_cast<float>(AbsMax(values, begin, end));
    if (largest == 0) largest = 1;
    const double scale = RoundToBf16(static_cast<double>(largest / levels));
    row.scales.push_back(scale);
    for (size_t i = begin; i < end; ++i) {
      row.codes.push_back(code(static_cast<float>(values[i]) / static_cast<float>(scale)));
    }
  }
  return row;
}

}  // namespace

double RoundToBf16(double value) {
  return RoundTo(value, 8, -126, 127);
}

double RoundToF16(double value) {
  return RoundTo(value, 11, -14, 15);
}

uint16_t Bf16Bits(double value) {
  return Encode(value, 8, -126, 8);
}

uint16_t F16Bits(double value) {
  return Encode(value, 11, -14, 5);
}

double Bf16Value(uint16_t bits) {
  const double sign = bits & 0x8000 ? -1 : 1;
  const int exponent = bits >> 7 & 0xFF;
  const int mantissa = bits & 0x7F;
  if (exponent == 0) return sign * std::ldexp(mantissa, -133);
  return sign * std::ldexp(128 + mantissa, exponent - 134);
}

QuantizedRow QuantizeInt4(const std::vector<double>& values) {
  return QuantizeBf16(values, 7, [](float quotient) {
    const double rounded = RoundToBf16(static_cast<double>(quotient));
    return RoundAndClamp(static_cast<float>(rounded), -8, 7);
  });
}

std::vector<double> DequantizeInt4(const QuantizedRow& row) {
  std::vector<double> values;
  for (size_t i = 0; i < row.codes.size(); ++i) {
    values.push_back(RoundToBf16(row.codes[i] * row.scales[i / kBlock]));
  }
  return values;
}

QuantizedRow QuantizeInt8(const std::vector<double>& values) {
  return QuantizeBf16(values, 127,
                      [](float quotient) { return RoundAndClamp(quotient, -127, 127); });
}

std::vector<double> DequantizeInt8(const QuantizedRow& row) {
  std::vector<double> values;
  for (size_t i = 0; i < row.codes.size(); ++i) {
    values.push_back(row.codes[i] * row.scales[i / kBlock]);
  }
  return values;
}

QuantizedRow QuantizeActivations(const std::vector<float>& values) {
  QuantizedRow row;
  for (size_t begin = 0; begin < values.size(); begin += kBlock) {
    const size_t end = std::min(begin + kBlock, values.size());
    float largest = 0;
    for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(values[i]));
    const bool zero = largest < 0x1p-100f;
    row.scales.push_back(zero ? 0 : static_cast<double>(largest / 127.0f));
    const float factor = zero ? 0 : 127.0f / largest;
    for (size_t i = begin; i < end; ++i) {
      row.codes.push_back(static_cast<int>(std::nearbyint(values[i] * factor)));
    }
  }
  return row;
}

QuantizedHead QuantizeHead(const std::vector<double>& values, int largest_code) {
  float least = 0;
  float most = 0;
  bool finite = true;
  for (const double value : values) {
    finite = finite && std::isfinite(value);
    least = std::min(least, static_cast<float>(value));
    most = std::max(most, static_cast<float>(value));
  }
  QuantizedHead head;
  head.codes.assign(values.size(), 0);
  const float wanted = (most - least) / static_cast<float>(largest_code);
  if (!finite || wanted > 65504) {
    head.scale = head.zero = std::numeric_limits<double>::quiet_NaN();
    return head;
  }
  if (wanted == 0) return head;
  head.scale = RoundToF16(static_cast<double>(wanted));
  if (head.scale < static_cast<double>(wanted)) {
    head.scale += std::ldexp(1.0, std::max(std::ilogb(wanted), -14) - 10);
  }
  const auto scale = static_cast<float>(head.scale);
  head.zero = RoundToF16(static_cast<double>(-least / scale));
  for (size_t i = 0; i < values.size(); ++i) {
    const float quotient = static_cast<float>(values[i]) / scale;
    head.codes[i] = RoundAndClamp(quotient + static_cast<float>(head.zero), 0, largest_code);
  }
  return head;
}

std::vector<double> DequantizeHead(const QuantizedHead& head) {
  std::vector<double> values;
  for (const int code : head.codes) values.push_back((code - head.zero) * head.scale);
  return values;
}

}  // namespace llmcore::reference
