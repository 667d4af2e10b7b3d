// 64 sessions in 64 threads on a model of the size that people use: each gives what it gives alone.
#include <chrono>
#include <cstdio>
#include <thread>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

constexpr int kSessions = 64;
constexpr uint64_t kReply = 3;

// What a session gives: tokens, and the logits after them, bit for bit.
struct Outcome {
  std::vector<llmcore_token> tokens;
  std::vector<float> logits;
};

// The one of this number has a prompt of its own, of 3 to 9 tokens.
Outcome Converse(const llmcore_model* model, int number) {
  const Session session = NewSession(model);
  std::vector<llmcore_token> prompt;
  for (int i = 0; i < 3 + number % 7; ++i) prompt.push_back(1000 * number + 7 * i + 1);
  EXPECT_TRUE(Works(llmcore_session_append_tokens(session.get(), prompt.data(), prompt.size())));
  const Params params = NewGreedyParams(kReply);
  EXPECT_TRUE(Works(llmcore_sampling_params_set_ignore_eos(params.get(), true)));
  Outcome outcome;
  outcome.tokens = ReadAll(Generate(session.get(), params.get()).get()).tokens;
  EXPECT_EQ(outcome.tokens.size(), kReply);
  const float* values = nullptr;
  size_t count = 0;
  EXPECT_TRUE(Works(llmcore_session_logits(session.get(), &values, &count)));
  outcome.logits.assign(values, values + count);
  return outcome;
}

Model LoadShape(uint64_t kv_cache_tokens, uint64_t swap_bytes) {
  const Options options = NewOptions();
  EXPECT_TRUE(Works(llmcore_model_options_set_weight_format(options.get(), "int4", 4)));
  EXPECT_TRUE(Works(llmcore_model_options_set_max_context(options.get(), 64)));
  EXPECT_TRUE(Works(llmcore_model_options_set_kv_cache_tokens(options.get(), kv_cache_tokens)));
  EXPECT_TRUE(Works(llmcore_model_options_set_swap_bytes(options.get(), swap_bytes)));
  llmcore_model* model = nullptr;
  EXPECT_TRUE(Works(llmcore_model_load_synthetic("llama-3.2-1b", 12, options.get(), &model)));
  return Model(model);
}

void ExpectTogether(const llmcore_model* model, const std::vector<Outcome>& alone) {
  std::vector<Outcome> together(kSessions);
  std::vector<std::thread> threads;
  for (int i = 0; i < kSessions; ++i) {
    threads.emplace_back([&, i] { together[static_cast<size_t>(i)] = Converse(model, i); });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < kSessions; ++i) {
    EXPECT_EQ(together[i].tokens, alone[i].tokens) << i;
    ASSERT_EQ(together[i].logits.size(), alone[i].logits.size()) << i;
    EXPECT_EQ(std::memcmp(together[i].logits.data(), alone[i].logits.data(),
                          alone[i].logits.size() * sizeof(float)),
              0)
        << i;
  }
}

TEST(ManySessionsTest, OfABillionWeightsGiveWhatTheyGiveAlone) {
#ifndef NDEBUG
  GTEST_SKIP() << "steps of a billion weights take minutes in a build with assertions; "
                  "capi_threads_test does the same with the built-in model";
#endif
  std::vector<Outcome> alone;
  {
    const Model model = LoadShape(64 * 32, 0);
    for (int i = 0; i < kSessions; ++i) alone.push_back(Converse(model.get(), i));
    ExpectTogether(model.get(), alone);
  }
  // A cache that holds 16 of them: the others wait, are swapped out, or compute again.
  const Model crowded = LoadShape(16 * 32, uint64_t{8} << 20);
  ExpectTogether(crowded.get(), alone);
}

}  // namespace
}  // namespace llmcore::capi_test
