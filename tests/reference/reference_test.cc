// The references against values worked out by hand, and against the definitions in lib/tensor: two
// codes that were written apart must agree before a third is held against them.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "lib/tensor/float16.h"
#include "lib/tensor/int4.h"
#include "lib/tensor/int8.h"
#include "tests/reference/number_formats.h"
#include "tests/reference/operations.h"

namespace llmcore::reference {
namespace {

TEST(NumberFormatsTest, RoundingIsToNearestTiesToEven) {
  EXPECT_EQ(RoundToBf16(1 + 0x1p-8), 1);
  EXPECT_EQ(RoundToBf16(1 + 0x3p-8), 1 + 0x1p-6);
  EXPECT_EQ(RoundToBf16(1 + 0x1.01p-8), 1 + 0x1p-7);
  EXPECT_EQ(RoundToBf16(-0x1.FFp127), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(RoundToBf16(0x1p-134), 0);
  EXPECT_EQ(RoundToBf16(0x1.8p-133), 0x1p-132);
  EXPECT_EQ(RoundToF16(65519), 65504);
  EXPECT_EQ(RoundToF16(65520), std::numeric_limits<double>::infinity());
  EXPECT_EQ(RoundToF16(0x1.8p-24), 0x1p-23);
  EXPECT_EQ(Bf16Bits(1), 0x3F80);
  EXPECT_EQ(Bf16Bits(-0.0), 0x8000);
  EXPECT_EQ(Bf16Bits(0x1p-133), 1);
  EXPECT_EQ(F16Bits(-2), 0xC000);
  EXPECT_EQ(F16Bits(0x1p-24), 1);
  EXPECT_EQ(F16Bits(65504), 0x7BFF);
}

TEST(NumberFormatsTest, HeadsAreQuantizedOverARangeThatHoldsZero) {
  // A range of 3 in 15 steps of f16(0.2), rounded up; 0.5 is less than 2.5 of them.
  const QuantizedHead head = QuantizeHead({-1, 0, 2, 0.5}, 15);
  EXPECT_EQ(head.scale, 0x1.99cp-3);
  EXPECT_EQ(head.zero, 5);
  EXPECT_EQ(head.codes, (std::vector<int>{0, 5, 15, 7}));
  const std::vector<double> positive = DequantizeHead(QuantizeHead({255, 51, 0}, 255));
  EXPECT_EQ(positive, (std::vector<double>{255, 51, 0}));
  const std::vector<double> negative = DequantizeHead(QuantizeHead({-15, -3}, 15));
  EXPECT_EQ(negative, (std::vector<double>{-15, -3}));
  EXPECT_EQ(DequantizeHead(QuantizeHead({0, 0}, 255)), (std::vector<double>{0, 0}));
  EXPECT_EQ(QuantizeHead({1e-9, 0}, 255).scale, 0x1p-24);
  for (const double wild : {std::nan(""), std::numeric_limits<double>::infinity(), 1e30}) {
    for (const double value : DequantizeHead(QuantizeHead({wild, 1}, 255))) {
      EXPECT_TRUE(std::isnan(value)) << wild;
    }
  }
}

TEST(NumberFormatsTest, EveryBf16ReadsBack) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7F80) == 0x7F80) continue;
    const double value = Bf16Value(static_cast<uint16_t>(bits));
    ASSERT_EQ(RoundToBf16(value), value);
    ASSERT_EQ(Bf16Bits(value), bits);
  }
}

// Rows that stress scales: usual, tiny, subnormal, zero, with one large value, at ties.
std::vector<double> HardRow(uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> row(1 + random() % 400);
  const double spread = std::ldexp(1.0, static_cast<int>(random() % 270) - 140);
  for (double& value : row) {
    value = normal(random) * spread;
    if (seed % 5 == 1) value = std::round(normal(random) * 3) / 2;
    if (seed % 5 == 2 && random() % 2 == 0) value = 0;
    if (seed % 50 == 3) value = 0;
    value = RoundToBf16(static_cast<float>(value));
    if (!std::isfinite(value)) value = 1;
  }
  return row;
}

TEST(NumberFormatsTest, Int4AndInt8AgreeWithTheDefinitionInTheLibrary) {
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    const std::vector<double> row = HardRow(seed);
    std::vector<uint16_t> bf16;
    for (const double value : row) bf16.push_back(Bf16Bits(value));
    const QuantizedRow four = QuantizeInt4(row);
    const QuantizedRow eight = QuantizeInt8(row);
    const std::vector<double> dequantized = DequantizeInt4(four);
    for (size_t block = 0; block < four.scales.size(); ++block) {
      const size_t begin = block * 128;
      const auto count = static_cast<int64_t>(std::min<size_t>(128, row.size() - begin));
      int8_t codes[128];
      uint16_t scale = core::QuantizeInt4Block(&bf16[begin], count, codes);
      ASSERT_EQ(scale, Bf16Bits(four.scales[block])) << "seed " << seed;
      for (int64_t i = 0; i < count; ++i) {
        const size_t k = begin + static_cast<size_t>(i);
        ASSERT_EQ(codes[i], four.codes[k]) << "seed " << seed << " value " << row[k];

        ASSERT_EQ(core::DequantizeInt4Value(codes[i], scale), Bf16Bits(dequantized[k]))
            << "seed " << seed;
      }
      scale = core::QuantizeInt8Block(&bf16[begin], count, codes);
      ASSERT_EQ(scale, Bf16Bits(eight.scales[block])) << "seed " << seed;
      for (int64_t i = 0; i < count; ++i) {
        ASSERT_EQ(codes[i], eight.codes[begin + static_cast<size_t>(i)]) << "seed " << seed;
      }
    }
  }
}

TEST(NumberFormatsTest, ActivationsUseAllCodes) {
  std::vector<float> row(130, 0.0f);
  row[0] = 254;
  row[1] = -1;
  row[2] = 1;
  row[3] = 3;
  row[129] = 0x1p-101f;
  const QuantizedRow quantized = QuantizeActivations(row);
  EXPECT_EQ(quantized.scales, (std::vector<double>{2, 0}));
  EXPECT_EQ(quantized.codes[0], 127);
  EXPECT_EQ(quantized.codes[1], 0);  // -0.5
  EXPECT_EQ(quantized.codes[2], 0);
  EXPECT_EQ(quantized.codes[3], 2);  // 1.5
  EXPECT_EQ(quantized.codes[129], 0);
}

TEST(OperationsTest, LinearAddsBiasAndResidual) {
  Table in(1, 2);
  in.values = {1, 2};
  Table weight(3, 2);
  weight.values = {1, 0, 0, 1, 1, 1};
  EXPECT_EQ(Linear(in, weight, {}, {}).values, (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(Linear(in, weight, {10, 20, 30}, {100, 200, 300}).values,
            (std::vector<double>{111, 222, 333}));
}

TEST(OperationsTest, ActivationsHaveTheirKnownValues) {
  EXPECT_NEAR(Activate(Activation::kSilu, 1), 0.7310585786300049, 1e-15);
  EXPECT_NEAR(Activate(Activation::kGelu, 1), 0.8413447460685429, 1e-15);
  EXPECT_NEAR(Activate(Activation::kGeluTanh, 1), 0.8411919906082768, 1e-15);
}

TEST(OperationsTest, AttentionOfEqualKeysIsTheMeanOfTheValues) {
  PagedCache cache{1, 3, 2, 1, 2, [](const auto& head) { return head; }, {}, {}};
  cache.Clear();
  Table qkv(3, 6);
  for (size_t row = 0; row < 3; ++row) {
    const double value = static_cast<double>(row);
    const std::vector<double> line = {1, 1, 0, 0, value, 10 * value};
    for (size_t i = 0; i < 6; ++i) qkv.at(row, i) = line[i];
  }
  Table angles(3, 2);
  for (size_t row = 0; row < 3; ++row) angles.at(row, 0) = 1;
  const std::vector<SequenceRun> runs = {{0, 3, 0, {2, 0}}};
  RopeAppend(1, {}, {}, 0, angles, 0, runs, &qkv, &cache);
  EXPECT_EQ(Attention(qkv, 1, 1, 0, 0, runs, cache).values,
            (std::vector<double>{0, 0, 0.5, 5, 1, 10}));
  EXPECT_EQ(Attention(qkv, 1, 1, 2, 0, runs, cache).values,
            (std::vector<double>{0, 0, 0.5, 5, 1.5, 15}));
}

TEST(OperationsTest, RotationTurnsPairsOfHalves) {
  PagedCache cache{1, 1, 1, 1, 4, [](const auto& head) { return head; }, {}, {}};
  cache.Clear();
  Table qkv(1, 12);
  qkv.values = {1, 2, 3, 4, 1, 0, 0, 0, 7, 7, 7, 7};
  Table angles(1, 4);
  angles.values = {0, 1, 1, 0};  // a quarter turn of the first pair, none of the second
  RopeAppend(1, {}, {}, 0, angles, 0, {{0, 1, 0, {0}}}, &qkv, &cache);
  EXPECT_EQ(std::vector<double>(qkv.values.begin(), qkv.values.begin() + 4),
            (std::vector<double>{-3, 2, 1, 4}));
  EXPECT_EQ(cache.keys, (std::vector<double>{0, 0, 1, 0}));
  EXPECT_EQ(cache.values, (std::vector<double>{7, 7, 7, 7}));
}

}  // namespace
}  // namespace llmcore::reference
