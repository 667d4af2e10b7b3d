#include "lib/tensor/int4.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/tensor/float16.h"
#include "lib/tensor/format.h"
#include "lib/tensor/int8.h"
#include "tests/reference/number_formats.h"

namespace llmcore::core {
namespace {

using testing::HasSubstr;

std::vector<uint16_t> Bf16(const std::vector<float>& values) {
  std::vector<uint16_t> bits;
  for (const float v : values) bits.push_back(F32ToBf16(v));
  return bits;
}

struct Int4 {
  std::vector<uint8_t> packed;
  std::vector<uint16_t> scales;
};

Int4 Quantize(const std::vector<uint16_t>& values) {
  Int4 out = {std::vector<uint8_t>(Int4PackedBytes(values.size())),
              std::vector<uint16_t>(Int4ScaleCount(values.size()))};
  const absl::Status status = QuantizeInt4(values, out.packed.data(), out.scales.data());
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

// Any finite bf16 patterns; blocks alternate between all exponents and a narrow range.
std::vector<uint16_t> RandomBits(size_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<uint16_t> values(count);
  for (size_t i = 0; i < count; ++i) {
    auto v = static_cast<uint16_t>(generator());
    if (i / 128 % 3 == 1) v = static_cast<uint16_t>((v & 0x81FFu) | 0x3C00u);
    if (i / 128 % 3 == 2) v = static_cast<uint16_t>(v & 0x80FFu);
    if ((v & 0x7F80u) == 0x7F80u) v = static_cast<uint16_t>(v & 0xFFBFu & ~0x4000u);
    values[i] = v;
  }
  return values;
}

std::vector<double> Values(const uint16_t* bits, size_t count) {
  std::vector<double> values;
  for (size_t i = 0; i < count; ++i) values.push_back(Bf16ToF32(bits[i]));
  return values;
}

TEST(Int4Test, KnownBlockHasTheseBytes) {
  // absmax 7: the scale is 1, codes are the values; ties go to the even code.
  const auto out = Quantize(Bf16({7, -7, 0.5f, 1.5f, 2.5f, -0.5f, -3, 0, 6.6f}));
  EXPECT_EQ(out.scales, std::vector<uint16_t>{F32ToBf16(1.0f)});
  EXPECT_EQ(out.packed, (std::vector<uint8_t>{0x79, 0x02, 0x20, 0xD0, 0x70}));
}

TEST(Int4Test, ZerosHaveTheScaleOfAbsmaxOne) {
  const auto out = Quantize(Bf16({0.0f, -0.0f}));
  EXPECT_EQ(out.scales[0], F32ToBf16(1.0f / 7.0f));
  EXPECT_EQ(out.packed[0], 0);
}

TEST(Int4Test, TinyBlocksWhoseScaleIsZeroClampAndKeepZeros) {
  const auto out = Quantize({0x0001, 0x8001, 0x0000});
  EXPECT_EQ(out.scales[0], 0);
  EXPECT_EQ(out.packed, (std::vector<uint8_t>{0x78, 0x00}));
}

TEST(Int4Test, AgreesWithIndependentReference) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    const auto values = RandomBits(128 * 6 + seed, seed);
    const auto out = Quantize(values);
    const auto reference = reference::QuantizeInt4(Values(values.data(), values.size()));
    for (size_t i = 0; i < values.size(); ++i) {
      const int nibble = i % 2 == 0 ? out.packed[i / 2] >> 4 : out.packed[i / 2] & 15;
      ASSERT_EQ((nibble ^ 8) - 8, reference.codes[i]) << "index " << i << " seed " << seed;
    }
    for (size_t b = 0; b < out.scales.size(); ++b) {
      ASSERT_EQ(Bf16ToF32(out.scales[b]), reference.scales[b]) << "block " << b << " seed " << seed;
    }
    std::vector<uint16_t> back(values.size());
    DequantizeInt4(out.packed.data(), out.scales.data(), back.size(), back.data());
    const auto expected = reference::DequantizeInt4(reference);
    for (size_t i = 0; i < back.size(); ++i) {
      ASSERT_EQ(Bf16ToF32(back[i]), expected[i]) << "index " << i << " seed " << seed;
    }
  }
}

TEST(Int4Test, RowsBeginBlocksAndBytes) {
  const auto values = RandomBits(3 * 131, 5);
  std::vector<uint8_t> packed(3 * Int4PackedBytes(131));
  std::vector<uint16_t> scales(3 * Int4ScaleCount(131));
  ASSERT_TRUE(QuantizeInt4Rows(values.data(), 3, 131, packed.data(), scales.data()).ok());
  for (int row = 0; row < 3; ++row) {
    const auto one = Quantize({values.begin() + row * 131, values.begin() + (row + 1) * 131});
    EXPECT_TRUE(std::equal(one.packed.begin(), one.packed.end(), packed.begin() + row * 66));
    EXPECT_TRUE(std::equal(one.scales.begin(), one.scales.end(), scales.begin() + row * 2));
  }
}

TEST(Int4Test, NonFiniteValuesAreNamed) {
  auto values = Bf16(std::vector<float>(300, 1.0f));
  values[257] = F32ToBf16(std::numeric_limits<float>::infinity());
  values[280] = F32ToBf16(std::nanf(""));
  std::vector<uint8_t> packed(300);
  std::vector<uint16_t> scales(3);
  EXPECT_THAT(std::string(QuantizeInt4(values, packed.data(), scales.data()).message()),
              HasSubstr("value 257"));
  EXPECT_THAT(
      std::string(QuantizeInt4Rows(values.data(), 3, 100, packed.data(), scales.data()).message()),
      HasSubstr("row 2, column 57"));
  EXPECT_THAT(std::string(QuantizeInt8Rows(values.data(), 3, 100,
                                           reinterpret_cast<int8_t*>(packed.data()), scales.data())
                              .message()),
              HasSubstr("row 2, column 57"));
}

TEST(Int4Test, ZeroPointsAreTakenOffBeforeScaling) {
  EXPECT_EQ(DequantizeInt4Zeros(15, 0, F32ToF16(0.25f)), 3.75f);
  EXPECT_EQ(DequantizeInt4Zeros(0, kMostInt4Zero, F32ToF16(0.25f)), -4.0f);
  EXPECT_EQ(DequantizeInt4Zeros(9, 9, F32ToF16(65504.0f)), 0.0f);
  // 15 times the largest f16 below 2: 16 significant bits, which no 16-bit format holds.
  EXPECT_EQ(DequantizeInt4Zeros(15, 0, F32ToF16(1.9990234375f)), 29.9853515625f);
}

TEST(Int4Test, ZeroPointsAreAFormatOfWeightsAlone) {
  EXPECT_EQ(WeightFormatName(WeightFormat::kInt4Zeros), "int4-zeros");
  EXPECT_EQ(ParseWeightFormat("int4-zeros"), WeightFormat::kInt4Zeros);
  EXPECT_FALSE(ParseKvFormat("int4-zeros").has_value());
  EXPECT_FALSE(ParseActivationFormat("int4-zeros").has_value());
}

TEST(Int8Test, AgreesWithIndependentReference) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    const auto values = RandomBits(128 * 6 + seed, seed);
    std::vector<int8_t> codes(values.size());
    std::vector<uint16_t> scales(Int8ScaleCount(values.size()));
    ASSERT_TRUE(QuantizeInt8(values, codes.data(), scales.data()).ok());
    const auto reference = reference::QuantizeInt8(Values(values.data(), values.size()));
    std::vector<float> back(values.size());
    DequantizeInt8(codes.data(), scales.data(), back.size(), back.data());
    const auto expected = reference::DequantizeInt8(reference);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(codes[i], reference.codes[i]) << "index " << i << " seed " << seed;
      ASSERT_EQ(back[i], expected[i]) << "index " << i << " seed " << seed;
    }
  }
}

TEST(Int8Test, NothingIsNoError) {
  EXPECT_TRUE(QuantizeInt8({}, nullptr, nullptr).ok());
  EXPECT_TRUE(QuantizeInt4({}, nullptr, nullptr).ok());
  DequantizeInt4(nullptr, nullptr, 0, nullptr);
}

}  // namespace
}  // namespace llmcore::core
