#include "lib/sampling/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tests/reference/sampling.h"
#include "tests/support/allocation_counter.h"

namespace llmcore::core {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> NormalLogits(size_t size, uint32_t seed, float spread) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(size);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

// The probabilities that a draw has, by the reference.
std::vector<double> Exact(const SamplingParams& params, const SampleInput& input) {
  const std::vector<int32_t> history(input.history.begin(), input.history.end());
  const std::vector<int32_t> generated(
      history.end() - static_cast<ptrdiff_t>(input.generated_count), history.end());
  reference::Logits logits(input.logits.begin(), input.logits.end());
  logits = reference::AddBias(logits, params.logit_bias);
  logits = reference::PenalizeRepetition(logits, static_cast<double>(params.repetition_penalty),
                                         history);
  logits = reference::PenalizeFrequencyAndPresence(
      logits, static_cast<double>(params.frequency_penalty),
      static_cast<double>(params.presence_penalty), generated);
  logits = reference::DivideByTemperature(logits, static_cast<double>(params.temperature));
  if (params.top_k > 0) logits = reference::TopK(logits, params.top_k);
  logits = reference::TopP(logits, static_cast<double>(params.top_p));
  logits = reference::MinP(logits, static_cast<double>(params.min_p));
  logits = reference::Typical(logits, static_cast<double>(params.typical_p));
  return reference::Softmax(logits);
}

// Upper regularized incomplete gamma function Q(a, x), by its continued fraction or series.
double GammaQ(double a, double x) {
  const double front = std::exp(-x + a * std::log(x) - std::lgamma(a));
  if (x < a + 1) {
    double term = 1 / a;
    double sum = term;
    for (int n = 1; n < 10000; ++n) sum += term *= x / (a + n);
    return 1 - front * sum;
  }
  double fraction = 0;
  for (int n = 10000; n > 0; --n) fraction = n * (n - a) / (x + 2 * n + 1 - a - fraction);
  return front / (x + 1 - a - fraction);
}

// p-value of `counts` under `probabilities`; cells that expect fewer than 5 are put together.
double ChiSquareP(const std::vector<int>& counts, const std::vector<double>& probabilities,
                  int draws) {
  double statistic = 0;
  double rest_expected = 0;
  double rest_count = 0;
  int cells = 0;
  const auto add = [&](double count, double expected) {
    statistic += (count - expected) * (count - expected) / expected;
    ++cells;
  };
  for (size_t i = 0; i < counts.size(); ++i) {
    const double expected = probabilities[i] * draws;
    if (expected < 5) {
      rest_expected += expected;
      rest_count += counts[i];
    } else {
      add(counts[i], expected);
    }
  }
  if (rest_expected >= 1) add(rest_count, rest_expected);
  return cells < 2 ? 1 : GammaQ((cells - 1) / 2.0, statistic / 2);
}

TEST(SamplerTest, ChiSquareItselfIsRight) {
  EXPECT_NEAR(GammaQ(0.5, 1.920729), 0.05, 1e-5);  // 3.841459 with 1 degree of freedom
  EXPECT_NEAR(GammaQ(5, 9.153519), 0.05, 1e-5);    // 18.307038 with 10
  EXPECT_NEAR(GammaQ(50, 74.72463), 0.001, 1e-6);  // 149.449253 with 100
}

TEST(SamplerTest, DrawsFollowTheExactDistribution) {
  struct Case {
    const char* name;
    SamplingParams params;
  };
  std::vector<Case> cases;
  const auto add = [&](const char* name) -> SamplingParams& {
    return cases.emplace_back(Case{name, {}}).params;
  };
  add("plain");
  add("cool").temperature = 0.7f;
  add("hot").temperature = 1.9f;
  add("top_k").top_k = 12;
  add("top_p").top_p = 0.8f;
  add("min_p").min_p = 0.1f;
  add("typical").typical_p = 0.6f;
  add("bias").logit_bias = {{0, 2.0f}, {3, -kInf}, {9, -1.0f}};
  SamplingParams& penalties = add("penalties");
  penalties.repetition_penalty = 1.3f;
  penalties.frequency_penalty = 0.4f;
  penalties.presence_penalty = 0.6f;
  SamplingParams& all = add("all");
  all = penalties;
  all.temperature = 0.9f;
  all.top_k = 40;
  all.top_p = 0.95f;
  all.min_p = 0.02f;
  all.typical_p = 0.9f;
  all.logit_bias = {{1, 1.0f}, {2, -1.0f}};

  constexpr int kDraws = 100000;
  for (const size_t vocabulary : {size_t{50}, size_t{700}}) {
    const std::vector<float> logits = NormalLogits(vocabulary, 7, 1.5f);
    const std::vector<int32_t> history = {1, 2, 3, 3, 4, 5, 5, 5, 6};
    Sampler sampler(static_cast<int32_t>(vocabulary));
    for (const Case& one : cases) {
      if (vocabulary > 50 && one.name != cases.front().name && one.name != cases.back().name) {
        continue;  // the same code over more tokens
      }
      ASSERT_TRUE(one.params.Validate().ok());
      SampleInput input{&one.params, {1234, vocabulary, 0}, logits, history, 5};
      const std::vector<double> exact = Exact(one.params, input);
      std::vector<int> counts(vocabulary, 0);
      for (int draw = 0; draw < kDraws; ++draw) {
        input.key.position = static_cast<uint64_t>(draw);
        const auto token = sampler.Sample(input);
        ASSERT_TRUE(token.ok()) << token.status();
        ++counts[static_cast<size_t>(token->id)];
      }
      for (size_t i = 0; i < vocabulary; ++i) {
        if (exact[i] == 0) {
          EXPECT_EQ(counts[i], 0) << one.name << " token " << i;
        }
      }
      EXPECT_GT(ChiSquareP(counts, exact, kDraws), 1e-3) << one.name << ", " << vocabulary;
    }
  }
}

TEST(SamplerTest, ADrawDependsOnItsKeyAlone) {
  const std::vector<float> logits = NormalLogits(1000, 3, 1);
  SamplingParams params;
  params.top_p = 0.9f;
  const auto draw = [&](Sampler* sampler, uint64_t seed, uint64_t request, uint64_t position) {
    return sampler->Sample({&params, {seed, request, position}, logits, {}, 0})->id;
  };
  Sampler forward(1000);
  std::vector<int32_t> first;
  for (uint64_t position = 0; position < 200; ++position) {
    first.push_back(draw(&forward, 42, 1, position));
  }
  Sampler backward(1000);
  for (uint64_t position = 200; position-- > 0;) {
    draw(&backward, 7, 9, position);
    ASSERT_EQ(draw(&backward, 42, 1, position), first[position]);
  }
  int equal = 0;
  for (uint64_t position = 0; position < 200; ++position) {
    equal += draw(&forward, 43, 1, position) == first[position];
  }
  EXPECT_LT(equal, 20);
}

TEST(SamplerTest, TheTokensOfASeedDoNotChange) {
  // Saved sessions and published transcripts rely on these: a change is a change of contract.
  const std::vector<float> logits(1000, 0.25f);
  const SamplingParams params;
  Sampler sampler(1000);
  std::vector<int32_t> tokens;
  for (uint64_t position = 0; position < 6; ++position) {
    tokens.push_back(sampler.Sample({&params, {2024, 0, position}, logits, {}, 0})->id);
  }
  std::vector<int32_t> expected;
  for (uint64_t position = 0; position < 6; ++position) {
    expected.push_back(static_cast<int32_t>(UniformDraw({2024, 0, position}) * 1000));
  }
  EXPECT_EQ(tokens, expected);
}

TEST(SamplerTest, TemperatureZeroTakesTheLowestOfTheLikeliest) {
  SamplingParams params;
  params.temperature = 0;
  params.top_k = 1;
  params.typical_p = 0.1f;
  Sampler sampler(5);
  const std::vector<float> logits = {1, 4, 2, 4, 3};
  EXPECT_EQ(sampler.Sample({&params, {1, 2, 3}, logits, {}, 0})->id, 1);
  params.logit_bias = {{1, -kInf}};
  EXPECT_EQ(sampler.Sample({&params, {1, 2, 3}, logits, {}, 0})->id, 3);
  params.logit_bias = {{0, kInf}, {2, kInf}};
  EXPECT_EQ(sampler.Sample({&params, {1, 2, 3}, logits, {}, 0})->id, 0);
}

TEST(SamplerTest, LogprobsAreThoseOfTheModel) {
  const std::vector<float> logits = NormalLogits(300, 5, 3);
  const std::vector<double> probabilities =
      reference::Softmax(reference::Logits(logits.begin(), logits.end()));
  SamplingParams params;
  params.temperature = 0.5f;
  params.logit_bias = {{8, kInf}};
  params.logprobs = 10;
  Sampler sampler(300);
  const auto token = sampler.Sample({&params, {1, 1, 1}, logits, {}, 0});
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->id, 8);
  EXPECT_NEAR(static_cast<double>(token->logprob), std::log(probabilities[8]), 1e-5);
  std::vector<size_t> order(300);
  for (size_t i = 0; i < 300; ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
  ASSERT_EQ(token->top.size(), 10u);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(static_cast<size_t>(token->top[i].id), order[i]);
    EXPECT_NEAR(static_cast<double>(token->top[i].logprob), std::log(probabilities[order[i]]),
                1e-5);
  }
}

TEST(SamplerTest, TopLogprobsOfEqualsAreTheLowestIds) {
  SamplingParams params;
  params.logprobs = 4;
  const std::vector<float> logits = {1, 2, 1, 1, 1, 2};
  Sampler sampler(6);
  const auto token = sampler.Sample({&params, {}, logits, {}, 0});
  std::vector<int32_t> ids;
  for (const TokenLogprob& one : token->top) ids.push_back(one.id);
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 5, 0, 2}));
  params.logprobs = 100;  // more than there are
  EXPECT_EQ(sampler.Sample({&params, {}, logits, {}, 0})->top.size(), 6u);
}

TEST(SamplerTest, UnusableLogitsAreErrorsThatNameThem) {
  SamplingParams params;
  Sampler sampler(40);
  std::vector<float> logits(40, 1.0f);
  logits[37] = std::numeric_limits<float>::quiet_NaN();
  const absl::Status nan = sampler.Sample({&params, {0, 0, 12}, logits, {}, 0}).status();
  EXPECT_EQ(nan.code(), absl::StatusCode::kInternal);
  EXPECT_NE(std::string(nan.message()).find("37"), std::string::npos) << nan;
  EXPECT_NE(std::string(nan.message()).find("12"), std::string::npos) << nan;
  logits[37] = kInf;
  EXPECT_EQ(sampler.Sample({&params, {}, logits, {}, 0}).status().code(),
            absl::StatusCode::kInternal);
  logits.assign(40, -kInf);
  EXPECT_EQ(sampler.Sample({&params, {}, logits, {}, 0}).status().code(),
            absl::StatusCode::kInternal);
  logits[5] = 0;
  EXPECT_EQ(sampler.Sample({&params, {}, logits, {}, 0})->id, 5);
}

TEST(SamplerTest, WhatDoesNotFitIsRefused) {
  SamplingParams params;
  Sampler sampler(4);
  const std::vector<float> logits = {1, 2, 3, 4};
  const auto code = [&](std::span<const float> values, size_t generated) {
    return sampler.Sample({&params, {}, values, {}, generated}).status().code();
  };
  EXPECT_EQ(code(std::span(logits).first(3), 0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(logits, 1), absl::StatusCode::kInvalidArgument);
  params.logit_bias = {{4, 1.0f}};
  EXPECT_EQ(code(logits, 0), absl::StatusCode::kInvalidArgument);
  params.logit_bias = {{0, -kInf}, {1, -kInf}, {2, -kInf}, {3, -kInf}};
  EXPECT_EQ(code(logits, 0), absl::StatusCode::kInvalidArgument);
  params.temperature = 0;
  EXPECT_EQ(code(logits, 0), absl::StatusCode::kInvalidArgument);
  Sampler none(0);
  EXPECT_FALSE(none.Sample({&params, {}, {}, {}, 0}).ok());
}

TEST(SamplerTest, DrawsAreAlwaysPossibleTokens) {
  Sampler sampler(257);
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    std::mt19937 random(seed);
    const auto unit = [&] { return static_cast<float>(random() % 1001) / 1000; };
    std::vector<float> logits = NormalLogits(257, seed, 20 * unit());
    for (float& logit : logits) {
      if (random() % 50 == 0) logit = -kInf;
      if (random() % 300 == 0) logit = random() % 2 == 0 ? 3e38f : -3e38f;
    }
    std::vector<int32_t> history(random() % 64);
    for (int32_t& token : history) token = static_cast<int32_t>(random() % 257);
    SamplingParams params;
    params.temperature = std::pow(10.0f, 4 * unit() - 3);
    params.top_k = static_cast<int32_t>(random() % 300);
    params.top_p = unit();
    params.min_p = unit() * unit();
    params.typical_p = std::max(0.001f, unit());
    params.repetition_penalty = 0.5f + unit();
    params.presence_penalty = unit();
    params.logprobs = static_cast<int32_t>(random() % 5);
    ASSERT_TRUE(params.Validate().ok());
    const auto token = sampler.Sample({&params, {seed, 1, 2}, logits, history, history.size() / 2});
    ASSERT_TRUE(token.ok()) << token.status() << " seed " << seed;
    ASSERT_TRUE(token->id >= 0 && token->id < 257) << "seed " << seed;
    ASSERT_GT(logits[static_cast<size_t>(token->id)], -kInf) << "seed " << seed;
    ASSERT_FALSE(std::isnan(token->logprob)) << "seed " << seed;
  }
}

TEST(SamplerTest, DrawsAllocateNothing) {
  const std::vector<float> logits = NormalLogits(5000, 1, 4);
  const std::vector<int32_t> history = {1, 2, 3, 4};
  SamplingParams params;
  params.top_k = 500;
  params.top_p = 0.9f;
  params.min_p = 0.001f;
  params.typical_p = 0.9f;
  params.repetition_penalty = 1.1f;
  params.frequency_penalty = 0.5f;
  params.logit_bias = {{4, 1.0f}};
  params.logprobs = 20;
  Sampler sampler(5000);
  const uint64_t before = test::AllocationCount();
  for (uint64_t position = 0; position < 20; ++position) {
    ASSERT_TRUE(sampler.Sample({&params, {1, 1, position}, logits, history, 2}).ok());
  }
  EXPECT_EQ(test::AllocationCount(), before);
}

}  // namespace
}  // namespace llmcore::core
