// Run under ThreadSanitizer as well.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

using Clock = std::chrono::steady_clock;

std::string Question(int i) {
  return std::to_string(i) + "." + std::to_string(i) + "+2.3=?";
}

// Sanitizers, which builds with assertions have, make steps up to a hundred times slower.
#ifdef NDEBUG
constexpr uint64_t kMostTokens = 60;
#else
constexpr uint64_t kMostTokens = 8;
#endif

Reply Ask(const llmcore_model* model, const std::string& question) {
  const Session session = NewSession(model);
  EXPECT_TRUE(Works(AddMessage(session.get(), "user", question)));
  return ReadAll(Generate(session.get(), NewGreedyParams(kMostTokens).get()).get());
}

TEST(ThreadsTest, SessionsOfOneModelGiveWhatTheyGiveAlone) {
  constexpr int kThreads = 8;
  std::vector<Reply> alone;
  for (int i = 0; i < kThreads; ++i) alone.push_back(Ask(SharedModel(), Question(i)));
  std::vector<Reply> together(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] { together[i] = Ask(SharedModel(), Question(i)); });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kThreads; ++i) EXPECT_EQ(together[i].tokens, alone[i].tokens) << i;
}

// Also where the KV cache holds only a few of them: the rest wait, or compute again what they lost.
TEST(ThreadsTest, SixtyFourSessionsInSixtyFourThreadsGiveWhatTheyGiveAlone) {
  constexpr int kThreads = 64;
  std::vector<Reply> alone;
  for (int i = 0; i < kThreads; ++i) alone.push_back(Ask(SharedModel(), Question(i)));
  for (const uint64_t kv_cache_tokens : {8192, 256}) {
    const Options options = NewOptions();
    ASSERT_TRUE(Works(llmcore_model_options_set_kv_cache_tokens(options.get(), kv_cache_tokens)));
    const Model model = LoadModel(options.get());
    std::vector<Reply> together(kThreads);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] { together[i] = Ask(model.get(), Question(i)); });
    }
    for (std::thread& thread : threads) thread.join();
    for (int i = 0; i < kThreads; ++i) {
      EXPECT_EQ(together[i].tokens, alone[i].tokens) << i << " of " << kv_cache_tokens;
    }
  }
}

TEST(ThreadsTest, ATokenizerIsSharedByThreads) {
  llmcore_tokenizer* tokenizer = nullptr;
  ASSERT_TRUE(Works(llmcore_tokenizer_of(SharedModel(), &tokenizer)));
  const Tokenizer owned(tokenizer);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 50; ++n) {
        llmcore_tokens* ids = nullptr;
        EXPECT_TRUE(Works(llmcore_tokenizer_encode(tokenizer, "one two three", 13, 0, &ids)));
        EXPECT_GT(llmcore_tokens_size(ids), 0u);
        llmcore_tokens_destroy(ids);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A session that two threads use against the rules answers with an error, not with a crash.
TEST(ThreadsTest, ASessionUsedByTwoThreadsAtOnceIsRefused) {
  const Session session = NewSession();
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const llmcore_token ids[] = {49, 50, 51};
      for (int n = 0; n < 20; ++n) {
        const Error append(llmcore_session_append_tokens(session.get(), ids, 3));
        const float* values = nullptr;
        size_t count = 0;
        const Error logits(llmcore_session_logits(session.get(), &values, &count));
        for (const llmcore_error* error : {append.get(), logits.get()}) {
          if (error == nullptr) continue;
          ++refused;
          EXPECT_THAT(llmcore_error_code(error),
                      testing::AnyOf(LLMCORE_FAILED_PRECONDITION, LLMCORE_OUT_OF_RANGE));
        }
        EXPECT_EQ(llmcore_session_length(session.get()) % 3, 0u);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(TokensOf(session.get()).size() % 3, 0u);
}

// How long a reply goes on that another thread cancels.
Clock::duration CancelLatency() {
  const Session session = NewSession();
  EXPECT_TRUE(Works(AddMessage(session.get(), "user", "1.1+2.3=?")));
  const Params params = NewParams();
  EXPECT_TRUE(Works(llmcore_sampling_params_set_ignore_eos(params.get(), true)));
  std::atomic<int> events{0};
  Clock::time_point ended;
  std::thread worker([&] {
    // Begins again when the context is full, until it is cancelled.
    while (true) {
      const Generation generation = Generate(session.get(), params.get());
      const llmcore_event* event = nullptr;
      do {
        const Error error(llmcore_generation_next(generation.get(), &event));
        if (llmcore_error_code(error.get()) == LLMCORE_CANCELLED) {
          ended = Clock::now();
          return;
        }
        ASSERT_EQ(error, nullptr) << llmcore_error_message(error.get());
        ++events;
      } while (event != nullptr);
      ASSERT_TRUE(Works(llmcore_session_truncate(session.get(), 0)));
      ASSERT_TRUE(Works(AddMessage(session.get(), "user", "1.1+2.3=?")));
    }
  });
  while (events < 10) std::this_thread::yield();
  const Clock::time_point cancelled = Clock::now();
  llmcore_session_cancel(session.get());
  worker.join();
  return ended - cancelled;
}

TEST(ThreadsTest, CancelComesThroughWithin50Milliseconds) {
  // The least of several tries: a busy machine delays any thread.
  Clock::duration least = Clock::duration::max();
  for (int i = 0; i < 5 && least > std::chrono::milliseconds(25); ++i) {
    least = std::min(least, CancelLatency());
  }
  EXPECT_LT(least, std::chrono::milliseconds(50));
}

}  // namespace
}  // namespace llmcore::capi_test
