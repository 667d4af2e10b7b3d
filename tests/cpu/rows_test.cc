#include <cmath>

#include "tests/cpu/support.h"

namespace llmcore::cpu {
namespace {

class RowsTest : public testing::TestWithParam<KernelSet> {};
INSTANTIATE_TEST_SUITE_P(EveryKernelSet, RowsTest, testing::ValuesIn(KernelSets()), SetName);

TEST_P(RowsTest, NormAgreesWithDoubleReferenceInPlace) {
  const auto backend = MakeBackend(GetParam(), 2);
  for (const int64_t columns : {1, 7, 8, 64, 100, 2048}) {
    constexpr int64_t kRows = 11;
    const auto in = RandomValues(kRows * columns, 1);
    const auto weight = RandomValues(columns, 2);
    std::vector<double> reference(in.begin(), in.end());
    for (int64_t r = 0; r < kRows; ++r) {
      double squares = 0;
      for (int64_t i = 0; i < columns; ++i) {
        squares += reference[r * columns + i] * reference[r * columns + i];
      }
      const double root = std::sqrt(squares / static_cast<double>(columns) + 1e-5);
      for (int64_t i = 0; i < columns; ++i) reference[r * columns + i] *= weight[i] / root;
    }
    const Buffer x(*backend, kRows, columns, in);
    ASSERT_TRUE(
        backend
            ->Norm({},
                   {.in = x.matrix(), .weight = weight.data(), .epsilon = 1e-5f, .out = x.matrix()})
            .ok());
    EXPECT_LT(RelativeError(x.values(), reference), 1e-6) << columns;
  }
}

TEST_P(RowsTest, EmbedGivesTheDequantizedRows) {
  const auto backend = MakeBackend(GetParam(), 2);
  for (const int64_t columns : {1, 8, 100, 130, 256}) {
    constexpr int64_t kVocabulary = 70;
    const auto values = RandomValues(kVocabulary * columns, 3);
    const std::vector<int32_t> tokens = {69, 0, 63, 64, 5, 5};
    for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kBf16, WeightFormat::kF16,
                                      WeightFormat::kInt8, WeightFormat::kInt4}) {
      const Weight table = MakeWeight(*backend, format, kVocabulary, columns, values);
      const Buffer out(*backend, static_cast<int64_t>(tokens.size()), columns);
      ASSERT_TRUE(
          backend->Embed({}, {.table = table.packed, .tokens = tokens, .out = out.matrix()}).ok());
      for (size_t r = 0; r < tokens.size(); ++r) {
        for (int64_t k = 0; k < columns; ++k) {
          ASSERT_EQ(out.data()[r * columns + k], table.values[tokens[r] * columns + k])
              << core::WeightFormatName(format) << " token " << tokens[r] << " column " << k;
        }
      }
    }
  }
}

TEST_P(RowsTest, GatherTakesRowsInOrder) {
  const auto backend = MakeBackend(GetParam(), 3);
  const auto in = RandomValues(9 * 20, 4);
  const Buffer x(*backend, 9, 20, in);
  const std::vector<int32_t> rows = {8, 0, 8, 3};
  const Buffer out(*backend, 4, 20);
  ASSERT_TRUE(backend->GatherRows({}, {.in = x.matrix(), .rows = rows, .out = out.matrix()}).ok());
  for (size_t r = 0; r < rows.size(); ++r) {
    EXPECT_TRUE(std::equal(out.data() + r * 20, out.data() + r * 20 + 20, &in[rows[r] * 20]));
  }
}

TEST(CpuBackendTest, MemoryIsZeroedAlignedAndRefusedWithItsSize) {
  const auto backend = MakeBackend({Isa::kBaseline, false, ""}, 1);
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, uint64_t{100}, uint64_t{5} << 20}) {
    const auto memory = backend->Allocate(bytes);
    ASSERT_TRUE(memory.ok());
    EXPECT_EQ((*memory)->size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>((*memory)->data()) % 64, 0u);
    if (bytes == 0) continue;
    EXPECT_EQ(static_cast<char*>((*memory)->data())[bytes - 1], 0);
  }
  for (const uint64_t bytes : {uint64_t{1} << 50, ~uint64_t{0}, ~uint64_t{0} - 4095}) {
    const auto memory = backend->Allocate(bytes);
    ASSERT_EQ(memory.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(core::BytesNeeded(memory.status()), bytes);
  }
}

TEST(CpuBackendTest, OptionsAreChecked) {
  EXPECT_EQ(CpuBackend::Create({.threads = -1}).status().code(),
            absl::StatusCode::kInvalidArgument);
  const auto backend = CpuBackend::Create({});
  ASSERT_TRUE(backend.ok());
  EXPECT_EQ((*backend)->name(), "cpu");
}

TEST(CpuBackendTest, ImpossibleShapesTakeTheLargestSize) {
  const auto backend = MakeBackend({Isa::kBaseline, false, ""}, 1);
  constexpr int64_t kHuge = int64_t{1} << 47;
  EXPECT_EQ(backend->PackedWeightBytes({WeightFormat::kF32, WeightKind::kPlain, kHuge, kHuge}),
            ~uint64_t{0});
  EXPECT_EQ(backend->PackedWeightBytes({WeightFormat::kF32, WeightKind::kPlain, -1, 5}),
            ~uint64_t{0});
}

TEST(CpuBackendTest, CancelledStepsEndWithCancelled) {
  const auto backend = MakeBackend({Isa::kBaseline, false, ""}, 2);
  core::CancelToken cancel;
  cancel.Cancel();
  const Buffer x(*backend, 9, 20);
  StepContext context;
  context.cancel = &cancel;
  EXPECT_EQ(
      backend
          ->Norm(context, {.in = x.matrix(), .weight = x.data(), .epsilon = 0, .out = x.matrix()})
          .code(),
      absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace llmcore::cpu
