// Models of published shapes with random weights: how soon work stops when it is told to.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "lib/session/session.h"
#include "tests/support/sanitized_build.h"

namespace llmcore::core {
namespace {

using Clock = std::chrono::steady_clock;

double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

ModelOptions Int4Options() {
  ModelOptions options;
  options.device = "cpu";
  options.weight_format = WeightFormat::kInt4;
  return options;
}

// Runs `work` in a thread, cancels it after `delay` and returns how long it then went on, in
// milliseconds. The least of several tries: a busy machine delays any thread.
template <typename Work, typename Cancel>
double LeastCancelLatency(int tries, std::chrono::milliseconds delay, Work work, Cancel cancel) {
  double least = 1e9;
  for (int i = 0; i < tries && least > 25; ++i) {
    absl::Status status;
    Clock::time_point end;
    std::thread worker([&] {
      status = work();
      end = Clock::now();
    });
    std::this_thread::sleep_for(delay);
    const Clock::time_point start = Clock::now();
    cancel();
    worker.join();
    EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
    least = std::min(least, Milliseconds(end - start));
  }
  return least;
}

class LargeModelTest : public testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "times mean nothing under a sanitizer";
  }
};

TEST_F(LargeModelTest, PrefillAndDecodeStopWithin50Milliseconds) {
  const auto model = Model::LoadSynthetic("qwen2.5-0.5b", Int4Options());
  ASSERT_TRUE(model.ok()) << model.status();
  const auto session = *Session::Create(*model);
  const std::vector<TokenId> prompt(4096, 17);
  ASSERT_TRUE(session->AppendTokens(prompt).ok());
  EXPECT_LT(LeastCancelLatency(
                5, std::chrono::milliseconds(60), [&] { return session->Logits().status(); },
                [&] { session->Cancel(); }),
            50);
  ASSERT_TRUE(session->Truncate(16).ok());
  EXPECT_LT(LeastCancelLatency(
                5, std::chrono::milliseconds(60),
                [&] {
                  GenerationParams params;
                  params.temperature = 0;
                  absl::Status status = session->StartGeneration(params);
                  while (status.ok()) status = session->NextEvent().status();
                  return status;
                },
                [&] { session->Cancel(); }),
            50);
}

TEST_F(LargeModelTest, LoadingStopsWithin50Milliseconds) {
  const auto token = std::make_shared<CancelToken>();
  ModelOptions options = Int4Options();
  options.cancel = token;
  EXPECT_LT(LeastCancelLatency(
                5, std::chrono::milliseconds(300),
                [&] {
                  token->Reset();
                  return Model::LoadSynthetic("llama-3.2-1b", options).status();
                },
                [&] { token->Cancel(); }),
            50);
}

}  // namespace
}  // namespace llmcore::core
