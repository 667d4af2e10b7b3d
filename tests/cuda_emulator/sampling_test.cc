// Whole models whose tokens are drawn on the device: the same as where the host draws from the same
// logits, which it does as soon as a reply asks for more than its tokens.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <thread>

#include "lib/session/session.h"
#include "tests/conformance/harness.h"
#include "tests/cuda_emulator/runtime.h"

namespace llmcore::core {
namespace {

// Of a reply. A sanitizer makes each take seconds.
constexpr int kTokens = conformance::kSlowBuild ? 3 : 12;

std::string Abacus() {
  return std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus";
}

std::shared_ptr<const Model> Load(const std::string& path, const char* device = "cuda",
                                  int32_t batch_tokens = 16) {
  ModelOptions options;
  options.device = device;
  options.kv_cache_tokens = 1024;
  options.max_context = 128;
  options.max_batch_tokens = batch_tokens;
  auto model = Model::Load(path, options);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

struct Reply {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  std::string text;

  bool operator==(const Reply& other) const {
    return tokens == other.tokens && text == other.text &&
           logprobs.size() == other.logprobs.size() &&
           std::memcmp(logprobs.data(), other.logprobs.data(), logprobs.size() * sizeof(float)) ==
               0;
  }
};

Reply Generate(const std::shared_ptr<const Model>& model, const std::string& prompt,
               const GenerationParams& params) {
  Reply reply;
  const auto session = Session::Create(model);
  EXPECT_TRUE(session.ok() && (*session)->AppendText(prompt).ok());
  const absl::Status started = (*session)->StartGeneration(params);
  EXPECT_TRUE(started.ok()) << started;
  while ((*session)->generating()) {
    const auto event = (*session)->NextEvent();
    if (!event.ok()) {
      ADD_FAILURE() << event.status();
      break;
    }
    if (event->has_token) {
      reply.tokens.push_back(event->token);
      reply.logprobs.push_back(event->logprob);
    }
    reply.text += event->text;
  }
  return reply;
}

// Params of one reply, which the host is made to draw by asking for alternatives.
GenerationParams OnHost(GenerationParams params) {
  params.logprobs = 1;
  return params;
}

std::vector<GenerationParams> ManyParams() {
  std::vector<GenerationParams> all(6);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].temperature = 1.0f;
    all[i].seed = 100 + i;
    all[i].max_tokens = kTokens;
    all[i].ignore_eos = true;
  }
  all[0].temperature = 0;
  all[2].temperature = 0.7f;
  all[2].top_k = 20;
  all[3].top_p = 0.9f;
  all[4].temperature = 1.5f;
  all[4].min_p = 0.05f;
  all[5].top_k = 50;
  all[5].top_p = 0.8f;
  all[5].min_p = 0.01f;
  return all;
}

// Kernels that were launched so far, alone or in graphs.
int64_t DeviceWork() {
  return cuda_emulator::Launches() + cuda_emulator::GraphNodes();
}

void ExpectTheSameReplies(const std::string& path, const std::string& prompt) {
  const auto model = Load(path);
  ASSERT_NE(model, nullptr);
  ASSERT_TRUE(model->plan().draws_on_device);
  size_t different = 0;
  std::vector<TokenId> greedy;
  for (const GenerationParams& params : ManyParams()) {
    const int64_t before = DeviceWork();
    const Reply drawn = Generate(model, prompt, params);
    const int64_t of_device = DeviceWork() - before;
    const Reply expected = Generate(model, prompt, OnHost(params));
    EXPECT_EQ(drawn.tokens.size(), static_cast<size_t>(kTokens));
    EXPECT_TRUE(drawn == expected) << drawn.text << " / " << expected.text;
    // A kernel more a token, or the host would have drawn twice. Prompts are cached.
    EXPECT_GE(of_device, DeviceWork() - before - of_device + kTokens);
    if (greedy.empty()) greedy = drawn.tokens;
    different += drawn.tokens != greedy;
  }
  // Draws, and not one reply given six times.
  EXPECT_GE(different, conformance::kSlowBuild ? 0u : 2u);
}

TEST(CudaSamplingTest, TheBuiltInModelGivesTheTokensOfTheHost) {
  ExpectTheSameReplies(Abacus(), "12+34=?");
}

TEST(CudaSamplingTest, StoriesAreTheTokensOfTheHost) {
  const std::string path = std::string(LLMCORE_REFERENCE_DIR) + "/models/stories260K-f32";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no model at " << path;
  ExpectTheSameReplies(path, "Once upon a time");
}

// A step of one token: its launches, one wait, and less than a row of logits of the host's memory
// changed.
TEST(CudaSamplingTest, ATokenComesBackAlone) {
  const auto model = Load(Abacus());
  ASSERT_NE(model, nullptr);
  const auto session = Session::Create(model);
  ASSERT_TRUE(session.ok() && (*session)->AppendText("1+1=?").ok());
  GenerationParams params;
  params.temperature = 0.9f;
  params.seed = 1;
  params.ignore_eos = true;
  ASSERT_TRUE((*session)->StartGeneration(params).ok());
  ASSERT_TRUE((*session)->NextEvent().ok());
  const int64_t launches = cuda_emulator::Launches();
  const int64_t waits = cuda_emulator::Waits();
  const std::vector<std::byte> before = cuda_emulator::PinnedContents();
  ASSERT_TRUE((*session)->NextEvent().ok());
  const std::vector<std::byte> after = cuda_emulator::PinnedContents();
  // The batch, embedding, the row that is drawn from, head, draw.
  EXPECT_EQ(cuda_emulator::Launches() - launches, 6 * model->config().num_layers + 5);
  EXPECT_EQ(cuda_emulator::Waits() - waits, 1);
  ASSERT_EQ(before.size(), after.size());
  int64_t changed = 0;
  for (size_t i = 0; i < before.size(); ++i) changed += before[i] != after[i];
  EXPECT_LT(changed, model->config().vocab_size) << "a row of logits has four times as many bytes";
  EXPECT_GT(changed, 0);
}

// Sessions that share steps, of which some need logits on the host and some do not.
TEST(CudaSamplingTest, MixedStepsChangeNothing) {
  const auto model = Load(Abacus(), "cuda", 64);
  ASSERT_NE(model, nullptr);
  std::vector<GenerationParams> all = ManyParams();
  for (size_t i = 1; i < all.size(); i += 2) all[i] = OnHost(all[i]);
  std::vector<Reply> alone;
  for (const GenerationParams& params : all) alone.push_back(Generate(model, "7*8=?", params));
  std::vector<Reply> together(all.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < all.size(); ++i) {
    threads.emplace_back([&, i] { together[i] = Generate(model, "7*8=?", all[i]); });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < all.size(); ++i) EXPECT_TRUE(together[i] == alone[i]) << i;
}

TEST(CudaSamplingTest, SeveralAnswersAreThoseOfTheHost) {
  const auto model = Load(Abacus(), "cuda", 64);
  ASSERT_NE(model, nullptr);
  GenerationParams params;
  params.temperature = 1.2f;
  params.seed = 5;
  params.max_tokens = 8;
  const auto answers_of = [&](const GenerationParams& how) {
    const auto session = Session::Create(model);
    EXPECT_TRUE(session.ok() && (*session)->AppendText("9-5=?").ok());
    auto answers = (*session)->SampleAnswers(how, {3, 3});
    EXPECT_TRUE(answers.ok()) << answers.status();
    return answers.ok() ? *std::move(answers) : std::vector<Answer>();
  };
  const std::vector<Answer> drawn = answers_of(params);
  params.logit_bias = {{0, 0.0f}};  // changes nothing, and is the host's to apply
  const std::vector<Answer> expected = answers_of(params);
  ASSERT_EQ(drawn.size(), 3u);
  ASSERT_EQ(expected.size(), 3u);
  for (size_t i = 0; i < drawn.size(); ++i) {
    EXPECT_EQ(drawn[i].tokens, expected[i].tokens);
    EXPECT_EQ(drawn[i].logprobs, expected[i].logprobs);
    EXPECT_EQ(drawn[i].index, expected[i].index);
  }
}

// Logits that were kept are drawn from on the host: the draw is the same.
TEST(CudaSamplingTest, KeptLogitsGiveTheSameToken) {
  const auto model = Load(Abacus());
  ASSERT_NE(model, nullptr);
  GenerationParams params;
  params.temperature = 1;
  params.seed = 9;
  params.max_tokens = 3;
  const Reply drawn = Generate(model, "3+4=?", params);
  const auto session = Session::Create(model);
  ASSERT_TRUE(session.ok() && (*session)->AppendText("3+4=?").ok());
  ASSERT_TRUE((*session)->Logits().ok());
  ASSERT_TRUE((*session)->StartGeneration(params).ok());
  const auto event = (*session)->NextEvent();
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->token, drawn.tokens[0]);
  EXPECT_EQ(event->logprob, drawn.logprobs[0]);
}

TEST(CudaSamplingTest, ABrokenDeviceFailsTheDraw) {
  cuda_emulator::ResetDevice();
  {
    const auto model = Load(Abacus());
    ASSERT_NE(model, nullptr);
    const auto session = Session::Create(model);
    ASSERT_TRUE(session.ok() && (*session)->AppendText("1+1=?").ok());
    GenerationParams params;
    params.ignore_eos = true;
    ASSERT_TRUE((*session)->StartGeneration(params).ok());
    ASSERT_TRUE((*session)->NextEvent().ok());
    const size_t length = (*session)->tokens().size();
    cuda_emulator::FailCall(4, cudaErrorLaunchFailure);
    const absl::Status status = (*session)->NextEvent().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    EXPECT_EQ((*session)->tokens().size(), length);
  }
  cuda_emulator::ResetDevice();
}

}  // namespace
}  // namespace llmcore::core
