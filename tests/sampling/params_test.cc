#include "lib/sampling/params.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>

namespace llmcore::core {
namespace {

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInf = std::numeric_limits<float>::infinity();

TEST(SamplingParamsTest, DefaultsAreValid) {
  EXPECT_TRUE(SamplingParams().Validate().ok());
}

TEST(SamplingParamsTest, LimitsOfEachRangeAreValid) {
  SamplingParams params;
  params.temperature = 0;
  params.top_p = 0;
  params.min_p = 1;
  params.typical_p = 1e-30f;
  params.repetition_penalty = 1e-30f;
  params.frequency_penalty = -2;
  params.presence_penalty = 2;
  params.max_tokens = 0;
  params.stop = {"\xE2\x82\xAC", "a", "a"};
  params.logit_bias = {{0, kInf}, {7, -kInf}, {std::numeric_limits<int32_t>::max(), 0.5f}};
  params.logprobs = SamplingParams::kMaxLogprobs;
  EXPECT_TRUE(params.Validate().ok()) << params.Validate();
}

TEST(SamplingParamsTest, WhatIsOutOfRangeIsNamed) {
  struct Case {
    std::string field;
    std::function<void(SamplingParams*)> spoil;
  };
  using P = SamplingParams;
  const Case cases[] = {
      {"temperature", [](P* p) { p->temperature = -0.1f; }},
      {"temperature", [](P* p) { p->temperature = kNan; }},
      {"temperature", [](P* p) { p->temperature = kInf; }},
      {"top_k", [](P* p) { p->top_k = -1; }},
      {"top_p", [](P* p) { p->top_p = 1.01f; }},
      {"top_p", [](P* p) { p->top_p = kNan; }},
      {"min_p", [](P* p) { p->min_p = -0.5f; }},
      {"min_p", [](P* p) { p->min_p = kNan; }},
      {"typical_p", [](P* p) { p->typical_p = 0; }},
      {"typical_p", [](P* p) { p->typical_p = kNan; }},
      {"repetition_penalty", [](P* p) { p->repetition_penalty = 0; }},
      {"repetition_penalty", [](P* p) { p->repetition_penalty = kInf; }},
      {"frequency_penalty", [](P* p) { p->frequency_penalty = 2.5f; }},
      {"presence_penalty", [](P* p) { p->presence_penalty = kNan; }},
      {"max_tokens", [](P* p) { p->max_tokens = -1; }},
      {"stop",
       [](P* p) {
         p->stop = {"a", ""};
       }},
      {"stop", [](P* p) { p->stop = {"\xFF"}; }},
      {"stop", [](P* p) { p->stop = {std::string(P::kMaxStopBytes + 1, 'x')}; }},
      {"logit_bias",
       [](P* p) {
         p->logit_bias = {{-1, 0.0f}};
       }},
      {"logit_bias",
       [](P* p) {
         p->logit_bias = {{3, 0.0f}, {3, 1.0f}};
       }},
      {"logit_bias",
       [](P* p) {
         p->logit_bias = {{3, 0.0f}, {2, 1.0f}};
       }},
      {"logit_bias",
       [](P* p) {
         p->logit_bias = {{3, kNan}};
       }},
      {"logprobs", [](P* p) { p->logprobs = -1; }},
      {"logprobs", [](P* p) { p->logprobs = P::kMaxLogprobs + 1; }},
  };
  for (const Case& one : cases) {
    SamplingParams params;
    one.spoil(&params);
    const absl::Status status = params.Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << one.field;
    EXPECT_EQ(std::string(status.message()).rfind(one.field, 0), 0u) << status;
  }
}

}  // namespace
}  // namespace llmcore::core
