// Random runs on a KV cache that is too small for them: nothing hangs, nothing is lost, and what is
// computed has the bits that it has alone.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "tests/engine/rig.h"

namespace llmcore::core {
namespace {

// Sanitizers, which builds with assertions have, make everything ten times slower or more.
#ifdef NDEBUG
constexpr int kRuns = 10000;
constexpr int kThreadedRuns = 200;
#else
constexpr int kRuns = 300;
constexpr int kThreadedRuns = 10;
#endif

constexpr int64_t kMaxContext = 256;  // eight blocks of the ten

// Room for five blocks of the tiny model, of 8 KiB and what is kept of them.
constexpr uint64_t kSomeSwap = 5 * (8192 + 64);

RigOptions Small(Scheduler scheduler, uint64_t swap_bytes = 0) {
  RigOptions options;
  options.request.swap_bytes = swap_bytes;
  options.request.kv_cache_tokens = 320;
  options.request.max_context = kMaxContext;
  options.request.max_batch_tokens = 24;
  options.request.max_batch_sequences = 4;
  options.threads = 1;
  options.scheduler = scheduler;
  options.tiny = true;
  return options;
}

// What a prompt gives alone, where nothing is short.
class Alone {
 public:
  std::vector<float> LogitsOf(const std::vector<int32_t>& tokens) {
    KvSequence sequence = rig_.engine().NewSequence();
    std::vector<float> logits;
    const auto end = static_cast<int64_t>(tokens.size());
    const absl::Status status = rig_.engine().Extend(
        &sequence, tokens, end, end - 1, nullptr,
        [&logits](int64_t, std::span<const float> row) { logits.assign(row.begin(), row.end()); });
    EXPECT_TRUE(status.ok()) << status;
    return logits;
  }

 private:
  static RigOptions Options() {
    RigOptions options = Small(Scheduler::kManual);
    options.request.kv_cache_tokens = 4096;
    options.request.max_batch_tokens = 512;
    return options;
  }
  Rig rig_{Options()};
};

// Logits of the last of some tokens, while they are computed.
class Question {
 public:
  Question(KvSequence* sequence, const std::vector<int32_t>& tokens)
      : request(sequence, tokens, static_cast<int64_t>(tokens.size()),
                static_cast<int64_t>(tokens.size()) - 1, *this) {}
  void operator()(int64_t, std::span<const float> row) const {
    logits.assign(row.begin(), row.end());
  }

  CancelToken cancel;
  mutable std::vector<float> logits;
  Request request;
};

// What a session is to the engine.
struct Actor {
  explicit Actor(KvSequence kv) : sequence(std::move(kv)) {}
  KvSequence sequence;
  std::vector<int32_t> tokens;
  std::unique_ptr<Question> question;
  std::unique_ptr<KvPin> pin;
};

// One thread does at random what the threads of a host may do, and runs the steps itself.
class ManualRun {
 public:
  ManualRun(Rig* rig, Alone* alone, uint64_t seed) : rig_(*rig), alone_(*alone), random_(seed) {}
  ~ManualRun() {
    rig_.hook = nullptr;
    for (const auto& actor : actors_) {
      if (actor->question != nullptr) rig_.engine().Withdraw(&actor->question->request);
    }
  }

  void Run() {
    rig_.hook = [this](const StepContext&) {
      return Below(400) == 0 ? absl::DataLossError("injected") : absl::OkStatus();
    };
    actors_.push_back(std::make_unique<Actor>(rig_.engine().NewSequence()));
    // Longer where sequences are to come back that were swapped out.
    const size_t operations = (rig_.engine().swap().blocks > 0 ? 150 : 20) + Below(60);
    for (size_t i = 0; i < operations && !testing::Test::HasFatalFailure(); ++i) {
      Act(Below(actors_.size()));
      const absl::Status invariants = rig_.engine().CheckInvariants();
      ASSERT_TRUE(invariants.ok()) << invariants;
    }
    Drain();
    actors_.clear();
    ASSERT_EQ(rig_.blocks_in_use(), 0);
    ASSERT_EQ(rig_.engine().waiting(), 0u);
    ASSERT_EQ(rig_.engine().swap().free_blocks, rig_.engine().swap().blocks);
  }

  const std::set<absl::StatusCode>& outcomes() const { return outcomes_; }

 private:
  uint64_t Below(uint64_t n) { return random_() % n; }

  void Act(size_t index) {
    Actor& actor = *actors_[index];
    const bool idle = actor.question == nullptr && actor.pin == nullptr;
    switch (Below(12)) {
      case 0:
      case 1:
      case 2:
        if (idle) Ask(&actor);
        return;
      case 3:
      case 4:
      case 5:
        ASSERT_TRUE(rig_.engine().Step().ok());
        return;
      case 6:
        return Poll(&actor);
      case 7:
        if (actor.question == nullptr) return;
        if (Below(2) == 0) {
          actor.question->cancel.Cancel();
        } else {
          rig_.engine().Withdraw(&actor.question->request);
          actor.question.reset();
        }
        return;
      case 8:
        if (actors_.size() >= 8 || actor.question != nullptr) return;
        actors_.push_back(std::make_unique<Actor>(actor.sequence.Fork()));
        actors_.back()->tokens = actor.tokens;
        return;
      case 9:
        if (!idle) return;
        actor.tokens.resize(Below(actor.tokens.size() + 1));
        actor.sequence.Truncate(static_cast<int64_t>(actor.tokens.size()));
        return;
      case 10:
        if (actors_.size() < 2) {
          actors_.push_back(std::make_unique<Actor>(rig_.engine().NewSequence()));
        } else if (idle) {
          actors_.erase(actors_.begin() + static_cast<ptrdiff_t>(index));
        }
        return;
      default:
        if (Below(2) == 0) {
          actor.sequence.SetReplying(Below(2) == 0);
        } else if (actor.pin != nullptr) {
          actor.pin.reset();
        } else if (idle) {
          actor.pin = std::make_unique<KvPin>(&actor.sequence);
        }
    }
  }

  void Ask(Actor* actor) {
    const size_t room = static_cast<size_t>(kMaxContext) - actor->tokens.size();
    const size_t added = std::min<size_t>(room, 1 + Below(Below(3) == 0 ? 150 : 4));
    for (size_t i = 0; i < added; ++i) actor->tokens.push_back(static_cast<int32_t>(Below(64)));
    actor->sequence.Truncate(static_cast<int64_t>(actor->tokens.size()) - 1);
    actor->question = std::make_unique<Question>(&actor->sequence, actor->tokens);
    Request& request = actor->question->request;
    request.terms.priority = static_cast<int32_t>(Below(5)) - 2;
    if (Below(8) == 0) {
      request.terms.deadline =
          std::chrono::steady_clock::now() + std::chrono::microseconds(Below(2000));
    }
    ASSERT_TRUE(rig_.engine().Submit(&request).ok());
  }

  void Poll(Actor* actor) {
    if (actor->question == nullptr) return;
    Question& question = *actor->question;
    if (!rig_.engine().Poll(&question.request, &question.cancel)) return;
    const absl::Status& status = question.request.status;
    outcomes_.insert(status.code());
    if (status.ok()) {
      ASSERT_EQ(question.logits.size(), 64u);
      if (Below(4) == 0) {
        ASSERT_TRUE(SameBits(question.logits, alone_.LogitsOf(actor->tokens)));
      }
    } else {
      const bool expected =
          absl::IsCancelled(status) || absl::IsDeadlineExceeded(status) || absl::IsDataLoss(status);
      ASSERT_TRUE(expected) << status;
    }
    actor->question.reset();
  }

  // Everything that was asked for is answered within a bounded number of steps.
  void Drain() {
    rig_.hook = nullptr;
    for (const auto& actor : actors_) actor->pin.reset();
    size_t open = 1;
    for (int step = 0; open > 0; ++step) {
      ASSERT_LT(step, 3000);
      open = 0;
      const absl::StatusOr<bool> stepped = rig_.engine().Step();
      ASSERT_TRUE(stepped.ok());
      for (const auto& actor : actors_) {
        Poll(actor.get());
        open += actor->question != nullptr ? 1 : 0;
      }
      // Whatever waits, one of them always goes on.
      if (!*stepped) {
        ASSERT_EQ(open, 0u);
      }
    }
  }

  Rig& rig_;
  Alone& alone_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<Actor>> actors_;
  std::set<absl::StatusCode> outcomes_;
};

// Half of the runs with less memory to swap to than they would use.
TEST(RandomRunsTest, SteppedByHand) {
  const uint64_t seed = std::random_device{}();
  Rig plain(Small(Scheduler::kManual));
  Rig swapping(Small(Scheduler::kManual, kSomeSwap));
  ASSERT_EQ(swapping.engine().swap().blocks, 5);
  Alone alone;
  std::set<absl::StatusCode> outcomes;
  for (int run = 0; run < kRuns; ++run) {
    Rig& rig = run % 2 == 0 ? plain : swapping;
    SCOPED_TRACE(testing::Message() << "seed " << seed + static_cast<uint64_t>(run));
    ManualRun one(&rig, &alone, seed + static_cast<uint64_t>(run));
    one.Run();
    if (HasFatalFailure()) return;
    outcomes.insert(one.outcomes().begin(), one.outcomes().end());
  }
  EXPECT_EQ(outcomes.size(), 4u);  // each kind of end was seen
  const SwapStatistics swap = swapping.engine().swap();
  EXPECT_GT(swap.out_blocks, kRuns / 20);
  EXPECT_GT(swap.in_blocks, kRuns / 50);
  EXPECT_GT(swap.dropped_blocks, kRuns / 50);
  EXPECT_EQ(plain.engine().swap().out_blocks, 0);
}

// Several threads, each with sequences of its own and a canceller, on an engine that steps by
// itself.
class RandomRunsInThreadsTest : public testing::TestWithParam<uint64_t> {};

INSTANTIATE_TEST_SUITE_P(Swap, RandomRunsInThreadsTest, testing::Values(0, kSomeSwap));

TEST_P(RandomRunsInThreadsTest, KeepTheirBits) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Rig rig(Small(Scheduler::kBackground, GetParam()));
  Engine& engine = rig.engine();
  const auto converse = [&engine](uint64_t own_seed) {
    std::mt19937_64 random(own_seed);
    const auto below = [&random](uint64_t n) { return random() % n; };
    std::vector<std::unique_ptr<Actor>> actors;
    actors.push_back(std::make_unique<Actor>(engine.NewSequence()));
    std::vector<std::pair<std::vector<int32_t>, std::vector<float>>> answers;
    for (int i = 0; i < 12; ++i) {
      Actor& actor = *actors[below(actors.size())];
      if (actors.size() < 3 && below(4) == 0) {
        actors.push_back(std::make_unique<Actor>(actor.sequence.Fork()));
        actors.back()->tokens = actor.tokens;
        continue;
      }
      const size_t room = static_cast<size_t>(kMaxContext) - actor.tokens.size();
      const size_t added = std::min<size_t>(room, 1 + below(below(3) == 0 ? 120 : 4));
      for (size_t t = 0; t < added; ++t) actor.tokens.push_back(static_cast<int32_t>(below(64)));
      actor.sequence.SetReplying(below(2) == 0);
      actor.sequence.Truncate(static_cast<int64_t>(actor.tokens.size()) - 1);
      Question question(&actor.sequence, actor.tokens);
      if (below(6) == 0) {
        question.request.terms.deadline =
            std::chrono::steady_clock::now() + std::chrono::microseconds(below(2000));
      }
      std::thread canceller;
      if (below(6) == 0) {
        canceller = std::thread([&question] { question.cancel.Cancel(); });
      }
      EXPECT_TRUE(engine.Submit(&question.request).ok());
      const absl::Status status = engine.Wait(&question.request, &question.cancel);
      if (canceller.joinable()) canceller.join();
      EXPECT_TRUE(status.ok() || absl::IsCancelled(status) || absl::IsDeadlineExceeded(status))
          << status;
      if (status.ok()) answers.emplace_back(actor.tokens, question.logits);
    }
    return answers;
  };
  Alone alone;
  for (int run = 0; run < kThreadedRuns; ++run) {
    constexpr size_t kThreads = 5;
    std::vector<decltype(converse(0))> answers(kThreads);
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreads; ++t) {
      const uint64_t own_seed = seed + static_cast<uint64_t>(run) * kThreads + t;
      threads.emplace_back([&, t, own_seed] { answers[t] = converse(own_seed); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const auto& of_thread : answers) {
      for (const auto& [tokens, logits] : of_thread) {
        ASSERT_TRUE(SameBits(logits, alone.LogitsOf(tokens)));
      }
    }
    {
      // A step that everybody left holds blocks until it ends. It has when the next one does.
      KvSequence sequence = engine.NewSequence();
      const std::vector<int32_t> tokens = {1};
      ASSERT_TRUE(
          engine.Extend(&sequence, tokens, 1, 0, nullptr, [](int64_t, std::span<const float>) {})
              .ok());
    }
    ASSERT_EQ(rig.blocks_in_use(), 0);
    ASSERT_EQ(engine.swap().free_blocks, engine.swap().blocks);
    const absl::Status invariants = engine.CheckInvariants();
    ASSERT_TRUE(invariants.ok()) << invariants;
  }
  EXPECT_EQ(engine.swap().in_blocks > 0, GetParam() > 0);
}

}  // namespace
}  // namespace llmcore::core
