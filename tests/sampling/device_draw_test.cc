#include "lib/sampling/device_draw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace llmcore::core {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST(DeviceDrawTest, SaysWhatTheSamplerWouldUse) {
  SamplingParams params;
  params.temperature = 0.7f;
  params.top_k = 40;
  params.top_p = 0.9f;
  params.min_p = 0.05f;
  const DrawKey key{3, 4, 5};
  const auto draw = DeviceDraw(params, key);
  ASSERT_TRUE(draw.has_value());
  EXPECT_EQ(draw->temperature, 0.7f);
  EXPECT_EQ(draw->top_k, 40);
  EXPECT_EQ(draw->top_p, 0.9f);
  EXPECT_EQ(draw->least_score, std::log(0.05f));
  EXPECT_EQ(draw->uniform, UniformDraw(key));
  params.min_p = 0;
  EXPECT_EQ(DeviceDraw(params, key)->least_score, -kInf);
}

TEST(DeviceDrawTest, LeavesToTheHostWhatNeedsMoreThanTheLogits) {
  const std::function<void(SamplingParams*)> changes[] = {
      [](SamplingParams* p) { p->typical_p = 0.9f; },
      [](SamplingParams* p) { p->repetition_penalty = 1.1f; },
      [](SamplingParams* p) { p->frequency_penalty = 0.1f; },
      [](SamplingParams* p) { p->presence_penalty = -0.1f; },
      [](SamplingParams* p) {
        p->logit_bias = {{0, 0.0f}};
      },
      [](SamplingParams* p) { p->logprobs = 1; },
  };
  for (const auto& change : changes) {
    SamplingParams params;
    EXPECT_TRUE(DeviceDraw(params, {}).has_value());
    change(&params);
    EXPECT_FALSE(DeviceDraw(params, {}).has_value());
  }
  SamplingParams greedy;  // skips typical_p
  greedy.temperature = 0;
  greedy.typical_p = 0.5f;
  EXPECT_TRUE(DeviceDraw(greedy, {}).has_value());
}

TEST(DeviceDrawTest, WhatTheDeviceRefusesIsTheSamplersError) {
  const SamplingParams params;
  Sampler sampler(3);
  const auto refused = [&](std::vector<float> logits) {
    return sampler.Sample({&params, {0, 0, 9}, logits, {}, 0}).status();
  };
  DrawnToken drawn;
  drawn.unusable = 1;
  drawn.logit = kInf;
  EXPECT_EQ(FinishDraw(drawn, 9).status(), refused({0, kInf, 1}));
  drawn.logit = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(FinishDraw(drawn, 9).status(), refused({0, drawn.logit, 1}));
  EXPECT_EQ(FinishDraw(DrawnToken(), 9).status(), refused({-kInf, -kInf, -kInf}));
}

TEST(DeviceDrawTest, LogprobsAreThoseOfTheSampler) {
  const std::vector<float> logits = {0.3f, -2, 5.25f, 1};
  SamplingParams params;
  params.temperature = 0;
  Sampler sampler(4);
  const auto expected = sampler.Sample({&params, {}, logits, {}, 0});
  ASSERT_TRUE(expected.ok()) << expected.status();
  DrawnToken drawn;
  drawn.id = 2;
  drawn.logit = drawn.largest = 5.25f;
  for (const float logit : logits) {
    float exponential;
    drawn.sum += ExpAndSum({&logit, 1}, drawn.largest, &exponential);
  }
  const auto token = FinishDraw(drawn, 0);
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ(token->id, expected->id);
  EXPECT_NEAR(token->logprob, expected->logprob, 1e-6f);  // whose sum is rounded otherwise
}

}  // namespace
}  // namespace llmcore::core
