// Sample, of backends that have it: the tokens and log-probabilities of lib/sampling to the bit,
// and the distribution of the references in double precision.
#include "tests/reference/sampling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "lib/sampling/device_draw.h"
#include "lib/sampling/processors.h"
#include "tests/conformance/backends.h"
#include "tests/conformance/harness.h"

namespace llmcore::conformance {
namespace {

using core::DrawnToken;
using core::SampledToken;
using core::SamplingParams;
using core::TokenDraw;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr double kLargestUniform = 1 - 0x1p-53;

using Rows = std::vector<std::vector<float>>;
using Sizes = std::vector<size_t>;

// Wide, usual, peaked, of few distinct values, flat, masked, with values at the ends of f32.
std::vector<float> RandomLogits(size_t size, uint32_t kind, Random* random) {
  std::normal_distribution<float> normal(0, kind == 0 ? 8.0f : 2.0f);
  std::vector<float> logits(size);
  for (float& logit : logits) {
    logit = normal(*random);
    if (kind == 3) logit = std::round(logit);
    if (kind == 4) logit = 0.25f;
    if (kind == 5 && Below(random, 3) > 0) logit = -kInf;
    if (kind == 6 && Below(random, 7) == 0) logit = Below(random, 2) == 0 ? 3e38f : -3e38f;
    if (kind == 7 && Below(random, 4) == 0) logit = Below(random, 2) == 0 ? 0.0f : -0.0f;
  }
  if (kind == 2) logits[static_cast<size_t>(Below(random, static_cast<int32_t>(size)))] = 30;
  logits[static_cast<size_t>(Below(random, static_cast<int32_t>(size)))] = 1;
  return logits;
}

SamplingParams RandomParams(size_t vocabulary, Random* random) {
  const auto unit = [&] { return static_cast<float>(Below(random, 1001)) / 1000; };
  SamplingParams params;
  const float temperatures[] = {0, 1, 0.7f, 1.9f, 0.01f, 1e-30f, 50};
  params.temperature = temperatures[Below(random, 7)];
  if (Below(random, 2) == 0) params.top_k = Below(random, static_cast<int32_t>(vocabulary) + 3);
  if (Below(random, 3) == 0) params.top_k = 1 + Below(random, 50);
  if (Below(random, 2) == 0) params.top_p = unit();
  if (Below(random, 8) == 0) params.top_p = 1 - 0x1p-24f;
  if (Below(random, 3) == 0) params.min_p = unit() * unit();
  EXPECT_TRUE(params.Validate().ok());
  return params;
}

// What lib/sampling draws with `draw`, whose uniform number may be any.
int32_t DrawOnHost(std::vector<float> logits, const TokenDraw& draw, float min_p) {
  std::vector<int32_t> ids(logits.size());
  std::vector<float> weights(logits.size());
  std::vector<float> scores(logits.size());
  core::Candidates candidates{logits.data(), ids.data(), weights.data(), scores.data(), 0};
  core::GatherCandidates(logits, &candidates);
  core::ApplyTemperature(draw.temperature, &candidates);
  if (draw.top_k > 0) core::KeepTopK(draw.top_k, &candidates);
  core::KeepTopP(draw.top_p, &candidates);
  core::KeepMinP(min_p, &candidates);
  core::ComputeWeights(&candidates);
  return ids[core::DrawIndex({weights.data(), candidates.size}, draw.uniform)];
}

uint32_t Bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

class SamplingConformanceTest : public testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override {
    auto created = GetParam().maker->create(GetParam().threads);
    ASSERT_TRUE(created.ok()) << created.status();
    harness_ = std::make_unique<Harness>(*std::move(created), AmpleLimits());
  }

  // In one call. Nothing beside the rows is written.
  std::vector<DrawnToken> Sample(const Rows& rows, const std::vector<TokenDraw>& draws) {
    const size_t vocabulary = rows[0].size();
    std::vector<float> values;
    for (const std::vector<float>& row : rows) values.insert(values.end(), row.begin(), row.end());
    const core::Matrix logits = harness_->NewMatrix(rows.size(), vocabulary);
    EXPECT_TRUE(
        harness_->backend().CopyToDevice(logits.data, std::as_bytes(std::span(values))).ok());
    const size_t draw_bytes = draws.size() * sizeof(TokenDraw);
    const auto memory =
        harness_->backend().AllocateHost(draw_bytes + (rows.size() + 1) * sizeof(DrawnToken));
    EXPECT_TRUE(memory.ok()) << memory.status();
    auto* lent = static_cast<std::byte*>((*memory)->data());
    std::memcpy(lent, draws.data(), draw_bytes);
    std::memset(lent + draw_bytes, 0xEE, (rows.size() + 1) * sizeof(DrawnToken));
    auto* tokens = reinterpret_cast<DrawnToken*>(lent + draw_bytes);
    const absl::Status status = harness_->backend().Sample(
        harness_->Context(), {logits, reinterpret_cast<const TokenDraw*>(lent), tokens});
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_TRUE(harness_->backend().Synchronize().ok());
    EXPECT_EQ(std::memcmp(lent, draws.data(), draw_bytes), 0);
    const auto* after = reinterpret_cast<const unsigned char*>(tokens + rows.size());
    EXPECT_TRUE(std::all_of(after, after + sizeof(DrawnToken),
                            [](unsigned char byte) { return byte == 0xEE; }));
    EXPECT_TRUE(harness_->GuardsAreIntact());
    std::vector<DrawnToken> drawn(tokens, tokens + rows.size());
    harness_->Clear();
    return drawn;
  }

  // Each row with its own parameters and position, against Sampler.
  void ExpectTheHosts(const Rows& rows, const std::vector<SamplingParams>& params) {
    std::vector<TokenDraw> draws;
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::optional<TokenDraw> draw = core::DeviceDraw(params[i], {7, 1, i});
      ASSERT_TRUE(draw.has_value());
      draws.push_back(*draw);
    }
    const std::vector<DrawnToken> drawn = Sample(rows, draws);
    core::Sampler sampler(static_cast<int32_t>(rows[0].size()));
    for (size_t i = 0; i < rows.size(); ++i) {
      SCOPED_TRACE(testing::Message()
                   << "row " << i << " of " << rows[i].size() << " logits, temperature "
                   << params[i].temperature << ", top_k " << params[i].top_k << ", top_p "
                   << params[i].top_p << ", min_p " << params[i].min_p);
      const auto expected = sampler.Sample({&params[i], {7, 1, i}, rows[i], {}, 0});
      const auto token = core::FinishDraw(drawn[i], i);
      ASSERT_EQ(token.status(), expected.status());
      if (!expected.ok()) continue;
      EXPECT_EQ(token->id, expected->id);
      EXPECT_EQ(Bits(token->logprob), Bits(expected->logprob))
          << token->logprob << " " << expected->logprob;
    }
  }

  std::unique_ptr<Harness> harness_;
};

TEST_P(SamplingConformanceTest, DrawsWhatTheHostDraws) {
  Random random(1);
  for (const size_t vocabulary : Sizes{1, 2, 3, 17, 31, 255, 256, 257, 1000, 1024, 4099}) {
    Rows rows;
    std::vector<SamplingParams> params;
    for (uint32_t i = 0; i < 24; ++i) {
      rows.push_back(RandomLogits(vocabulary, i % 8, &random));
      params.push_back(RandomParams(vocabulary, &random));
    }
    ExpectTheHosts(rows, params);
  }
}

TEST_P(SamplingConformanceTest, DrawsFromLargeVocabularies) {
  Random random(2);
  for (const size_t vocabulary : Sizes{32000, 128256, 151937, 524288}) {
    Rows rows;
    std::vector<SamplingParams> params;
    for (uint32_t i = 0; i < 8; ++i) {
      rows.push_back(RandomLogits(vocabulary, i, &random));
      params.push_back(RandomParams(vocabulary, &random));
    }
    params[4] = {};  // a flat distribution of all of them
    ExpectTheHosts(rows, params);
  }
  EXPECT_TRUE(harness_->backend().Samples(524288));
  EXPECT_FALSE(harness_->backend().Samples(524289));
}

TEST_P(SamplingConformanceTest, EqualLogitsAreCutByIdAndMass) {
  for (const size_t vocabulary : Sizes{8, 500, 5000}) {
    Rows rows;
    std::vector<SamplingParams> params;
    const auto add = [&](float level) -> SamplingParams& {
      rows.emplace_back(vocabulary, level);
      return params.emplace_back();
    };
    for (const float p : {0.0f, 0.001f, 0.37f, 0.5f, 0.999f}) add(-3).top_p = p;
    add(2).top_k = 3;
    add(2).min_p = 1;
    add(0).temperature = 0;
    SamplingParams& all = add(1);
    all.top_k = 2;
    all.top_p = 0.25f;
    all.min_p = 1;
    for (size_t i = 0; i < rows.size(); i += 2) rows[i][vocabulary / 2] += 0.5f;  // one above
    ExpectTheHosts(rows, params);
  }
}

// Numbers at the ends of [0, 1) and just beside what separates two tokens.
TEST_P(SamplingConformanceTest, DrawsWithAnyUniformNumber) {
  Random random(3);
  for (const size_t vocabulary : Sizes{4, 700, 3001}) {
    const std::vector<float> logits = RandomLogits(vocabulary, 1, &random);
    Rows rows;
    std::vector<TokenDraw> draws;
    std::vector<float> min_ps;
    for (int i = 0; i < 60; ++i) {
      SamplingParams params = RandomParams(vocabulary, &random);
      if (params.temperature == 0) params.temperature = 1;
      TokenDraw draw = *core::DeviceDraw(params, {1, 1, 1});
      const double numbers[] = {0, kLargestUniform, 0.25, 0.5, 0x1p-53};
      draw.uniform = i < 20 ? numbers[i % 5] : core::UniformDraw({1, 2, static_cast<uint64_t>(i)});
      rows.push_back(logits);
      draws.push_back(draw);
      min_ps.push_back(params.min_p);
    }
    const std::vector<DrawnToken> drawn = Sample(rows, draws);
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(drawn[i].id, DrawOnHost(logits, draws[i], min_ps[i])) << "row " << i;
    }
  }
}

// The token of a number is that at which the probabilities of the reference, added up in double,
// first exceed it.
TEST_P(SamplingConformanceTest, DrawsFollowTheReference) {
  Random random(4);
  int tokens = 0;
  for (uint32_t i = 0; i < 12; ++i) {
    const size_t vocabulary = 50 + 97 * i;
    const std::vector<float> logits = RandomLogits(vocabulary, i % 3, &random);
    SamplingParams params;
    params.temperature = i % 2 == 0 ? 0.8f : 1.4f;
    if (i % 3 == 0) params.top_k = 20;
    if (i % 4 != 0) params.top_p = 0.9f;
    if (i % 5 == 0) params.min_p = 0.02f;
    const TokenDraw draw = *core::DeviceDraw(params, {1, i, 1});
    reference::Logits exact(logits.begin(), logits.end());
    exact = reference::DivideByTemperature(exact, static_cast<double>(params.temperature));
    if (params.top_k > 0) exact = reference::TopK(exact, params.top_k);
    exact = reference::TopP(exact, static_cast<double>(params.top_p));
    exact = reference::MinP(exact, static_cast<double>(params.min_p));
    const std::vector<double> probabilities = reference::Softmax(exact);
    Rows rows;
    std::vector<TokenDraw> draws;
    for (int step = 0; step < 40; ++step) {
      rows.push_back(logits);
      draws.push_back(draw);
      draws.back().uniform = (step + 0.5) / 40;
    }
    const std::vector<DrawnToken> drawn = Sample(rows, draws);
    const std::vector<double> plain =
        reference::Softmax(reference::Logits(logits.begin(), logits.end()));
    for (size_t row = 0; row < rows.size(); ++row) {
      const auto id = static_cast<size_t>(drawn[row].id);
      double before = 0;
      for (size_t token = 0; token < id; ++token) before += probabilities[token];
      EXPECT_GT(probabilities[id], 0);
      EXPECT_GE(draws[row].uniform, before - 1e-6) << "row " << row << " of case " << i;
      EXPECT_LT(draws[row].uniform, before + probabilities[id] + 1e-6)
          << "row " << row << " of case " << i;
      EXPECT_NEAR(static_cast<double>(core::FinishDraw(drawn[row], 0)->logprob),
                  std::log(plain[id]), 1e-5);
      ++tokens;
    }
  }
  EXPECT_EQ(tokens, 480);
}

TEST_P(SamplingConformanceTest, UnusableLogitsAreRefusedAsOnTheHost) {
  Random random(5);
  for (const size_t vocabulary : Sizes{1, 40, 3000}) {
    Rows rows(6, RandomLogits(vocabulary, 1, &random));
    rows[1][vocabulary / 2] = kNan;
    rows[2][vocabulary - 1] = kInf;
    rows[3].assign(vocabulary, -kInf);
    rows[4][0] = -kNan;
    rows[4][vocabulary - 1] = kInf;
    ExpectTheHosts(rows, std::vector<SamplingParams>(rows.size()));
    SamplingParams greedy;
    greedy.temperature = 0;
    ExpectTheHosts(rows, std::vector<SamplingParams>(rows.size(), greedy));
  }
}

TEST_P(SamplingConformanceTest, ARowDoesNotDependOnTheOthers) {
  Random random(6);
  Rows rows;
  std::vector<TokenDraw> draws;
  for (uint32_t i = 0; i < 9; ++i) {
    rows.push_back(RandomLogits(777, i % 8, &random));
    draws.push_back(*core::DeviceDraw(RandomParams(777, &random), {5, 5, i}));
  }
  const std::vector<DrawnToken> together = Sample(rows, draws);
  for (size_t i = 0; i < rows.size(); ++i) {
    const DrawnToken alone = Sample({rows[i]}, {draws[i]})[0];
    EXPECT_EQ(std::memcmp(&alone, &together[i], sizeof(alone)), 0) << "row " << i;
  }
}

TEST_P(SamplingConformanceTest, NoRowsAreNothingToDo) {
  const core::Matrix none = harness_->NewMatrix(0, 100);
  EXPECT_TRUE(harness_->backend().Sample(harness_->Context(), {none, nullptr, nullptr}).ok());
}

std::vector<BackendCase> SamplingCases() {
  std::vector<BackendCase> cases;
  for (const BackendCase& one : BackendCases()) {
    const auto backend = one.maker->create(one.threads);
    if (backend.ok() && (*backend)->Samples(100)) cases.push_back(one);
  }
  return cases;
}

// There is none where only the CPU is: it samples by lib/sampling.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SamplingConformanceTest);
INSTANTIATE_TEST_SUITE_P(, SamplingConformanceTest, testing::ValuesIn(SamplingCases()),
                         [](const auto& test) { return NameOf(test.param); });

}  // namespace
}  // namespace llmcore::conformance
