#include "lib/tensor/float16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace llmcore::core {
namespace {

// A 16-bit format by its definition in exact double arithmetic; shares no code with the library.
struct Format {
  int exponent_bits;
  int fraction_bits;
  uint16_t (*encode)(float);
  float (*decode)(uint16_t);

  double Value(uint16_t magnitude) const {
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const int exponent = magnitude >> fraction_bits;
    const int fraction = magnitude & ((1 << fraction_bits) - 1);
    if (exponent == 0) return std::ldexp(fraction, 1 - bias - fraction_bits);
    return std::ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
  }
  uint16_t infinity() const {
    return static_cast<uint16_t>(((1 << exponent_bits) - 1) << fraction_bits);
  }
};

constexpr Format kFormats[] = {{8, 7, F32ToBf16, Bf16ToF32}, {5, 10, F32ToF16, F16ToF32}};

TEST(Float16Test, EveryValueIsDecodedAndEncodedBack) {
  for (const Format& format : kFormats) {
    for (uint32_t bits = 0; bits < 0x8000; ++bits) {
      const auto positive = static_cast<uint16_t>(bits);
      const auto negative = static_cast<uint16_t>(bits | 0x8000);
      if (positive > format.infinity()) {
        for (const uint16_t nan : {positive, negative}) {
          ASSERT_TRUE(std::isnan(format.decode(nan))) << nan;
          const uint16_t back = format.encode(format.decode(nan));
          ASSERT_TRUE(std::isnan(format.decode(back))) << nan;
          ASSERT_EQ(back & 0x8000, nan & 0x8000);
        }
        continue;
      }
      const double expected = positive == format.infinity()
                                  ? std::numeric_limits<double>::infinity()
                                  : format.Value(positive);
      ASSERT_EQ(format.decode(positive), expected) << bits;
      ASSERT_EQ(format.decode(negative), -expected) << bits;
      ASSERT_EQ(format.encode(format.decode(positive)), positive);
      ASSERT_EQ(format.encode(format.decode(negative)), negative);
    }
  }
}

// Between two neighbours the result can change only at the middle, so the floats just below, at and
// just above every middle prove the rounding of all 2^32 floats.
TEST(Float16Test, EveryMiddleRoundsToEven) {
  for (const Format& format : kFormats) {
    for (uint16_t low = 0; low < format.infinity(); ++low) {
      const auto high = static_cast<uint16_t>(low + 1);
      // The value after the largest one is where infinity begins to be nearest.
      const double middle = (format.Value(low) + format.Value(high)) / 2;
      const auto at = static_cast<float>(middle);
      ASSERT_EQ(at, middle) << low;
      const uint16_t even = low % 2 == 0 ? low : high;
      ASSERT_EQ(format.encode(at), even) << low;
      ASSERT_EQ(format.encode(-at), even | 0x8000) << low;
      ASSERT_EQ(format.encode(std::nextafter(at, 0.0f)), low) << low;
      const float above = std::nextafter(at, std::numeric_limits<float>::infinity());
      ASSERT_EQ(format.encode(above), high) << low;
    }
  }
}

TEST(Float16Test, EncodingIsMonotonic) {
  for (const Format& format : kFormats) {
    uint16_t previous = 0;
    for (uint32_t bits = 0; bits <= 0x7F800000u; bits += 4093) {
      const uint16_t code = format.encode(std::bit_cast<float>(bits));
      ASSERT_GE(code, previous) << bits;
      previous = code;
    }
    EXPECT_EQ(previous, format.infinity());
  }
}

TEST(Float16Test, NanNeverBecomesInfinity) {
  for (const Format& format : kFormats) {
    for (const uint32_t bits : {0x7F800001u, 0x7FFFFFFFu, 0xFF800001u, 0xFFFFFFFFu, 0x7F807FFFu}) {
      const uint16_t code = format.encode(std::bit_cast<float>(bits));
      EXPECT_GT(code & 0x7FFF, format.infinity()) << bits;
    }
  }
}

}  // namespace
}  // namespace llmcore::core
