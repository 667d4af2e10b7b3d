// Steps that several sequences share: what is in them, and that nobody notices the others.
#include "lib/engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <new>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/engine/rig.h"

namespace llmcore::core {
namespace {

int32_t ArgMax(std::span<const float> row) {
  return static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

// A prompt, of which the last `kept` positions give logits, and the greedy reply to it.
struct Conversation {
  std::vector<int32_t> tokens;
  int64_t kept = 1;
  int replies = 0;

  std::vector<float> logits;  // of all positions that were asked for
  absl::Status status;

  void Run(Engine* engine) {
    KvSequence sequence = engine->NewSequence();
    const auto sink = [this](int64_t, std::span<const float> row) {
      logits.insert(logits.end(), row.begin(), row.end());
    };
    for (int i = 0; i <= replies && status.ok(); ++i) {
      const auto end = static_cast<int64_t>(tokens.size());
      status = engine->Extend(&sequence, tokens, end, i == 0 ? end - kept : end - 1, nullptr, sink);
      if (!status.ok()) return;
      tokens.push_back(
          ArgMax(std::span(logits).last(static_cast<size_t>(engine->vocabulary_size()))));
    }
  }
};

std::vector<Conversation> Conversations(const Rig& rig, size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Conversation> all(count);
  for (Conversation& one : all) {
    const size_t length = 1 + random() % (random() % 3 == 0 ? 100 : 20);
    one.tokens = rig.RandomTokens(length, random());
    one.kept = 1 + static_cast<int64_t>(random() % length);
    one.replies = static_cast<int>(random() % 12);
  }
  return all;
}

TEST(EngineTest, EverySequenceGivesTheBitsThatItGivesAlone) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::vector<Conversation> alone;
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kInt4}) {
    MemoryRequest request;
    request.weight_format = format;
    if (format == WeightFormat::kInt4) request.activation_format = ActivationFormat::kInt8;
    {
      Rig rig({.request = request, .threads = 1});
      alone = Conversations(rig, 32, seed);
      for (Conversation& one : alone) one.Run(&rig.engine());
    }
    for (const int32_t chunk : {3, 40, 512}) {
      for (const int32_t at_once : {1, 5, 32}) {
        request.max_batch_tokens = chunk;
        request.max_batch_sequences = at_once;
        Rig rig({.request = request, .threads = chunk == 40 ? 3 : 2});
        for (const size_t sessions : {2u, 16u, 32u}) {
          auto together = Conversations(rig, 32, seed);
          together.resize(sessions);
          std::vector<std::thread> threads;
          for (Conversation& one : together) threads.emplace_back([&] { one.Run(&rig.engine()); });
          for (std::thread& thread : threads) thread.join();
          for (size_t i = 0; i < sessions; ++i) {
            ASSERT_TRUE(together[i].status.ok()) << together[i].status;
            EXPECT_TRUE(SameBits(together[i].logits, alone[i].logits))
                << "sequence " << i << " of " << sessions << ", chunks of " << chunk << ", "
                << at_once << " at once";
          }
          EXPECT_EQ(rig.blocks_in_use(), 0);
        }
      }
    }
  }
}

// A place where one thread waits until another lets it go.
class Gate {
 public:
  void Pass() {
    std::unique_lock<std::mutex> lock(mutex_);
    reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void AwaitReached() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return reached_; });
  }
  void Open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false;
  bool open_ = false;
};

// Keeps the engine at the end of a step, so that what is asked for meanwhile comes in one step.
class HeldStep {
 public:
  explicit HeldStep(Rig* rig) : engine_(rig->engine()), sequence_(engine_.NewSequence()) {
    thread_ = std::thread([this] {
      const std::vector<int32_t> tokens = {1, 2};  // no decode, beside which prompts are cut short
      EXPECT_TRUE(engine_
                      .Extend(&sequence_, tokens, 2, 1, nullptr,
                              [this](int64_t, std::span<const float>) { gate_.Pass(); })
                      .ok());
    });
    gate_.AwaitReached();
  }
  ~HeldStep() { thread_.join(); }

  void LetGoWhenWaiting(size_t requests) {
    while (engine_.waiting() < requests) std::this_thread::yield();
    gate_.Open();
  }

 private:
  Engine& engine_;
  KvSequence sequence_;
  Gate gate_;
  std::thread thread_;
};

TEST(EngineTest, WhatWaitsSharesOneStep) {
  Rig rig;
  std::vector<Conversation> all(16);
  std::vector<std::thread> threads;
  {
    HeldStep held(&rig);
    rig.engine().SetTrace(true);
    for (size_t i = 0; i < all.size(); ++i) {
      all[i].tokens = rig.RandomTokens(10, i);
      threads.emplace_back([&, i] { all[i].Run(&rig.engine()); });
    }
    held.LetGoWhenWaiting(all.size());
  }
  for (std::thread& thread : threads) thread.join();
  const auto trace = nlohmann::json::parse(rig.engine().TraceJson());
  EXPECT_EQ(trace["steps"], 1) << trace;
  EXPECT_EQ(trace["rows"], 160) << trace;
}

// How an operation may fail: Backend promises a status, and a step survives the rest.
enum class Failure { kStatus, kBadAlloc, kException };

absl::Status Fail(Failure failure) {
  if (failure == Failure::kBadAlloc) throw std::bad_alloc();
  if (failure == Failure::kException) throw std::runtime_error("injected");
  return absl::DataLossError("injected");
}

absl::StatusCode CodeOf(Failure failure) {
  if (failure == Failure::kBadAlloc) return absl::StatusCode::kResourceExhausted;
  return failure == Failure::kException ? absl::StatusCode::kInternal : absl::StatusCode::kDataLoss;
}

class EngineFailureTest : public testing::TestWithParam<Failure> {};

INSTANTIATE_TEST_SUITE_P(EveryWay, EngineFailureTest,
                         testing::Values(Failure::kStatus, Failure::kBadAlloc,
                                         Failure::kException));

TEST_P(EngineFailureTest, AtAnyStageLeavesEverySequenceAsItWas) {
  Rig rig;
  Engine& engine = rig.engine();
  constexpr size_t kSequences = 3;
  std::vector<Conversation> whole(kSequences);
  std::vector<KvSequence> sequences;
  std::vector<KvSequence> forks;  // so that the step has blocks to copy
  const auto ignore = [](int64_t, std::span<const float>) {};
  for (size_t i = 0; i < kSequences; ++i) {
    whole[i].tokens = rig.RandomTokens(50 + 20 * i, i);
    const std::vector<int32_t> tokens = whole[i].tokens;
    whole[i].kept = 9;
    whole[i].Run(&engine);
    whole[i].tokens = tokens;
    sequences.push_back(engine.NewSequence());
    const auto part = static_cast<int64_t>(tokens.size()) - 12;
    ASSERT_TRUE(engine.Extend(&sequences[i], tokens, part, part, nullptr, ignore).ok());
    forks.push_back(sequences[i].Fork());
  }
  std::vector<std::vector<float>> logits(kSequences);
  std::vector<absl::Status> statuses(kSequences);
  const auto step = [&](int fail_at) {
    std::vector<std::thread> threads;
    int operation = 0;
    HeldStep held(&rig);
    rig.hook = [&operation, fail_at](const StepContext&) {
      return operation++ == fail_at ? Fail(GetParam()) : absl::OkStatus();
    };
    for (size_t i = 0; i < kSequences; ++i) {
      threads.emplace_back([&, i] {
        const auto end = static_cast<int64_t>(whole[i].tokens.size());
        logits[i].clear();
        statuses[i] = engine.Extend(&sequences[i], whole[i].tokens, end, end - 9, nullptr,
                                    [&, i](int64_t, std::span<const float> row) {
                                      logits[i].insert(logits[i].end(), row.begin(), row.end());
                                    });
      });
    }
    held.LetGoWhenWaiting(kSequences);
    for (std::thread& thread : threads) thread.join();
    rig.hook = nullptr;
    return operation > fail_at;
  };
  const int32_t in_use = rig.blocks_in_use();
  int failures = 0;
  while (step(failures)) {
    ++failures;
    for (size_t i = 0; i < kSequences; ++i) {
      EXPECT_EQ(statuses[i].code(), CodeOf(GetParam())) << statuses[i];
      EXPECT_EQ(sequences[i].length() + 12, static_cast<int64_t>(whole[i].tokens.size()));
    }
    ASSERT_EQ(rig.blocks_in_use(), in_use);
    ASSERT_TRUE(engine.CheckInvariants().ok()) << engine.CheckInvariants();
    ASSERT_LT(failures, 1000);
  }
  EXPECT_GT(failures, 10);
  for (size_t i = 0; i < kSequences; ++i) {
    ASSERT_TRUE(statuses[i].ok()) << statuses[i];
    EXPECT_TRUE(SameBits(logits[i], whole[i].logits)) << i;
  }
}

TEST(EngineTest, ARequestLeavesTheStepThatItIsPartOf) {
  Rig rig;
  Engine& engine = rig.engine();
  Conversation expected;
  expected.tokens = rig.RandomTokens(40, 1);
  expected.Run(&engine);

  Gate inside;
  std::atomic<bool> told = false;
  Conversation stays;
  stays.tokens = rig.RandomTokens(40, 1);
  CancelToken cancel;
  KvSequence sequence = engine.NewSequence();
  const auto tokens = rig.RandomTokens(30, 3);
  std::thread staying;
  std::future<absl::Status> leaving;
  {
    HeldStep held(&rig);
    rig.hook = [&](const StepContext& context) {
      inside.Pass();
      if (context.cancel->cancelled()) told = true;
      return absl::OkStatus();
    };
    staying = std::thread([&] { stays.Run(&engine); });
    leaving = std::async(std::launch::async, [&] {
      return engine.Extend(&sequence, tokens, 30, 29, &cancel,
                           [](int64_t, std::span<const float>) { FAIL(); });
    });
    held.LetGoWhenWaiting(2);
  }
  inside.AwaitReached();  // both are part of the step that stands still now
  cancel.Cancel();
  EXPECT_EQ(leaving.get().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(sequence.length(), 0);
  EXPECT_TRUE(sequence.blocks().empty());
  inside.Open();
  staying.join();
  EXPECT_FALSE(told);
  EXPECT_TRUE(stays.status.ok()) << stays.status;
  EXPECT_TRUE(SameBits(stays.logits, expected.logits));
  rig.hook = nullptr;
  EXPECT_EQ(rig.blocks_in_use(), 0);
}

TEST(EngineTest, AStepThatNobodyWaitsForStops) {
  Rig rig;
  Gate inside;
  std::atomic<int> operations = 0;
  rig.hook = [&](const StepContext&) {
    inside.Pass();
    ++operations;
    return absl::OkStatus();
  };
  CancelToken cancel;
  KvSequence sequence = rig.engine().NewSequence();
  const auto tokens = rig.RandomTokens(30, 3);
  auto leaving = std::async(std::launch::async, [&] {
    return rig.engine().Extend(&sequence, tokens, 30, 29, &cancel,
                               [](int64_t, std::span<const float>) { FAIL(); });
  });
  inside.AwaitReached();
  cancel.Cancel();
  EXPECT_EQ(leaving.get().code(), absl::StatusCode::kCancelled);
  inside.Open();
  // The next one runs to its end.
  Conversation next;
  next.tokens = tokens;
  next.Run(&rig.engine());
  EXPECT_TRUE(next.status.ok()) << next.status;
  const int both = operations.exchange(0);
  Conversation alone;
  alone.tokens = tokens;
  alone.Run(&rig.engine());
  EXPECT_EQ(both, operations + 1);  // the first operation saw the token
  rig.hook = nullptr;
}

TEST(EngineTest, SequencesThatDoNotFitTogetherAllFinishWithTheirBits) {
  MemoryRequest request;
  request.kv_cache_tokens = 256;
  request.max_context = 256;
  Rig rig({.request = request});
  Engine& engine = rig.engine();
  std::vector<Conversation> all(12);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].tokens = rig.RandomTokens(60, i);
    all[i].replies = 20;
    threads.emplace_back([&, i] { all[i].Run(&engine); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(rig.blocks_in_use(), 0);
  EXPECT_TRUE(engine.CheckInvariants().ok()) << engine.CheckInvariants();
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_TRUE(all[i].status.ok()) << all[i].status;
    Conversation alone;
    alone.tokens = rig.RandomTokens(60, i);
    alone.replies = 20;
    alone.Run(&engine);
    EXPECT_TRUE(SameBits(alone.logits, all[i].logits)) << i;
  }
}

// Two sequences of 200 tokens on a cache of 256: each takes blocks of the other.
class SwapTest : public EngineFailureTest {
 protected:
  static constexpr int64_t kPrompt = 200;

  static Rig MakeRig(uint64_t swap_bytes) {
    RigOptions options;
    options.request.kv_cache_tokens = 256;
    options.request.max_context = 256;
    options.request.swap_bytes = swap_bytes;
    options.tiny = true;
    return Rig(options);
  }

  // The logits of the last of `end` tokens.
  static absl::Status Extend(Rig* rig, KvSequence* sequence, const std::vector<int32_t>& tokens,
                             int64_t end, std::vector<float>* logits) {
    return rig->engine().Extend(
        sequence, tokens, end, end - 1, nullptr,
        [logits](int64_t, std::span<const float> row) { logits->assign(row.begin(), row.end()); });
  }
};

TEST_P(SwapTest, WhatComesBackIsNotComputedAgain) {
  Rig plain = MakeRig(0);
  Rig swapping = MakeRig(uint64_t{1} << 20);
  const std::vector<std::vector<int32_t>> tokens = {plain.RandomTokens(220, 1),
                                                    plain.RandomTokens(220, 2)};
  std::vector<std::vector<float>> logits[2];
  int64_t computed[2];
  for (Rig* const rig : {&plain, &swapping}) {
    const size_t which = rig == &plain ? 0 : 1;
    std::vector<KvSequence> sequences;
    for (size_t i = 0; i < 2; ++i) sequences.push_back(rig->engine().NewSequence());
    for (int64_t end = kPrompt; end < 220; end += end == kPrompt ? 1 : 5) {
      for (size_t i = 0; i < 2; ++i) {
        auto& row = logits[which].emplace_back();
        const absl::Status status = Extend(rig, &sequences[i], tokens[i], end, &row);
        ASSERT_TRUE(status.ok()) << status;
        ASSERT_TRUE(rig->engine().CheckInvariants().ok()) << rig->engine().CheckInvariants();
      }
    }
    computed[which] = rig->engine().prefix_cache().computed_tokens;
  }
  ASSERT_EQ(logits[0].size(), logits[1].size());
  for (size_t i = 0; i < logits[0].size(); ++i) EXPECT_TRUE(SameBits(logits[0][i], logits[1][i]));
  const SwapStatistics swap = swapping.engine().swap();
  EXPECT_EQ(swap.dropped_blocks, 0);
  EXPECT_GT(swap.out_blocks, 40);
  EXPECT_GE(swap.in_blocks, swap.out_blocks - 7);
  EXPECT_EQ(swap.free_blocks, swap.blocks);
  // Each token once, against once a turn.
  EXPECT_LE(computed[1], 2 * 216);
  EXPECT_GT(computed[0], 5 * 2 * 100);
  EXPECT_GT(plain.engine().swap().dropped_blocks, 40);
  EXPECT_EQ(plain.engine().swap().blocks, 0);
}

TEST_P(SwapTest, AFailureAtAnyStageIsNeverWrong) {
  Rig rig = MakeRig(uint64_t{1} << 20);
  Engine& engine = rig.engine();
  const std::vector<std::vector<int32_t>> tokens = {rig.RandomTokens(kPrompt + 1, 1),
                                                    rig.RandomTokens(kPrompt + 1, 2)};
  std::vector<std::vector<float>> alone(2);
  for (size_t i = 0; i < 2; ++i) {
    KvSequence sequence = engine.NewSequence();
    ASSERT_TRUE(Extend(&rig, &sequence, tokens[i], kPrompt + 1, &alone[i]).ok());
  }
  bool failed = true;
  for (int fail_at = 0; failed; ++fail_at) {
    ASSERT_LT(fail_at, 100);
    std::vector<KvSequence> sequences;
    std::vector<float> logits;
    for (size_t i = 0; i < 2; ++i) {
      sequences.push_back(engine.NewSequence());
      ASSERT_TRUE(Extend(&rig, &sequences[i], tokens[i], kPrompt, &logits).ok());
    }
    ASSERT_FALSE(sequences[0].swapped_blocks().empty());
    // The first comes back, and the second goes: or not.
    int operation = 0;
    rig.hook = [&](const StepContext&) {
      return operation++ == fail_at ? Fail(GetParam()) : absl::OkStatus();
    };
    const absl::Status status = Extend(&rig, &sequences[0], tokens[0], kPrompt + 1, &logits);
    rig.hook = nullptr;
    failed = operation > fail_at;
    EXPECT_EQ(status.code(), failed ? CodeOf(GetParam()) : absl::StatusCode::kOk) << status;
    if (failed) {
      EXPECT_EQ(sequences[0].length(), kPrompt);
    }
    if (fail_at == 0) {  // copying to the host
      EXPECT_LT(sequences[1].length(), kPrompt);
      EXPECT_TRUE(sequences[1].swapped_blocks().empty());
    } else {
      EXPECT_EQ(sequences[1].length(), kPrompt);
      EXPECT_FALSE(sequences[1].swapped_blocks().empty());
    }
    ASSERT_TRUE(engine.CheckInvariants().ok()) << engine.CheckInvariants();
    for (size_t i = 0; i < 2; ++i) {
      sequences[i].Truncate(kPrompt);
      ASSERT_TRUE(Extend(&rig, &sequences[i], tokens[i], kPrompt + 1, &logits).ok());
      EXPECT_TRUE(SameBits(logits, alone[i])) << "operation " << fail_at << ", sequence " << i;
    }
    sequences.clear();
    ASSERT_EQ(rig.blocks_in_use(), 0);
    ASSERT_EQ(engine.swap().free_blocks, engine.swap().blocks);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryWay, SwapTest,
                         testing::Values(Failure::kStatus, Failure::kBadAlloc,
                                         Failure::kException));

TEST(EngineTest, ASequenceThatNoCacheCouldHoldFailsWithTheBytesThatAreMissing) {
  Rig rig({.kv_blocks = 3});
  Engine& engine = rig.engine();
  Conversation fits;
  fits.tokens = rig.RandomTokens(48, 1);
  KvSequence sequence = engine.NewSequence();
  const auto tokens = rig.RandomTokens(161, 2);
  const absl::Status status = engine.Extend(&sequence, tokens, 161, 160, nullptr,
                                            [](int64_t, std::span<const float>) { FAIL(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(BytesNeeded(status), 3 * engine.saved_block_bytes());
  fits.Run(&engine);
  EXPECT_TRUE(fits.status.ok()) << fits.status;
}

TEST(EngineTest, ATokenOutsideTheVocabularyFailsAlone) {
  Rig rig;
  KvSequence sequence = rig.engine().NewSequence();
  const std::vector<int32_t> tokens = {1, rig.engine().vocabulary_size()};
  EXPECT_EQ(rig.engine()
                .Extend(&sequence, tokens, 2, 1, nullptr, [](int64_t, std::span<const float>) {})
                .code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(sequence.length(), 0);
}

}  // namespace
}  // namespace llmcore::core
