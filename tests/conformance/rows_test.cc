// Norm and GatherRows.
#include <gtest/gtest.h>

#include <tuple>

#include "tests/conformance/backends.h"
#include "tests/conformance/harness.h"

namespace llmcore::conformance {
namespace {

using reference::Table;

constexpr double kTolerance = 1e-6;

class RowsConformanceTest : public testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override {
    auto created = GetParam().maker->create(GetParam().threads);
    ASSERT_TRUE(created.ok()) << created.status();
    harness_ = std::make_unique<Harness>(*std::move(created), AmpleLimits());
  }

  std::unique_ptr<Harness> harness_;
};

TEST_P(RowsConformanceTest, NormAgreesWithTheReference) {
  const std::tuple<size_t, size_t, double> shapes[] = {
      {0, 64, 1},  {1, 1, 1},    {1, 7, 1},       {3, 64, 1},    {2, 127, 1e-3},
      {5, 896, 1}, {1, 4096, 1}, {65, 200, 1000}, {9, 33, 1e-6}, {2, 16, 1e15}};
  uint32_t seed = 0;
  for (const auto& [rows, columns, spread] : shapes) {
    SCOPED_TRACE(testing::Message() << rows << " x " << columns << ", spread " << spread);
    Random random(++seed);
    const Table in = RandomTable(rows, columns, spread, &random);
    const std::vector<double> weight = RandomVector(columns, 1, 0.3, &random);
    for (const float epsilon : {1e-6f, 1e-5f}) {
      const Table expected = reference::RmsNorm(in, weight, static_cast<double>(epsilon));
      core::NormParams params;
      params.in = harness_->Upload(in);
      params.weight = harness_->Upload(weight);
      params.epsilon = epsilon;
      params.out = harness_->NewMatrix(rows, columns);
      ASSERT_TRUE(harness_->backend().Norm(harness_->Context(), params).ok());
      const std::vector<float> apart = harness_->Read(params.out);
      EXPECT_TRUE(Near(expected, apart, kTolerance, seed));
      params.out = params.in;
      ASSERT_TRUE(harness_->backend().Norm(harness_->Context(), params).ok());
      EXPECT_TRUE(SameBits(apart, harness_->Read(params.out)));
    }
    EXPECT_TRUE(harness_->GuardsAreIntact());
    harness_->Clear();
  }
}

TEST_P(RowsConformanceTest, NormOfZerosIsZero) {
  core::NormParams params;
  params.in = harness_->Upload(Table(3, 40));
  params.weight = harness_->Upload(std::vector<double>(40, 1.0));
  params.epsilon = 1e-6f;
  params.out = harness_->NewMatrix(3, 40);
  ASSERT_TRUE(harness_->backend().Norm(harness_->Context(), params).ok());
  EXPECT_EQ(harness_->Read(params.out), std::vector<float>(120, 0.0f));
}

TEST_P(RowsConformanceTest, GatherRowsCopiesExactly) {
  const std::pair<size_t, size_t> shapes[] = {{1, 1}, {5, 33}, {64, 896}, {300, 70}};
  for (const auto& [rows, columns] : shapes) {
    Random random(static_cast<uint32_t>(rows));
    const Table in = RandomTable(rows, columns, 1, &random);
    for (const size_t count : {size_t{0}, size_t{1}, rows}) {
      std::vector<int32_t> wanted(count);
      for (int32_t& row : wanted) row = Below(&random, static_cast<int32_t>(rows));
      core::GatherRowsParams params;
      params.in = harness_->Upload(in);
      params.rows = wanted;
      params.out = harness_->NewMatrix(count, columns);
      ASSERT_TRUE(harness_->backend().GatherRows(harness_->Context(), params).ok());
      EXPECT_TRUE(Near(reference::GatherRows(in, wanted), harness_->Read(params.out), 0, 0));
    }
    EXPECT_TRUE(harness_->GuardsAreIntact());
    harness_->Clear();
  }
}

INSTANTIATE_TEST_SUITE_P(, RowsConformanceTest, testing::ValuesIn(BackendCases()),
                         [](const auto& test) { return NameOf(test.param); });

}  // namespace
}  // namespace llmcore::conformance
