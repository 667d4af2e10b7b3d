// Whole models against published answers: logits of the Hugging Face implementation, and greedy
// ids.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/session/session.h"

namespace llmcore::core {
namespace {

std::string Reference(const std::string& name) {
  return JoinPath(JoinPath(LLMCORE_REFERENCE_DIR, "models"), name);
}

std::string Abacus() {
  return std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus";
}

std::shared_ptr<const Model> Load(const std::string& directory, ModelOptions options = {}) {
  options.device = "cpu";
  auto model = Model::Load(directory, options);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *model : nullptr;
}

std::vector<TokenId> Ids(const JsonValue& array) {
  std::vector<TokenId> ids;
  for (const JsonValue& id : *array.if_array()) ids.push_back(static_cast<TokenId>(*id.if_int()));
  return ids;
}

std::vector<TokenId> Greedy(const std::shared_ptr<const Model>& model,
                            const std::vector<TokenId>& prompt, size_t count) {
  auto session = Session::Create(model);
  EXPECT_TRUE((*session)->AppendTokens(prompt).ok());
  GenerationParams params;
  params.temperature = 0;
  params.max_tokens = static_cast<int64_t>(count);
  params.ignore_eos = true;
  EXPECT_TRUE((*session)->StartGeneration(params).ok());
  std::vector<TokenId> ids;
  while (true) {
    const auto event = (*session)->NextEvent();
    if (!event.ok()) {
      ADD_FAILURE() << event.status();
      break;
    }
    if (event->has_token) ids.push_back(event->token);
    if (event->finish_reason != FinishReason::kNone) break;
  }
  return ids;
}

// Largest |logits - expected| over the rows of one sequence.
double WorstError(Session* session, const JsonValue& expected) {
  std::vector<float> logits;
  const absl::Status status = session->AllLogits(0, &logits);
  EXPECT_TRUE(status.ok()) << status;
  double worst = 0;
  size_t i = 0;
  for (const JsonValue& row : *expected.if_array()) {
    for (const JsonValue& value : *row.if_array()) {
      if (i >= logits.size()) return INFINITY;
      worst = std::max(worst, std::abs(logits[i++] - *value.AsDouble()));
    }
  }
  return worst;
}

class PublishedLogitsTest : public testing::TestWithParam<const char*> {};

TEST_P(PublishedLogitsTest, AreReproduced) {
  const std::string directory = Reference(GetParam());
  if (!DirectoryExists(directory)) GTEST_SKIP() << "no reference model at " << directory;
  const auto golden = ReadJsonObject(JoinPath(directory, "logits.json"));
  ASSERT_TRUE(golden.ok()) << golden.status();
  ModelOptions options;
  options.weight_format = WeightFormat::kF32;
  const auto model = Load(directory, options);
  ASSERT_NE(model, nullptr);
  const JsonValue::Array& sequences = **golden->GetArray("sequences");
  const JsonValue::Array& logits = **golden->GetArray("logits");
  ASSERT_FALSE(sequences.empty());
  for (size_t i = 0; i < sequences.size(); ++i) {
    auto session = Session::Create(model);
    ASSERT_TRUE((*session)->AppendTokens(Ids(sequences[i])).ok());
    EXPECT_LE(WorstError(session->get(), logits[i]), 2e-5) << "sequence " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(TinyModels, PublishedLogitsTest,
                         testing::Values("tiny-llama", "tiny-llama-sharded", "tiny-qwen2",
                                         "tiny-qwen3"));

struct GoldenIds {
  const char* golden;
  const char* directory;
  WeightFormat format;
  const char* variant;
};

class PublishedIdsTest : public testing::TestWithParam<GoldenIds> {};

TEST_P(PublishedIdsTest, AreReproducedTokenForToken) {
  const std::string path = Reference(GetParam().golden);
  if (!FileExists(path)) GTEST_SKIP() << "no reference answers at " << path;
  const auto golden = ReadJsonObject(path);
  ASSERT_TRUE(golden.ok()) << golden.status();
  ModelOptions options;
  options.weight_format = GetParam().format;
  options.kv_format = KvFormat::kF32;  // the answers were made with f32 arithmetic
  const auto model = Load(Reference(GetParam().directory), options);
  ASSERT_NE(model, nullptr);
  const JsonObject& variant = **(*golden->GetObject("variants"))->GetObject(GetParam().variant);
  const std::vector<TokenId> expected = Ids(**variant.Get("greedy_ids"));
  const std::vector<TokenId> prompt = Ids(**golden->Get("prompt_ids"));
  ASSERT_GT(expected.size(), prompt.size());  // the answers begin with the prompt
  std::vector<TokenId> ids = prompt;
  for (const TokenId id : Greedy(model, prompt, expected.size() - prompt.size())) ids.push_back(id);
  EXPECT_EQ(ids, expected);
}

INSTANTIATE_TEST_SUITE_P(
    TrainedModels, PublishedIdsTest,
    testing::Values(
        GoldenIds{"stories260K-golden.json", "stories260K-f32", WeightFormat::kF32, "f32"},
        GoldenIds{"stories260K-golden.json", "stories260K-f32", WeightFormat::kF16, "f16"},
        GoldenIds{"stories260K-golden.json", "stories260K-bf16", WeightFormat::kBf16, "bf16"},
        GoldenIds{"babyllama105-golden.json", "babyllama105-f32", WeightFormat::kF32, "f32"},
        GoldenIds{"babyllama105-golden.json", "babyllama105-f32", WeightFormat::kBf16, "bf16"}),
    [](const testing::TestParamInfo<GoldenIds>& test) {
      std::string name = std::string(test.param.directory) + "_" + test.param.variant;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

// Logits of each position of `ids`.
std::vector<float> LogitsOf(const std::shared_ptr<const Model>& model,
                            const std::vector<TokenId>& ids) {
  auto session = Session::Create(model);
  EXPECT_TRUE((*session)->AppendTokens(ids).ok());
  std::vector<float> logits;
  const absl::Status status = (*session)->AllLogits(0, &logits);
  EXPECT_TRUE(status.ok()) << status;
  return logits;
}

// -log of the probability that a row of logits gives to a token.
double Surprise(std::span<const float> row, TokenId token) {
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float logit : row) sum += std::exp(logit - largest);
  return largest + std::log(sum) - row[static_cast<size_t>(token)];
}

// Activations rounded to bf16 on a published text: they may change a token only where two are about
// as likely, and the perplexity by half a percent.
class Bf16ActivationsTest : public testing::TestWithParam<GoldenIds> {};

TEST_P(Bf16ActivationsTest, ChangeNearTiesAlone) {
  const std::string path = Reference(GetParam().golden);
  if (!FileExists(path)) GTEST_SKIP() << "no reference answers at " << path;
  const auto golden = ReadJsonObject(path);
  ASSERT_TRUE(golden.ok()) << golden.status();
  const JsonObject& variant = **(*golden->GetObject("variants"))->GetObject(GetParam().variant);
  const std::vector<TokenId> ids = Ids(**variant.Get("greedy_ids"));
  ModelOptions options;
  options.weight_format = WeightFormat::kBf16;
  options.kv_format = KvFormat::kF32;
  options.activation_format = ActivationFormat::kF32;
  const std::vector<float> exact = LogitsOf(Load(Reference(GetParam().directory), options), ids);
  options.activation_format = ActivationFormat::kBf16;
  const std::vector<float> rounded = LogitsOf(Load(Reference(GetParam().directory), options), ids);
  ASSERT_EQ(exact.size(), rounded.size());
  EXPECT_NE(exact, rounded) << "the format of activations had no effect";
  const size_t vocabulary = exact.size() / ids.size();
  double exact_sum = 0;
  double rounded_sum = 0;
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    const std::span<const float> a(exact.data() + i * vocabulary, vocabulary);
    const std::span<const float> b(rounded.data() + i * vocabulary, vocabulary);
    exact_sum += Surprise(a, ids[i + 1]);
    rounded_sum += Surprise(b, ids[i + 1]);
    double error = 0;
    for (size_t j = 0; j < vocabulary; ++j) {
      error = std::max<double>(error, std::abs(a[j] - b[j]));
    }
    const auto best = std::max_element(a.begin(), a.end()) - a.begin();
    const auto rounded_best = std::max_element(b.begin(), b.end()) - b.begin();
    const double margin = a[static_cast<size_t>(best)] - a[static_cast<size_t>(rounded_best)];
    EXPECT_LE(margin, 2 * error) << "position " << i;
  }
  const double tokens = static_cast<double>(ids.size() - 1);
  const double ratio = std::exp((rounded_sum - exact_sum) / tokens);
  RecordProperty("perplexity_ratio", std::to_string(ratio));
  EXPECT_NEAR(ratio, 1.0, 0.005);
}

INSTANTIATE_TEST_SUITE_P(TrainedModels, Bf16ActivationsTest,
                         testing::Values(GoldenIds{"stories260K-golden.json", "stories260K-bf16",
                                                   WeightFormat::kBf16, "bf16"},
                                         GoldenIds{"babyllama105-golden.json", "babyllama105-f32",
                                                   WeightFormat::kBf16, "bf16"}),
                         [](const testing::TestParamInfo<GoldenIds>& test) {
                           std::string name = test.param.directory;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// The project's own model, made by examples/models/train, against PyTorch.
TEST(OwnModelTest, RepliesTokenForToken) {
  const auto golden =
      ReadJsonObject(std::string(LLMCORE_SOURCE_DIR) + "/examples/models/golden.json");
  ASSERT_TRUE(golden.ok()) << golden.status();
  ModelOptions options;
  options.weight_format = WeightFormat::kBf16;
  options.kv_format = KvFormat::kF32;
  const auto model = Load(Abacus(), options);
  ASSERT_NE(model, nullptr);
  for (const JsonValue& value : **golden->GetArray("cases")) {
    const JsonObject& entry = *value.if_object();
    const std::vector<TokenId> expected = Ids(**entry.Get("reply_ids"));
    EXPECT_EQ(Greedy(model, Ids(**entry.Get("ids")), expected.size()), expected);
  }
}

}  // namespace
}  // namespace llmcore::core
