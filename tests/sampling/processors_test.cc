#include "lib/sampling/processors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include "tests/reference/sampling.h"

namespace llmcore::core {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// Candidates and the memory behind them.
struct Pool {
  explicit Pool(const std::vector<float>& values)
      : logits(values), ids(values.size()), weights(values.size()), scores(values.size()) {
    candidates = {logits.data(), ids.data(), weights.data(), scores.data(), 0};
    GatherCandidates(logits, &candidates);
  }
  std::vector<int32_t> Ids() const { return {candidates.ids, candidates.ids + candidates.size}; }

  std::vector<float> logits;
  std::vector<int32_t> ids;
  std::vector<float> weights;
  std::vector<float> scores;
  Candidates candidates;
};

using Ids = std::vector<int32_t>;

reference::Logits Wide(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

Ids Possible(const reference::Logits& logits) {
  Ids ids;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -std::numeric_limits<double>::infinity()) {
      ids.push_back(static_cast<int32_t>(i));
    }
  }
  return ids;
}

bool Contains(const Ids& outer, const Ids& inner) {
  return std::includes(outer.begin(), outer.end(), inner.begin(), inner.end());
}

// Distributions that real logits and bad days look like: wide, peaked, flat, few distinct values,
// masked, of one token, of a large vocabulary.
std::vector<float> RandomLogits(std::mt19937* random) {
  const size_t size = 1 + (*random)() % ((*random)() % 100 == 0 ? 60000 : 600);
  const uint32_t kind = (*random)() % 5;
  std::normal_distribution<float> normal(0, kind == 0 ? 8.0f : 1.5f);
  std::vector<float> logits(size);
  for (float& logit : logits) {
    logit = normal(*random);
    if (kind == 2) logit = std::round(logit);
    if (kind == 3) logit = 2.5f;
    if (kind == 4 && (*random)() % 3 == 0) logit = -kInf;
  }
  logits[(*random)() % size] = 1.0f;
  return logits;
}

TEST(ProcessorsTest, ExpAgreesWithDouble) {
  std::vector<float> values;
  for (float x = 0; x > -86.9f; x -= 0.00137f) values.push_back(x);
  std::vector<float> out(values.size());
  double sum = 0;
  const double result = ExpAndSum(values, 0, out.data());
  for (size_t i = 0; i < values.size(); ++i) {
    const double expected = std::exp(static_cast<double>(values[i]));
    ASSERT_NEAR(static_cast<double>(out[i]) / expected, 1, 3 * 0x1p-23) << values[i];
    sum += expected;
  }
  EXPECT_NEAR(result / sum, 1, 1e-6);
  const std::vector<float> low = {-90.0f, -1e30f, -kInf};
  ExpAndSum(low, 0, out.data());
  EXPECT_EQ(std::vector<float>(out.begin(), out.begin() + 3), std::vector<float>(3, 0.0f));
}

TEST(ProcessorsTest, KthLargestAgreesWithSorting) {
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    std::mt19937 random(seed);
    std::vector<float> values = RandomLogits(&random);
    if (seed % 3 == 0) values[0] = -0.0f;
    const size_t k = 1 + random() % std::min<size_t>(values.size(), seed % 2 == 0 ? 60000 : 50);
    const float found = KthLargest(values, k);
    std::sort(values.rbegin(), values.rend());
    ASSERT_EQ(found, values[k - 1]) << "seed " << seed;
  }
}

TEST(ProcessorsTest, BiasAndPenaltiesAgreeWithTheReference) {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const std::vector<float> original = RandomLogits(&random);
    const auto size = static_cast<uint32_t>(original.size());
    std::vector<std::pair<int32_t, float>> bias;
    for (uint32_t id = random() % 9; id < size; id += 1 + random() % 40) {
      const float values[] = {kInf, -kInf, 3.5f, -0.25f};
      bias.emplace_back(static_cast<int32_t>(id), values[random() % 4]);
    }
    Ids history;
    for (uint32_t i = random() % 200; i > 0; --i) {
      history.push_back(static_cast<int32_t>(random() % (size + 3)) - 1);
    }
    const auto penalty = 0.5f + static_cast<float>(random() % 100) / 50;
    const float frequency = static_cast<float>(random() % 100) / 25 - 2;
    const float presence = static_cast<float>(random() % 100) / 25 - 2;
    const Ids generated(history.begin() + static_cast<ptrdiff_t>(history.size() / 2),
                        history.end());

    std::vector<float> logits = original;
    std::vector<int32_t> counts(size, 0);
    ApplyLogitBias(bias, logits);
    ApplyRepetitionPenalty(penalty, history, counts, logits);
    ApplyFrequencyAndPresencePenalties(frequency, presence, generated, counts, logits);
    reference::Logits expected = reference::AddBias(Wide(original), bias);
    expected = reference::PenalizeRepetition(expected, static_cast<double>(penalty), history);
    expected = reference::PenalizeFrequencyAndPresence(expected, static_cast<double>(frequency),
                                                       static_cast<double>(presence), generated);
    for (size_t i = 0; i < size; ++i) {
      if (std::isinf(expected[i])) {
        ASSERT_EQ(static_cast<double>(logits[i]), expected[i]) << "seed " << seed << " token " << i;
      } else {
        ASSERT_NEAR(static_cast<double>(logits[i]), expected[i], 2e-4)
            << "seed " << seed << " token " << i;
      }
    }
    ASSERT_EQ(counts, std::vector<int32_t>(size, 0));
  }
}

TEST(ProcessorsTest, RepetitionPenaltyCountsATokenOnce) {
  std::vector<float> logits = {2, -2, 0, 3};
  std::vector<int32_t> seen(4, 0);
  ApplyRepetitionPenalty(2, Ids{0, 1, 1, 0, 2}, seen, logits);
  EXPECT_EQ(logits, (std::vector<float>{1, -4, 0, 3}));
}

TEST(ProcessorsTest, TemperatureScalesAndNeverOverflows) {
  Pool pool({1, 3, -2});
  ApplyTemperature(0.5f, &pool.candidates);
  EXPECT_EQ(pool.logits, (std::vector<float>{-4, 0, -10}));
  Pool cold({1e38f, 3e38f, -3e38f, 3e38f});
  ApplyTemperature(1e-38f, &cold.candidates);
  EXPECT_EQ(cold.logits, (std::vector<float>{-kInf, 0, -kInf, 0}));
}

TEST(ProcessorsTest, TruncationsAgreeWithTheReference) {
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    std::mt19937 random(seed);
    const std::vector<float> logits = RandomLogits(&random);
    const auto k = static_cast<int32_t>(1 + random() % (logits.size() + 5));
    const float p = static_cast<float>(random() % 1001) / 1000;
    const float typical_p = std::max(p, 0.001f);

    Pool top_k(logits);
    KeepTopK(k, &top_k.candidates);
    ASSERT_EQ(top_k.Ids(), Possible(reference::TopK(Wide(logits), k))) << "seed " << seed;

    // Sums rounded otherwise may move the cut by the token at it: the result lies between those
    // of masses a little smaller and a little larger.
    const auto check = [&](const char* name, const Ids& ids, auto keep, float mass) {
      const auto wide = static_cast<double>(mass);
      const Ids least = Possible(keep(Wide(logits), wide * (1 - 2e-6)));
      const Ids most = Possible(keep(Wide(logits), wide * (1 + 2e-6)));
      ASSERT_TRUE(Contains(ids, least) && Contains(most, ids))
          << name << " seed " << seed << " mass " << mass << " kept " << ids.size() << " of "
          << logits.size() << ", expected " << least.size() << " to " << most.size();
    };
    Pool top_p(logits);
    KeepTopP(p, &top_p.candidates);
    check("top_p", top_p.Ids(), reference::TopP, p);
    Pool typical(logits);
    KeepTypical(typical_p, &typical.candidates);
    check("typical", typical.Ids(), reference::Typical, typical_p);
    Pool min_p(logits);
    KeepMinP(p, &min_p.candidates);
    const auto wide_p = static_cast<double>(p);
    ASSERT_TRUE(Contains(min_p.Ids(), Possible(reference::MinP(Wide(logits), wide_p * 1.000002))));
    ASSERT_TRUE(Contains(Possible(reference::MinP(Wide(logits), wide_p * 0.999998)), min_p.Ids()));
  }
}

TEST(ProcessorsTest, TopKBeyondTheVocabularyKeepsAll) {
  Pool pool({1, 2, 3});
  KeepTopK(4, &pool.candidates);
  EXPECT_EQ(pool.Ids(), (Ids{0, 1, 2}));
  KeepTopK(std::numeric_limits<int32_t>::max(), &pool.candidates);
  EXPECT_EQ(pool.Ids(), (Ids{0, 1, 2}));
}

TEST(ProcessorsTest, TopKKeepsTiesOfTheLast) {
  Pool pool({1, 5, 3, 3, 3, 0});
  KeepTopK(2, &pool.candidates);
  EXPECT_EQ(pool.Ids(), (Ids{1, 2, 3, 4}));
}

TEST(ProcessorsTest, TopPOfZeroKeepsOneAndOfOneKeepsAll) {
  Pool none({1, 5, 5, 3});
  KeepTopP(0, &none.candidates);
  EXPECT_EQ(none.Ids(), (Ids{1}));
  Pool all({1, 5, -200, 3});
  KeepTopP(1, &all.candidates);
  EXPECT_EQ(all.Ids(), (Ids{0, 1, 2, 3}));
}

TEST(ProcessorsTest, EqualLogitsAreCutByIdAndMass) {
  Pool half(std::vector<float>(8, -3.0f));
  KeepTopP(0.5f, &half.candidates);
  EXPECT_EQ(half.Ids(), (Ids{0, 1, 2, 3}));
  Pool typical(std::vector<float>(8, -3.0f));
  KeepTypical(0.2f, &typical.candidates);
  EXPECT_EQ(typical.candidates.size, 8u);  // all are as typical as the last one needed
  Pool min_p(std::vector<float>(8, -3.0f));
  KeepMinP(1, &min_p.candidates);
  EXPECT_EQ(min_p.candidates.size, 8u);
}

TEST(ProcessorsTest, ASingleTokenSurvivesEverything) {
  Pool pool({-7});
  KeepTopK(1, &pool.candidates);
  KeepTopP(0, &pool.candidates);
  KeepMinP(1, &pool.candidates);
  KeepTypical(1e-6f, &pool.candidates);
  EXPECT_EQ(pool.Ids(), (Ids{0}));
}

TEST(ProcessorsTest, InfiniteLogitsForceAndForbid) {
  Pool forced({1, kInf, -kInf, kInf});
  EXPECT_EQ(forced.Ids(), (Ids{1, 3}));
  EXPECT_EQ(forced.logits[0], 0);
  EXPECT_EQ(forced.logits[1], 0);
  Pool forbidden({-kInf, 2, -kInf});
  EXPECT_EQ(forbidden.Ids(), (Ids{1}));
  EXPECT_EQ(Pool({-kInf, -kInf}).candidates.size, 0u);
}

TEST(ProcessorsTest, WeightsAddUpExactlyInAnyOrder) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal(0, 6);
  std::vector<float> logits(100003);
  for (float& logit : logits) logit = normal(random);
  Pool pool(logits);
  const double sum = ComputeWeights(&pool.candidates);
  const float largest = *std::max_element(logits.begin(), logits.end());
  int tiny = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto weight = static_cast<double>(pool.weights[i]);
    const double exact = std::exp(static_cast<double>(logits[i] - largest));
    ASSERT_NEAR(weight, exact, 0x1p-35 + exact * 3 * 0x1p-23) << i;
    ASSERT_EQ(std::floor(weight * 0x1p34), weight * 0x1p34) << i;
    tiny += exact < 0x1p-36;
  }
  ASSERT_GT(tiny, 100);  // some are rounded away
  std::shuffle(pool.weights.begin(), pool.weights.end(), random);
  double other = 0;
  for (const float weight : pool.weights) other += static_cast<double>(weight);
  EXPECT_EQ(sum, other);
}

TEST(ProcessorsTest, DrawsSkipTokensWithoutWeight) {
  std::vector<float> weights(1000, 0.0f);
  weights[3] = 1;
  weights[700] = 1;
  EXPECT_EQ(DrawIndex(weights, 0), 3u);
  EXPECT_EQ(DrawIndex(weights, 0.4999), 3u);
  EXPECT_EQ(DrawIndex(weights, 0.5), 700u);
  EXPECT_EQ(DrawIndex(weights, 1 - 0x1p-53), 700u);
}

}  // namespace
}  // namespace llmcore::core
