#include <cstdio>
#include <fstream>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

uint64_t SumOfCategories(const llmcore_plan* plan) {
  uint64_t sum = 0;
  for (uint32_t category = 0; category < LLMCORE_MEMORY_CATEGORY_COUNT; ++category) {
    sum += llmcore_plan_bytes(plan, category);
  }
  return sum;
}

Plan PlanOf(const llmcore_model_options* options) {
  llmcore_plan* plan = nullptr;
  EXPECT_TRUE(Works(llmcore_model_plan(kModelPath, strlen(kModelPath), options, &plan)));
  return Plan(plan);
}

TEST(ModelTest, WhatIsPlannedIsAllocated) {
  const Plan planned = PlanOf(nullptr);
  const llmcore_plan* allocated = llmcore_model_plan_of(SharedModel());
  for (uint32_t category = 0; category < LLMCORE_MEMORY_CATEGORY_COUNT; ++category) {
    EXPECT_EQ(llmcore_plan_bytes(planned.get(), category), llmcore_plan_bytes(allocated, category))
        << "category " << category;
  }
  EXPECT_GT(llmcore_plan_bytes(allocated, LLMCORE_MEMORY_WEIGHTS), 0u);
  EXPECT_EQ(SumOfCategories(allocated), llmcore_plan_total(allocated));
  EXPECT_EQ(llmcore_plan_bytes(allocated, LLMCORE_MEMORY_CATEGORY_COUNT), 0u);
  EXPECT_EQ(llmcore_plan_bytes(allocated, UINT32_MAX), 0u);
}

TEST(ModelTest, PlanIsJsonWithItsTotal) {
  const llmcore_plan* plan = llmcore_model_plan_of(SharedModel());
  llmcore_text* text = nullptr;
  ASSERT_TRUE(Works(llmcore_plan_json(plan, &text)));
  EXPECT_EQ(llmcore_text_data(text)[llmcore_text_size(text)], '\0');
  const std::string json = Take(text);
  EXPECT_THAT(json, testing::HasSubstr("total_bytes"));
  EXPECT_THAT(json, testing::HasSubstr(std::to_string(llmcore_plan_total(plan))));
}

TEST(ModelTest, FormatsAreResolved) {
  const Options options = NewOptions();
  ASSERT_TRUE(Works(llmcore_model_options_set_weight_format(options.get(), "int4", 4)));
  ASSERT_TRUE(Works(llmcore_model_options_set_max_context(options.get(), 64)));
  const Plan plan = PlanOf(options.get());
  EXPECT_EQ(llmcore_plan_weight_format(plan.get()), LLMCORE_WEIGHT_FORMAT_INT4);
  EXPECT_EQ(llmcore_plan_max_context(plan.get()), 64u);
  EXPECT_NE(llmcore_plan_kv_format(plan.get()), LLMCORE_KV_FORMAT_AUTO);
  EXPECT_NE(llmcore_plan_activation_format(plan.get()), LLMCORE_ACTIVATION_FORMAT_AUTO);
  EXPECT_GE(llmcore_plan_kv_cache_tokens(plan.get()), 64u);
}

TEST(ModelTest, ActivationsAreInBf16WhenAskedFor) {
  const Options options = NewOptions();
  ASSERT_TRUE(Works(llmcore_model_options_set_weight_format(options.get(), "bf16", 4)));
  const Plan exact = PlanOf(options.get());
  EXPECT_EQ(llmcore_plan_activation_format(exact.get()), LLMCORE_ACTIVATION_FORMAT_F32);
  ASSERT_TRUE(Works(llmcore_model_options_set_activation_format(options.get(), "bf16", 4)));
  const Plan rounded = PlanOf(options.get());
  EXPECT_EQ(llmcore_plan_activation_format(rounded.get()), LLMCORE_ACTIVATION_FORMAT_BF16);
  EXPECT_EQ(LLMCORE_ACTIVATION_FORMAT_BF16, 2u) << "the value is part of the ABI";
  // The rounded activations are in the plan.
  EXPECT_GT(llmcore_plan_bytes(rounded.get(), LLMCORE_MEMORY_WORKSPACE),
            llmcore_plan_bytes(exact.get(), LLMCORE_MEMORY_WORKSPACE));
}

TEST(ModelTest, ABudgetOfThePlanIsEnoughAndOneByteLessIsNot) {
  const Options options = NewOptions();
  // With a size of its own the KV cache does not give way to the budget.
  ASSERT_TRUE(Works(llmcore_model_options_set_max_context(options.get(), 64)));
  ASSERT_TRUE(Works(llmcore_model_options_set_kv_cache_tokens(options.get(), 64)));
  const uint64_t needed = llmcore_plan_total(PlanOf(options.get()).get());
  ASSERT_TRUE(Works(llmcore_model_options_set_memory_budget(options.get(), needed)));
  EXPECT_NE(LoadModel(options.get()), nullptr);
  ASSERT_TRUE(Works(llmcore_model_options_set_memory_budget(options.get(), needed - 1)));
  llmcore_model* model = Poison<llmcore_model>();
  const Error error(llmcore_model_load(kModelPath, strlen(kModelPath), options.get(), &model));
  EXPECT_EQ(llmcore_error_code(error.get()), LLMCORE_RESOURCE_EXHAUSTED);
  EXPECT_EQ(llmcore_error_bytes_needed(error.get()), needed);
  EXPECT_EQ(model, nullptr);
}

TEST(ModelTest, AFolderThatIsNotThereIsNotFound) {
  const std::string path = testing::TempDir() + "no such model";
  llmcore_model* model = Poison<llmcore_model>();
  llmcore_plan* plan = Poison<llmcore_plan>();
  llmcore_tokenizer* tokenizer = Poison<llmcore_tokenizer>();
  EXPECT_TRUE(Fails(llmcore_model_load(path.data(), path.size(), nullptr, &model),
                    LLMCORE_NOT_FOUND, "no such model"));
  EXPECT_TRUE(Fails(llmcore_model_plan(path.data(), path.size(), nullptr, &plan), LLMCORE_NOT_FOUND,
                    "no such model"));
  EXPECT_TRUE(Fails(llmcore_tokenizer_load(path.data(), path.size(), &tokenizer), LLMCORE_NOT_FOUND,
                    "no such model"));
  EXPECT_EQ(model, nullptr);
  EXPECT_EQ(plan, nullptr);
  EXPECT_EQ(tokenizer, nullptr);
}

TEST(ModelTest, DescribesItself) {
  EXPECT_EQ(llmcore_model_vocabulary_size(SharedModel()), 512u);
  EXPECT_GT(llmcore_model_max_context(SharedModel()), 0u);
  EXPECT_THAT(llmcore_model_backend_description(SharedModel()), testing::HasSubstr("cpu"));
  EXPECT_TRUE(llmcore_model_is_end_of_text(SharedModel(), 511));
  EXPECT_FALSE(llmcore_model_is_end_of_text(SharedModel(), 49));
  EXPECT_FALSE(llmcore_model_is_end_of_text(SharedModel(), -1));
}

TEST(ModelTest, ADeviceThatIsNotThereIsAnError) {
  const Options options = NewOptions();
  ASSERT_TRUE(Works(llmcore_model_options_set_device(options.get(), "cuda:99", 7)));
  llmcore_model* model = Poison<llmcore_model>();
  const Error error(llmcore_model_load(kModelPath, strlen(kModelPath), options.get(), &model));
  EXPECT_NE(error, nullptr);
  EXPECT_EQ(model, nullptr);
}

TEST(ModelTest, SyntheticShapesAreKnownByName) {
  llmcore_model* model = Poison<llmcore_model>();
  EXPECT_TRUE(Fails(llmcore_model_load_synthetic("gpt-9", 5, nullptr, &model), LLMCORE_NOT_FOUND,
                    "llama-3.2-1b"));
  EXPECT_EQ(model, nullptr);
  llmcore_plan* plan = Poison<llmcore_plan>();
  EXPECT_TRUE(Fails(llmcore_model_plan_synthetic("gpt-9", 5, nullptr, &plan), LLMCORE_NOT_FOUND,
                    "llama-3.2-1b"));
  EXPECT_EQ(plan, nullptr);
}

TEST(ModelTest, ASyntheticShapeIsPlannedAtAnySize) {
  const Options options = NewOptions();
  ASSERT_TRUE(Works(llmcore_model_options_set_weight_format(options.get(), "int4", 4)));
  llmcore_plan* plan = nullptr;
  ASSERT_TRUE(Works(llmcore_model_plan_synthetic("qwen2.5-32b", 11, options.get(), &plan)));
  const Plan owned(plan);
  // 32.8 billion weights, in 4 bits and a scale of 16 bits a block of 128.
  const auto weights = static_cast<double>(llmcore_plan_bytes(plan, LLMCORE_MEMORY_WEIGHTS));
  EXPECT_NEAR(weights, 32.76e9 * 4.125 / 8, 0.1e9);
}

TEST(ModelTest, TheLibrarySaysItsVersion) {
  EXPECT_STREQ(llmcore_version(), LLMCORE_VERSION);
}

}  // namespace
}  // namespace llmcore::capi_test
