// Published answers, through the public API alone.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <llmcore/experimental.hpp>
#include <llmcore/llmcore.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace llmcore {
namespace {

using Json = nlohmann::json;

std::string ModelDirectory(const std::string& name) {
  return std::string(LLMCORE_REFERENCE_DIR) + "/models/" + name;
}

bool Exists(const std::string& path) {
  return std::ifstream(path).good();
}

Json ReadJson(const std::string& path) {
  std::ifstream file(path);
  return Json::parse(file, nullptr, /*allow_exceptions=*/false);
}

TEST(GoldenTest, TheProjectsModelRepliesAsItsTrainingRecorded) {
  const std::string folder = std::string(LLMCORE_SOURCE_DIR) + "/examples/models";
  const Json golden = ReadJson(folder + "/golden.json");
  const Model model = Model::Load(folder + "/abacus", {.weights = WeightFormat::kF32,
                                                       .activations = ActivationFormat::kF32})
                          .value();
  ASSERT_FALSE(golden["cases"].empty());
  for (const Json& c : golden["cases"]) {
    Session chat(model);
    for (const Json& message : c["messages"]) {
      chat.AddMessage(message["role"].get<std::string>(), message["content"].get<std::string>());
    }
    Generation reply = chat.Generate({.temperature = 0});
    std::vector<Token> ids;
    std::string text;
    for (const Event& event : reply.events()) {
      text += event.text;
      if (event.token) ids.push_back(*event.token);
    }
    EXPECT_EQ(ids, c["reply_ids"].get<std::vector<Token>>()) << c["messages"];
    EXPECT_EQ(text, c["reply"].get<std::string>());
  }
}

class StoryTest : public testing::TestWithParam<const char*> {};

TEST_P(StoryTest, IsToldTokenForToken) {
  const std::string path = ModelDirectory("stories260K-golden.json");
  if (!Exists(path)) GTEST_SKIP() << path << " is not there";
  const std::string variant = GetParam();
  const Json golden = ReadJson(path);
  const auto expected = golden["variants"][variant]["greedy_ids"].get<std::vector<Token>>();
  const Model model =
      Model::Load(ModelDirectory("stories260K-" + variant), {.weights = WeightFormat::kF32})
          .value();
  Session session(model);
  session.AppendText(golden["prompt"].get<std::string>());
  const View<Token> prompt = session.tokens().value();
  EXPECT_EQ(std::vector<Token>(prompt.begin(), prompt.end()),
            golden["prompt_ids"].get<std::vector<Token>>());
  Generation reply = session.Generate(
      {.temperature = 0, .max_tokens = expected.size() - prompt.size(), .ignore_eos = true});
  for (const Event& event : reply.events()) ASSERT_TRUE(event.token.has_value());
  const View<Token> all = session.tokens().value();
  EXPECT_EQ(std::vector<Token>(all.begin(), all.end()), expected);
}

INSTANTIATE_TEST_SUITE_P(Stories260K, StoryTest, testing::Values("f32", "bf16"));

class LogitsTest : public testing::TestWithParam<const char*> {};

TEST_P(LogitsTest, AreThoseOfHuggingFaceWithin2e5) {
  const std::string directory = ModelDirectory(GetParam());
  std::string path = directory + "/logits.json";
  if (!Exists(path)) path = ModelDirectory("tiny-llama") + "/logits.json";  // sharded: the same
  if (!Exists(path)) GTEST_SKIP() << path << " is not there";
  const Json golden = ReadJson(path);
  const Model model =
      Model::Load(directory, {.weights = WeightFormat::kF32, .kv = KvFormat::kF32}).value();
  for (size_t i = 0; i < golden["sequences"].size(); ++i) {
    Session session(model);
    ASSERT_TRUE(session.AppendTokens(golden["sequences"][i].get<std::vector<Token>>()).ok());
    const experimental::LogitRows rows = experimental::AllLogits(session, 0).value();
    const auto expected = golden["logits"][i].get<std::vector<std::vector<double>>>();
    ASSERT_EQ(rows.rows, expected.size());
    for (size_t row = 0; row < rows.rows; ++row) {
      ASSERT_EQ(rows.columns, expected[row].size());
      for (size_t column = 0; column < rows.columns; ++column) {
        ASSERT_NEAR(rows[row][column], expected[row][column], 2e-5)
            << "sequence " << i << ", position " << row << ", token " << column;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(TinyModels, LogitsTest,
                         testing::Values("tiny-llama", "tiny-llama-sharded", "tiny-qwen2",
                                         "tiny-qwen3"));

}  // namespace
}  // namespace llmcore
