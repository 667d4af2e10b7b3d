// A step allocates nothing: not while prompts are read in chunks, not while replies come, not where
// sequences take each other's blocks, not while it is traced, not on the threads of the backend,
// whatever the formats.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <barrier>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "lib/cpu/cpu_backend.h"
#include "lib/engine/engine.h"
#include "lib/engine/plan_memory.h"
#include "lib/session/synthetic_shapes.h"
#include "tests/support/allocation_counter.h"

namespace llmcore::core {
namespace {

constexpr int64_t kContext = 900;

struct Formats {
  WeightFormat weights = WeightFormat::kBf16;
  ActivationFormat activations = ActivationFormat::kF32;
  KvFormat kv = KvFormat::kBf16;
  RopeScaling scaling = RopeScaling::kDefault;
};

struct Memory {
  int64_t kv_cache_tokens = 8192;
  uint64_t swap_blocks = 0;
};

std::unique_ptr<Engine> MakeEngine(const Formats& formats, int threads, Memory memory = {}) {
  ModelConfig config =
      *LoadModelConfig(std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus");
  config.rope.scaling = formats.scaling;
  config.rope.factor = 4;
  config.rope.original_max_position_embeddings = 200;
  if (formats.scaling != RopeScaling::kDefault) config.max_position_embeddings = 300;
  cpu::CpuBackendOptions options;
  options.threads = threads;
  auto backend = cpu::CpuBackend::Create(options);
  EXPECT_TRUE(backend.ok()) << backend.status();
  MemoryRequest request;
  request.weight_format = formats.weights;
  request.activation_format = formats.activations;
  request.kv_format = formats.kv;
  request.kv_cache_tokens = memory.kv_cache_tokens;
  request.swap_bytes =
      memory.swap_blocks * ((*backend)->KvBlockBytes(KvShapeOf(config, formats.kv)) *
                                static_cast<uint64_t>(config.num_layers) +
                            BlockPool::HostBytesPerBlock({.prefix_cache = false}));
  request.max_batch_tokens = 64;
  const auto plan = PlanMemory(config, request, **backend, /*enforce_budget=*/true);
  EXPECT_TRUE(plan.ok()) << plan.status();
  const auto weights = RandomWeights(LargestTensor(config));
  auto engine = Engine::Create(config, *plan, **weights, *std::move(backend), {});
  EXPECT_TRUE(engine.ok()) << engine.status();
  return *std::move(engine);
}

const std::vector<int32_t>& Tokens() {
  static const std::vector<int32_t> tokens(kContext, 17);
  return tokens;
}

// Computes up to `end`; the logits of the last position.
template <typename Sink>
absl::Status Extend(Engine* engine, KvSequence* sequence, int64_t end, const Sink& sink) {
  return engine->Extend(sequence, Tokens(), end, end - 1, nullptr, sink);
}

class StepAllocationTest : public testing::TestWithParam<Formats> {
 protected:
  void SetUp() override {
#ifndef NDEBUG
    GTEST_SKIP() << "a build with assertions checks invariants after each step, which allocates";
#endif
  }
};

// One sequence: whatever thread allocates, it is counted.
TEST_P(StepAllocationTest, PromptsAndRepliesOfOneSequenceAllocateNothing) {
  const auto engine = MakeEngine(GetParam(), /*threads=*/2);
  const auto ignore = [](int64_t, std::span<const float>) {};
  KvSequence sequence = engine->NewSequence();
  sequence.PrepareTable(kContext);
  ASSERT_TRUE(Extend(engine.get(), &sequence, 70, ignore).ok());  // what grows once has grown
  ASSERT_TRUE(Extend(engine.get(), &sequence, 71, ignore).ok());

  const uint64_t before = test::AllocationCount();
  absl::Status status = Extend(engine.get(), &sequence, 800, ignore);  // a dozen chunks
  for (int64_t end = 801; end <= kContext && status.ok(); ++end) {
    status = Extend(engine.get(), &sequence, end, ignore);
  }
  const uint64_t allocated = test::AllocationCount() - before;
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(allocated, 0u);
}

// Several sequences, some of which share blocks that a write has to copy. With a backend of one
// thread all of a step runs on the engine's own, logits included: what it allocates between two of
// them is what the steps did.
TEST_P(StepAllocationTest, StepsOfSeveralSequencesAllocateNothing) {
  constexpr int kSequences = 6;
  const auto engine = MakeEngine(GetParam(), /*threads=*/1);
  const auto ignore = [](int64_t, std::span<const float>) {};
  KvSequence first = engine->NewSequence();
  ASSERT_TRUE(Extend(engine.get(), &first, 70, ignore).ok());
  std::array<std::atomic<uint64_t>, 2> counts{};  // at the first logits of all and at the last
  std::atomic<bool> any{false};
  const auto count = [&](int64_t, std::span<const float>) {
    const uint64_t now = test::ThreadAllocationCount();
    if (!any.exchange(true)) counts[0] = now;
    counts[1] = now;
  };
  std::barrier ready(kSequences);
  std::atomic<int> failures = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kSequences; ++i) {
    threads.emplace_back([&, i, sequence = first.Fork()]() mutable {
      ready.arrive_and_wait();
      const int64_t prompt = 400 + 50 * i;
      failures += Extend(engine.get(), &sequence, prompt, count).ok() ? 0 : 1;
      for (int64_t end = prompt + 1; end < prompt + 60; ++end) {
        failures += Extend(engine.get(), &sequence, end, count).ok() ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_TRUE(any);
  EXPECT_EQ(counts[1] - counts[0], 0u);
}

// Two sequences of which one fits, so that each takes the blocks of the other: with places for all
// of them in the host's memory, for some and for none. Steps are traced.
TEST_P(StepAllocationTest, StepsThatTakeBlocksOfOthersAllocateNothing) {
  constexpr int64_t kPrompt = 300;
  for (const uint64_t places : {20, 2, 0}) {
    SCOPED_TRACE(testing::Message() << places << " places");
    const auto engine =
        MakeEngine(GetParam(), /*threads=*/2, {.kv_cache_tokens = 480, .swap_blocks = places});
    engine->SetTrace(true);
    const auto ignore = [](int64_t, std::span<const float>) {};
    std::vector<int32_t> tokens[2] = {Tokens(), Tokens()};
    tokens[1][0] = 18;  // they have nothing in common
    KvSequence sequences[2] = {engine->NewSequence(), engine->NewSequence()};
    const auto extend = [&](size_t which, int64_t end) {
      return engine->Extend(&sequences[which], tokens[which], end, end - 1, nullptr, ignore);
    };
    for (size_t which = 0; which < 2; ++which) {
      sequences[which].PrepareTable(kPrompt + 10);
      ASSERT_TRUE(extend(which, kPrompt).ok());
    }
    const SwapStatistics begin = engine->swap();
    const uint64_t before = test::AllocationCount();
    absl::Status status;
    for (int64_t end = kPrompt + 1; end <= kPrompt + 10 && status.ok(); ++end) {
      status = extend(0, end);
      if (status.ok()) status = extend(1, end);
    }
    const uint64_t allocated = test::AllocationCount() - before;
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(allocated, 0u);
    // It was about something.
    const SwapStatistics end = engine->swap();
    EXPECT_EQ(end.in_blocks > begin.in_blocks, places > 0);
    EXPECT_EQ(end.dropped_blocks > begin.dropped_blocks, places < 20);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, StepAllocationTest,
    testing::Values(Formats{WeightFormat::kF32, ActivationFormat::kF32, KvFormat::kF32},
                    Formats{WeightFormat::kBf16, ActivationFormat::kBf16, KvFormat::kBf16},
                    Formats{WeightFormat::kF16, ActivationFormat::kF32, KvFormat::kF16},
                    Formats{WeightFormat::kInt8, ActivationFormat::kInt8, KvFormat::kInt8},
                    Formats{WeightFormat::kInt4, ActivationFormat::kInt8, KvFormat::kInt4},
                    Formats{WeightFormat::kBf16, ActivationFormat::kF32, KvFormat::kBf16,
                            RopeScaling::kDynamic}));

}  // namespace
}  // namespace llmcore::core
