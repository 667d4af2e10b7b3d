#include <algorithm>
#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "tests/cpu/support.h"

namespace llmcore::cpu {
namespace {

using core::WorkControl;
using testing::HasSubstr;

constexpr WeightFormat kFormats[] = {WeightFormat::kF32, WeightFormat::kBf16, WeightFormat::kF16,
                                     WeightFormat::kInt8, WeightFormat::kInt4};

// Blocks of 128 of every nasty kind: any finite pattern, subnormals, zeros of both signs, one
// exponent, ties of the quotient, the largest values.
std::vector<uint16_t> AdversarialBf16(int64_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<uint16_t> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    const auto random = static_cast<uint16_t>(generator());
    const auto sign = static_cast<uint16_t>(random & 0x8000u);
    uint16_t v = random;
    switch (i / 128 % 8) {
      case 0:
        break;
      case 1:
        v = random & 0x80FFu;  // subnormal and the least normal
        break;
      case 2:
        v = sign;
        break;
      case 3:
        v = static_cast<uint16_t>(sign | 0x3F00u | (random & 0xFFu));
        break;
      case 4:  // n / 2 with n up to 14: ties where the scale is 1
        v = static_cast<uint16_t>(sign | core::F32ToBf16(static_cast<float>(random % 15) * 0.5f));
        break;
      case 5:
        v = static_cast<uint16_t>(sign | 0x7F00u | (random & 0x7Fu));
        break;
      case 6:
        v = static_cast<uint16_t>(sign | (random & 7u));  // scales that round to zero
        break;
      default:
        v = static_cast<uint16_t>(sign | core::F32ToBf16(static_cast<float>(random % 255) * 0.5f));
    }
    if ((v & 0x7F80u) == 0x7F80u) v = static_cast<uint16_t>(v & 0xFF7Fu);
    values[static_cast<size_t>(i)] = v;
  }
  return values;
}

template <typename T>
SourceMatrix Source(const std::vector<T>& values, DType dtype, int64_t rows, int64_t columns) {
  return {reinterpret_cast<const std::byte*>(values.data()), dtype, rows, columns};
}

std::vector<unsigned char> Pack(Backend& backend, const WeightShape& shape,
                                const std::vector<SourceMatrix>& parts) {
  std::vector<unsigned char> bytes(backend.PackedWeightBytes(shape));
  const absl::Status status = backend.PackWeight(shape, parts, bytes.data(), {});
  EXPECT_TRUE(status.ok()) << status;
  return bytes;
}

class PackTest : public testing::TestWithParam<KernelSet> {};
INSTANTIATE_TEST_SUITE_P(EveryKernelSet, PackTest, testing::ValuesIn(KernelSets()), SetName);

TEST_P(PackTest, QuantizesLikeTheScalarDefinitionOnAdversarialBits) {
  const auto backend = MakeBackend(GetParam(), 2);
  for (uint32_t seed = 1; seed <= 4; ++seed) {
    for (const int64_t columns : {1, 7, 127, 128, 130, 1024, 1100}) {
      const int64_t rows = seed == 1 ? 200 : 65;
      const auto values = AdversarialBf16(rows * columns, seed);
      const auto scale_count = static_cast<int64_t>(core::Int4ScaleCount(columns));
      std::vector<uint16_t> scales(static_cast<size_t>(rows * scale_count));
      for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
        const bool int4 = format == WeightFormat::kInt4;
        std::vector<uint8_t> codes(static_cast<size_t>(rows) *
                                   (int4 ? core::Int4PackedBytes(columns) : columns));
        const absl::Status status =
            int4 ? core::QuantizeInt4Rows(values.data(), rows, columns, codes.data(), scales.data())
                 : core::QuantizeInt8Rows(values.data(), rows, columns,
                                          reinterpret_cast<int8_t*>(codes.data()), scales.data());
        ASSERT_TRUE(status.ok()) << status;
        SourceMatrix quantized = Source(codes, DType::kU8, rows, columns);
        quantized.format = format;
        quantized.scales = reinterpret_cast<const std::byte*>(scales.data());
        const WeightShape shape = {format, WeightKind::kPlain, rows, columns};
        EXPECT_EQ(Pack(*backend, shape, {Source(values, DType::kBf16, rows, columns)}),
                  Pack(*backend, shape, {quantized}))
            << core::WeightFormatName(format) << " columns " << columns << " seed " << seed;
      }
    }
  }
}

TEST_P(PackTest, EverySourceTypeAndAlignmentGivesTheSameBytes) {
  const auto backend = MakeBackend(GetParam(), 1);
  constexpr int64_t kRows = 70;
  constexpr int64_t kColumns = 133;
  // Multiples of 1/64 below 2 are exact in every format.
  std::vector<float> f32(kRows * kColumns);
  std::mt19937 generator(5);
  for (float& v : f32) v = static_cast<float>(static_cast<int>(generator() % 255) - 127) / 64;
  std::vector<uint16_t> bf16;
  std::vector<uint16_t> f16;
  for (const float v : f32) {
    bf16.push_back(core::F32ToBf16(v));
    f16.push_back(core::F32ToF16(v));
  }
  std::vector<std::byte> odd(f32.size() * 4 + 1);
  std::memcpy(odd.data() + 1, f32.data(), f32.size() * 4);
  SourceMatrix unaligned = Source(f32, DType::kF32, kRows, kColumns);
  unaligned.data = odd.data() + 1;
  for (const WeightFormat format : kFormats) {
    const WeightShape shape = {format, WeightKind::kPlain, kRows, kColumns};
    const auto expected = Pack(*backend, shape, {Source(f32, DType::kF32, kRows, kColumns)});
    EXPECT_EQ(Pack(*backend, shape, {Source(bf16, DType::kBf16, kRows, kColumns)}), expected);
    EXPECT_EQ(Pack(*backend, shape, {Source(f16, DType::kF16, kRows, kColumns)}), expected);
    EXPECT_EQ(Pack(*backend, shape, {unaligned}), expected);
  }
}

TEST_P(PackTest, F32AndF16SourcesAreRoundedToBf16BeforeTheyAreQuantized) {
  const auto backend = MakeBackend(GetParam(), 1);
  const auto f32 = RandomValues(65 * 300, 6);
  std::vector<uint16_t> rounded;
  std::vector<uint16_t> f16;
  std::vector<uint16_t> f16_rounded;
  for (const float v : f32) {
    rounded.push_back(core::F32ToBf16(v));
    f16.push_back(core::F32ToF16(v));
    f16_rounded.push_back(core::F32ToBf16(core::F16ToF32(f16.back())));
  }
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
    const WeightShape shape = {format, WeightKind::kPlain, 65, 300};
    EXPECT_EQ(Pack(*backend, shape, {Source(f32, DType::kF32, 65, 300)}),
              Pack(*backend, shape, {Source(rounded, DType::kBf16, 65, 300)}));
    EXPECT_EQ(Pack(*backend, shape, {Source(f16, DType::kF16, 65, 300)}),
              Pack(*backend, shape, {Source(f16_rounded, DType::kBf16, 65, 300)}));
  }
}

TEST_P(PackTest, PartsAreConcatenatedAndMayBeginInsideAPanel) {
  const auto backend = MakeBackend(GetParam(), 2);
  constexpr int64_t kColumns = 200;
  const auto values = RandomValues(150 * kColumns, 7);
  for (const WeightFormat format : kFormats) {
    const WeightShape shape = {format, WeightKind::kPlain, 150, kColumns};
    const auto part = [&](int64_t first, int64_t rows) {
      return SourceMatrix{reinterpret_cast<const std::byte*>(values.data() + first * kColumns),
                          DType::kF32, rows, kColumns};
    };
    EXPECT_EQ(Pack(*backend, shape, {part(0, 90), part(90, 0), part(90, 30), part(120, 30)}),
              Pack(*backend, shape, {part(0, 150)}));
  }
}

TEST(PackErrors, BadValuesAreNamedByRowAndColumn) {
  const auto backend = MakeBackend(KernelSets().back(), 2);
  for (const WeightFormat format : kFormats) {
    for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
      auto values = RandomValues(300 * 40, 8);
      values[250 * 40 + 3] = bad;
      values[171 * 40 + 39] = bad;
      const WeightShape shape = {format, WeightKind::kPlain, 300, 40};
      std::vector<unsigned char> bytes(backend->PackedWeightBytes(shape));
      const SourceMatrix parts[] = {
          {reinterpret_cast<const std::byte*>(values.data()), DType::kF32, 100, 40},
          {reinterpret_cast<const std::byte*>(values.data() + 4000), DType::kF32, 200, 40}};
      const absl::Status status = backend->PackWeight(shape, parts, bytes.data(), {});
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_THAT(std::string(status.message()), HasSubstr("row 71, column 39 of part 1"));
    }
  }
}

TEST(PackErrors, ValuesTooLargeForTheFormatAreRefused) {
  const auto backend = MakeBackend(KernelSets().back(), 1);
  std::vector<unsigned char> bytes(1 << 16);
  const std::vector<float> large = {1.0f, 70000.0f};
  EXPECT_FALSE(backend
                   ->PackWeight({WeightFormat::kF16, WeightKind::kPlain, 1, 2},
                                std::vector{Source(large, DType::kF32, 1, 2)}, bytes.data(), {})
                   .ok());
  const std::vector<float> larger = {1.0f, std::numeric_limits<float>::max()};
  for (const WeightFormat format :
       {WeightFormat::kBf16, WeightFormat::kInt8, WeightFormat::kInt4}) {
    EXPECT_FALSE(backend
                     ->PackWeight({format, WeightKind::kPlain, 1, 2},
                                  std::vector{Source(larger, DType::kF32, 1, 2)}, bytes.data(), {})
                     .ok());
  }
}

TEST(PackErrors, PartsThatDoNotFitAreRefused) {
  const auto backend = MakeBackend(KernelSets().back(), 1);
  const std::vector<float> values(64, 1.0f);
  std::vector<unsigned char> bytes(1 << 16);
  const auto pack = [&](WeightShape shape, std::vector<SourceMatrix> parts) {
    return backend->PackWeight(shape, parts, bytes.data(), {}).code();
  };
  const auto four = Source(values, DType::kF32, 4, 4);
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(pack({WeightFormat::kF32, WeightKind::kPlain, 5, 4}, {four}), invalid);
  EXPECT_EQ(pack({WeightFormat::kF32, WeightKind::kPlain, 3, 4}, {four}), invalid);
  EXPECT_EQ(pack({WeightFormat::kF32, WeightKind::kPlain, 4, 5}, {four}), invalid);
  EXPECT_EQ(pack({WeightFormat::kF32, WeightKind::kGated, 4, 4}, {four}), invalid);
  EXPECT_EQ(pack({WeightFormat::kAuto, WeightKind::kPlain, 4, 4}, {four}), invalid);
  EXPECT_EQ(
      pack({WeightFormat::kF32, WeightKind::kPlain, 4, 4}, {Source(values, DType::kI64, 4, 4)}),
      invalid);
  SourceMatrix no_scales = four;
  no_scales.format = WeightFormat::kInt8;
  EXPECT_EQ(pack({WeightFormat::kInt8, WeightKind::kPlain, 4, 4}, {no_scales}), invalid);
}

TEST(PackControl, ReportsProgressAndStopsWhenAsked) {
  const auto backend = MakeBackend(KernelSets().back(), 2);
  const std::vector<float> values(4096 * 1024, 0.5f);  // 16 MB
  const WeightShape shape = {WeightFormat::kInt4, WeightKind::kPlain, 4096, 1024};
  std::vector<unsigned char> bytes(backend->PackedWeightBytes(shape));
  const std::vector<SourceMatrix> parts = {Source(values, DType::kF32, 4096, 1024)};
  uint64_t last = 0;
  int calls = 0;
  WorkControl control;
  control.progress = [&](absl::string_view, uint64_t done, uint64_t total) {
    EXPECT_EQ(total, values.size() * 4);
    EXPECT_GE(done, last);
    last = done;
    ++calls;
    return true;
  };
  ASSERT_TRUE(backend->PackWeight(shape, parts, bytes.data(), control).ok());
  EXPECT_EQ(last, values.size() * 4);
  EXPECT_GE(calls, 3);
  control.progress = [&](absl::string_view, uint64_t done, uint64_t) { return done == 0; };
  EXPECT_EQ(backend->PackWeight(shape, parts, bytes.data(), control).code(),
            absl::StatusCode::kCancelled);
  core::CancelToken cancel;
  cancel.Cancel();
  control = {};
  control.cancel = &cancel;
  EXPECT_EQ(backend->PackWeight(shape, parts, bytes.data(), control).code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace llmcore::cpu
