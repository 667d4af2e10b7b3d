// What a quantized KV cache costs in perplexity, on what a model writes itself with a cache in f32:
// such text has the lowest perplexity in f32 that any can have, so that the difference is all loss
// (the Kullback-Leibler divergence of the two, in expectation).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/session/session.h"

namespace llmcore::core {
namespace {

struct Text {
  std::vector<TokenId> tokens;
  size_t first = 0;  // the first that the model wrote
};

std::shared_ptr<const Model> Load(const std::string& path, KvFormat kv) {
  ModelOptions options;
  options.device = "cpu";
  options.weight_format = WeightFormat::kF32;
  options.kv_format = kv;
  auto model = Model::Load(path, options);
  EXPECT_TRUE(model.ok()) << model.status();
  return *model;
}

Text Continue(Session* session, uint64_t seed, int64_t length) {
  GenerationParams params;
  params.temperature = 1;
  params.top_k = 0;
  params.top_p = 1;
  params.seed = seed;
  params.max_tokens = length;
  EXPECT_TRUE(session->StartGeneration(params).ok());
  Text text;
  text.first = session->tokens().size();
  while (session->generating()) EXPECT_TRUE(session->NextEvent().ok());
  text.tokens.assign(session->tokens().begin(), session->tokens().end());
  return text;
}

// Of all tokens that the model wrote, the mean.
double Loss(const std::shared_ptr<const Model>& model, const std::vector<Text>& texts) {
  double sum = 0;
  size_t count = 0;
  const auto vocabulary = static_cast<size_t>(model->config().vocab_size);
  for (const Text& text : texts) {
    const auto session = *Session::Create(model);
    EXPECT_TRUE(session->AppendTokens(text.tokens).ok());
    std::vector<float> logits;
    EXPECT_TRUE(session->AllLogits(text.first - 1, &logits).ok());
    for (size_t i = text.first; i < text.tokens.size(); ++i) {
      const float* row = logits.data() + (i - text.first) * vocabulary;
      double total = 0;
      for (size_t token = 0; token < vocabulary; ++token) total += std::exp(double{row[token]});
      sum += std::log(total) - double{row[text.tokens[i]]};
      ++count;
    }
  }
  return sum / static_cast<double>(count);
}

// How much larger than with f32 the perplexity is, in percent.
double CostInPercent(const std::string& path, const std::vector<Text>& texts, double exact,
                     KvFormat kv) {
  const double cost = 100 * (std::exp(Loss(Load(path, kv), texts) - exact) - 1);
  std::printf("%s, %s: %+.3f%%\n", std::filesystem::path(path).filename().c_str(),
              std::string(KvFormatName(kv)).c_str(), cost);
  return cost;
}

TEST(KvQualityTest, TheBuiltInModel) {
  const std::string path = std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus";
  const auto model = Load(path, KvFormat::kF32);
  std::vector<Text> texts;
  for (uint64_t i = 0; i < 200; ++i) {
    const auto session = *Session::Create(model);
    const std::string question = std::to_string(3 * i + 17) + "." + std::to_string(i % 10) +
                                 (i % 2 == 0 ? "+" : "-") + std::to_string(7 * i % 400) + "." +
                                 std::to_string(i / 3 % 10) + "=?";
    ASSERT_TRUE(session->AppendMessage("user", question).ok());
    texts.push_back(Continue(session.get(), i, 200));
  }
  const double exact = Loss(model, texts);
  EXPECT_LT(std::abs(CostInPercent(path, texts, exact, KvFormat::kInt8)), 0.1);
  EXPECT_LT(std::abs(CostInPercent(path, texts, exact, KvFormat::kInt4)), 2);
}

// Its heads have 8 dimensions. With an int4 cache each key is 16 levels of a range that a single
// element can stretch, and the model's sharp attention does not bear that: README.md says how much.
TEST(KvQualityTest, Stories260K) {
  const std::string path = std::string(LLMCORE_REFERENCE_DIR) + "/models/stories260K-f32";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no model at " << path;
  const auto model = Load(path, KvFormat::kF32);
  std::vector<Text> texts;
  for (uint64_t i = 0; i < 20; ++i) {
    const auto session = *Session::Create(model);
    ASSERT_TRUE(session->AppendText("Once upon a time").ok());
    texts.push_back(Continue(session.get(), i, 400));
  }
  const double exact = Loss(model, texts);
  EXPECT_LT(std::abs(CostInPercent(path, texts, exact, KvFormat::kInt8)), 0.1);
  CostInPercent(path, texts, exact, KvFormat::kInt4);
}

}  // namespace
}  // namespace llmcore::core
