#include "lib/config/generation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/io/temporary_directory.h"

namespace llmcore::core {
namespace {

using testing::HasSubstr;

absl::StatusOr<GenerationConfig> Parse(const std::string& text) {
  const auto json = ParseJson(text);
  EXPECT_TRUE(json.ok()) << json.status() << text;
  return ParseGenerationConfig(*json->if_object());
}

TEST(GenerationConfigTest, Qwen25AsPublished) {
  const auto config = Parse(R"({
    "bos_token_id": 151643, "pad_token_id": 151643, "do_sample": true,
    "eos_token_id": [151645, 151643], "repetition_penalty": 1.1, "temperature": 0.7,
    "top_p": 0.8, "top_k": 20, "transformers_version": "4.37.0"})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->do_sample, true);
  EXPECT_EQ(config->temperature, 0.7);
  EXPECT_EQ(config->top_k, 20);
  EXPECT_EQ(config->top_p, 0.8);
  EXPECT_EQ(config->repetition_penalty, 1.1);
  EXPECT_THAT(config->eos_token_ids, testing::ElementsAre(151645, 151643));
  EXPECT_EQ(config->bos_token_id, 151643);
  EXPECT_FALSE(config->min_p.has_value() || config->typical_p.has_value() ||
               config->max_new_tokens.has_value() || config->max_length.has_value());
}

TEST(GenerationConfigTest, NeutralValuesAndMachineryAreAccepted) {
  const auto config = Parse(R"({
    "num_beams": 1, "penalty_alpha": null, "no_repeat_ngram_size": 0, "suppress_tokens": [],
    "guidance_scale": 1.0, "epsilon_cutoff": 0.0, "use_cache": true, "cache_implementation": "hybrid",
    "_from_model_config": true, "temperature": null, "top_k": 0, "temperature ": 3,
    "max_length": 4096, "max_new_tokens": 2048, "typical_p": 1.0, "min_p": 0.05})");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_FALSE(config->temperature.has_value());
  EXPECT_EQ(config->top_k, 0);
  EXPECT_EQ(config->max_length, 4096);
  EXPECT_EQ(config->max_new_tokens, 2048);
  EXPECT_EQ(config->min_p, 0.05);
}

TEST(GenerationConfigTest, WhatChangesTheTextIsRefusedByName) {
  for (const char* field :
       {R"("num_beams": 4)", R"("penalty_alpha": 0.6)", R"("no_repeat_ngram_size": 3)",
        R"("suppress_tokens": [1])", R"("guidance_scale": 1.5)", R"("forced_eos_token_id": 2)"}) {
    const auto config = Parse(std::string("{") + field + "}");
    EXPECT_EQ(config.status().code(), absl::StatusCode::kUnimplemented) << field;
    EXPECT_THAT(std::string(config.status().message()),
                HasSubstr(std::string(field).substr(0, std::string(field).find(':'))));
  }
}

TEST(GenerationConfigTest, ValuesOutOfRangeAreNamed) {
  for (const char* field :
       {R"("temperature": -1)", R"("top_p": 1.5)", R"("top_k": -1)", R"("top_k": 4294967296)",
        R"("min_p": 2)", R"("typical_p": 0)", R"("repetition_penalty": 0)", R"("do_sample": "yes")",
        R"("max_new_tokens": 0.5)", R"("eos_token_id": {})"}) {
    const auto config = Parse(std::string("{") + field + "}");
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(config.status().message()),
                HasSubstr(std::string(field).substr(0, std::string(field).find(':'))));
  }
}

TEST(GenerationConfigTest, TheFileIsOptional) {
  const TemporaryDirectory directory;
  const auto none = LoadGenerationConfig(directory.path());
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_FALSE(none->temperature.has_value());
  const std::string path = directory.Write("generation_config.json", "{");
  EXPECT_THAT(std::string(LoadGenerationConfig(directory.path()).status().message()),
              HasSubstr(path));
  directory.Write("generation_config.json", R"({"temperature": 0.5})");
  EXPECT_EQ(LoadGenerationConfig(directory.path())->temperature, 0.5);
}

}  // namespace
}  // namespace llmcore::core
