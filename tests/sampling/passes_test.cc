#include "lib/sampling/passes.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace llmcore::core {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<Isa> Present() {
  std::vector<Isa> sets;
  for (const Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512}) {
    if (DetectCpuFeatures().Has(isa)) sets.push_back(isa);
  }
  return sets;
}

// Lengths around those of vectors and blocks, then a vocabulary.
std::vector<size_t> Lengths() {
  std::vector<size_t> lengths(600);
  for (size_t i = 0; i < lengths.size(); ++i) lengths[i] = i;
  lengths.push_back(128256);
  return lengths;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(PassesTest, AllSetsHaveTheSameBits) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 6);
  const Passes& plain = PassesOf(Isa::kBaseline);
  for (const size_t count : Lengths()) {
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    if (count > 2) values[count / 2] = count % 2 == 0 ? -kInf : -200.0f;
    const float largest = plain.max(values.data(), count);
    std::vector<float> exps(count), weights(count), shifted = values;
    const double exp_sum = plain.exp_and_sum(values.data(), count, largest, exps.data());
    const double weight_sum = plain.weigh(values.data(), count, largest, weights.data());
    plain.shift_and_divide(shifted.data(), count, largest, 0.7f);
    for (const Isa isa : Present()) {
      SCOPED_TRACE(testing::Message() << count << " values, " << IsaName(isa));
      const Passes& passes = PassesOf(isa);
      // One more behind each, that must stay.
      std::vector<float> out(count + 1, 42.0f);
      EXPECT_EQ(std::bit_cast<uint32_t>(passes.max(values.data(), count)),
                std::bit_cast<uint32_t>(largest));
      EXPECT_EQ(passes.exp_and_sum(values.data(), count, largest, out.data()), exp_sum);
      EXPECT_TRUE(SameBits(exps, out));
      EXPECT_EQ(out[count], 42.0f);
      EXPECT_EQ(passes.weigh(values.data(), count, largest, out.data()), weight_sum);
      EXPECT_TRUE(SameBits(weights, out));
      EXPECT_EQ(out[count], 42.0f);
      EXPECT_EQ(passes.sum_weights(weights.data(), count), weight_sum);
      std::copy(values.begin(), values.end(), out.begin());
      passes.shift_and_divide(out.data(), count, largest, 0.7f);
      EXPECT_TRUE(SameBits(shifted, out));
      EXPECT_EQ(out[count], 42.0f);
    }
  }
}

TEST(PassesTest, OneValueIsSeenWhereverItIs) {
  for (const Isa isa : Present()) {
    const Passes& passes = PassesOf(isa);
    for (const size_t count : {1, 3, 16, 17, 63, 64, 65, 200}) {
      std::vector<float> values(count, -2.0f);
      EXPECT_EQ(passes.max(values.data(), count), -2.0f);
      EXPECT_TRUE(passes.all_at_most(values.data(), count, -2.0f));
      EXPECT_TRUE(passes.all_above(values.data(), count, -kInf));
      for (size_t i = 0; i < count; ++i) {
        values[i] = 3.0f;
        EXPECT_EQ(passes.max(values.data(), count), 3.0f) << i << " of " << count;
        EXPECT_FALSE(passes.all_at_most(values.data(), count, 2.0f)) << i << " of " << count;
        values[i] = kNan;
        EXPECT_FALSE(passes.all_at_most(values.data(), count, 2.0f)) << i << " of " << count;
        values[i] = -kInf;
        EXPECT_FALSE(passes.all_above(values.data(), count, -kInf)) << i << " of " << count;
        values[i] = -2.0f;
      }
    }
    EXPECT_EQ(passes.max(nullptr, 0), -kInf);
    const std::vector<float> zeros = {-0.0f, 0.0f, -0.0f};
    EXPECT_FALSE(std::signbit(passes.max(zeros.data(), 1)));
    EXPECT_FALSE(std::signbit(passes.max(zeros.data(), 3)));
  }
}

TEST(PassesTest, TheWidestSetIsTaken) {
  EXPECT_EQ(BestIsa(), DetectCpuFeatures().best());
  EXPECT_EQ(&WidestPasses(), &PassesOf(DetectCpuFeatures().best()));
}

}  // namespace
}  // namespace llmcore::core
