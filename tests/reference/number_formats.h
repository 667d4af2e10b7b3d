// Storage formats from their definitions: rounding is done on values, not on bits, so that it can
// share no mistake with the code under test.
#ifndef LLMCORE_TESTS_REFERENCE_NUMBER_FORMATS_H_
#define LLMCORE_TESTS_REFERENCE_NUMBER_FORMATS_H_

#include <cstdint>
#include <vector>

namespace llmcore::reference {

// To nearest, ties to even; infinity beyond the largest finite value; subnormals are kept.
double RoundToBf16(double value);
double RoundToF16(double value);

// Of values that have the format exactly.
uint16_t Bf16Bits(double value);
uint16_t F16Bits(double value);
double Bf16Value(uint16_t bits);

// A row in blocks of 128, the last one short where the size demands it.
struct QuantizedRow {
  std::vector<int> codes;
  std::vector<double> scales;  // one a block
};

// Values are rounded to bf16 first. Each scale is bf16(absmax / 7), each code
// round_half_even(bf16(x / scale)) in -8..7, quotients in f32.
QuantizedRow QuantizeInt4(const std::vector<double>& values);
// bf16(code * scale).
std::vector<double> DequantizeInt4(const QuantizedRow& row);

// Likewise with bf16(absmax / 127) and round_half_even(x / scale) in -127..127.
QuantizedRow QuantizeInt8(const std::vector<double>& values);
// code * scale.
std::vector<double> DequantizeInt8(const QuantizedRow& row);

// Activations: scale = absmax / 127 and code = round_half_even(x * (127 / absmax)), all in f32; a
// block whose absmax is below 2^-100 has the scale 0 and codes 0.
QuantizedRow QuantizeActivations(const std::vector<float>& values);

// One head of one token in a quantized KV cache, value = (code - zero) * scale. The range is
// widened to hold 0; the scale is range / largest_code, rounded up in f16, and zero is f16(-min /
// scale), in f32; codes are round_half_even(x / scale + zero) within 0..largest_code. When the
// values have no such scale both are NaN, when all are 0 both are 0, and the codes are 0.
struct QuantizedHead {
  std::vector<int> codes;
  double scale = 0;
  double zero = 0;
};
QuantizedHead QuantizeHead(const std::vector<double>& values, int largest_code);
std::vector<double> DequantizeHead(const QuantizedHead& head);

}  // namespace llmcore::reference

#endif  // LLMCORE_TESTS_REFERENCE_NUMBER_FORMATS_H_
