// The prefix cache in the engine: what it saves, and that it changes no bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <list>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lib/engine/engine.h"
#include "lib/engine/plan_memory.h"
#include "lib/session/synthetic_shapes.h"
#include "tests/engine/hooked_backend.h"

namespace llmcore::core {
namespace {

using Tokens = std::vector<int32_t>;
using Logits = std::vector<float>;

// Random weights in the built-in model's shape, for longer contexts.
class Rig {
 public:
  explicit Rig(MemoryRequest request = {}) {
    ModelConfig config =
        *LoadModelConfig(std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus");
    config.max_position_embeddings = 4096;
    vocabulary_ = config.vocab_size;
    auto backend = HookedBackend(/*threads=*/2, &hook);
    const auto weights = RandomWeights(LargestTensor(config));
    EXPECT_TRUE(weights.ok()) << weights.status();
    const auto plan = PlanMemory(config, request, *backend, /*enforce_budget=*/true);
    EXPECT_TRUE(plan.ok()) << plan.status();
    auto engine = Engine::Create(config, *plan, **weights, std::move(backend), {});
    EXPECT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }
  ~Rig() {
    const absl::Status valid = CheckPool(engine_->SnapshotPool());
    EXPECT_TRUE(valid.ok()) << valid;
  }

  Engine& engine() { return *engine_; }
  int32_t blocks_in_use() const { return engine_->plan().kv_blocks - engine_->free_kv_blocks(); }
  Tokens RandomTokens(size_t count, uint64_t seed) const {
    std::mt19937_64 random(seed);
    Tokens tokens(count);
    for (int32_t& token : tokens) {
      token = static_cast<int32_t>(random() % static_cast<uint64_t>(vocabulary_));
    }
    return tokens;
  }
  // Logits of the last `count` positions.
  Logits Read(KvSequence* sequence, const Tokens& tokens, int64_t count = 1) {
    Logits logits;
    const auto end = static_cast<int64_t>(tokens.size());
    const absl::Status status =
        engine_->Extend(sequence, tokens, end, end - count, nullptr,
                        [&logits](int64_t, std::span<const float> row) {
                          logits.insert(logits.end(), row.begin(), row.end());
                        });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(logits.size(), static_cast<size_t>(count * vocabulary_));
    return logits;
  }

  OperationHook hook;

 private:
  int32_t vocabulary_ = 0;
  std::unique_ptr<Engine> engine_;
};

bool SameBits(const Logits& a, const Logits& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

Tokens Joined(const Tokens& a, const Tokens& b) {
  Tokens all = a;
  all.insert(all.end(), b.begin(), b.end());
  return all;
}

MemoryRequest Request(KvFormat kv, bool prefix_cache) {
  MemoryRequest request;
  request.kv_format = kv;
  request.kv_cache_tokens = 4096;
  request.max_context = 1024;
  request.prefix_cache = prefix_cache;
  return request;
}

// Random sequences that extend, fork, rewind and end, in a cache too small for all that they
// compute. Without a cache each of their prompts gives the same logits.
TEST(PrefixCacheEngineTest, AHitChangesNoBit) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  for (const KvFormat kv :
       {KvFormat::kF32, KvFormat::kBf16, KvFormat::kF16, KvFormat::kInt8, KvFormat::kInt4}) {
    Rig plain(Request(kv, false));
    for (const int32_t chunk : {7, 64, 512}) {
      std::mt19937_64 random(seed);
      const auto below = [&random](uint64_t n) { return static_cast<size_t>(random() % n); };
      MemoryRequest request = Request(kv, true);
      request.kv_cache_tokens = 1024;
      request.max_batch_tokens = chunk;
      Rig cached(request);
      const Tokens pieces[] = {cached.RandomTokens(50, 1), cached.RandomTokens(64, 2),
                               cached.RandomTokens(31, 3)};
      std::list<std::pair<Tokens, KvSequence>> sequences;
      const auto any = [&] {
        return std::next(sequences.begin(), static_cast<ptrdiff_t>(below(sequences.size())));
      };
      for (int operation = 0; operation < 60; ++operation) {
        if (sequences.size() < 3) {
          sequences.emplace_back(Tokens(), cached.engine().NewSequence());
        } else if (below(3) == 0) {
          sequences.erase(any());
          continue;
        }
        auto& [tokens, sequence] = *any();
        if (below(4) == 0) {
          tokens.resize(below(tokens.size() + 1));
          sequence.Truncate(static_cast<int64_t>(tokens.size()));
        }
        if (tokens.size() > 200) continue;
        const size_t piece = tokens.empty() ? 0 : below(5);
        tokens = Joined(tokens, piece < 3 ? pieces[piece] : cached.RandomTokens(70, random()));
        const auto count = static_cast<int64_t>(1 + below(3));
        const Logits logits = cached.Read(&sequence, tokens, count);
        KvSequence fresh = plain.engine().NewSequence();
        ASSERT_TRUE(SameBits(logits, plain.Read(&fresh, tokens, count)))
            << KvFormatName(kv) << ", chunks of " << chunk << ", operation " << operation;
        if (sequences.size() < 3 && below(2) == 0) {
          sequences.emplace_back(tokens, sequence.Fork());
        }
      }
      EXPECT_GT(cached.engine().prefix_cache().hit_tokens, 100);
      EXPECT_GT(cached.engine().prefix_cache().evicted_blocks, 0);
    }
    EXPECT_EQ(plain.engine().prefix_cache().hit_tokens, 0);
  }
}

constexpr size_t kPrefix = 2000;
constexpr size_t kSessions = 32;
constexpr int32_t kBlockTokens = 32;

MemoryRequest LongRequest() {
  MemoryRequest request;
  request.max_context = 2112;
  request.kv_cache_tokens = 8192;
  return request;
}

// One after the other or all at once, in threads.
void ReadSharedPrefix(bool at_once) {
  Rig rig(LongRequest());
  const Tokens prefix = rig.RandomTokens(kPrefix, 1);
  std::vector<Tokens> prompts;
  std::vector<KvSequence> sequences;
  for (size_t i = 0; i < kSessions; ++i) {
    prompts.push_back(Joined(prefix, rig.RandomTokens(40, 100 + i)));
    sequences.push_back(rig.engine().NewSequence());
  }
  std::vector<Logits> logits(kSessions);
  if (at_once) {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kSessions; ++i) {
      threads.emplace_back([&, i] { logits[i] = rig.Read(&sequences[i], prompts[i]); });
    }
    for (std::thread& thread : threads) thread.join();
  } else {
    for (size_t i = 0; i < kSessions; ++i) logits[i] = rig.Read(&sequences[i], prompts[i]);
  }
  // 62 whole blocks are common; 1,984 to 2,039 are two blocks of each sequence's own.
  constexpr int32_t kShared = kPrefix / kBlockTokens;
  EXPECT_EQ(rig.blocks_in_use(), kShared + static_cast<int32_t>(kSessions) * 2);
  for (const KvSequence& sequence : sequences) {
    for (size_t block = 0; block < kShared; ++block) {
      ASSERT_EQ(sequence.blocks()[block], sequences[0].blocks()[block]);
    }
  }
  const PrefixCacheStatistics statistics = rig.engine().prefix_cache();
  constexpr int64_t kOnce = kShared * kBlockTokens;
  EXPECT_EQ(statistics.computed_tokens, kOnce + static_cast<int64_t>(kSessions) * (2040 - kOnce));
  EXPECT_EQ(statistics.hit_tokens, static_cast<int64_t>(kSessions - 1) * kOnce);
  MemoryRequest without = LongRequest();
  without.prefix_cache = false;
  Rig plain(without);
  for (const size_t i : {size_t{0}, size_t{1}, kSessions - 1}) {
    KvSequence sequence = plain.engine().NewSequence();
    EXPECT_TRUE(SameBits(plain.Read(&sequence, prompts[i]), logits[i])) << i;
  }
}

TEST(PrefixCacheEngineTest, ASharedPrefixCostsItsBlocksAndItsTimeOnce) {
  ReadSharedPrefix(/*at_once=*/false);
}

TEST(PrefixCacheEngineTest, WhoComesAtTheSameTimeSharesToo) {
  ReadSharedPrefix(/*at_once=*/true);
}

TEST(PrefixCacheEngineTest, TheSecondPromptTakesLessThanATwentiethOfTheFirst) {
  Rig rig(LongRequest());
  const auto seconds = [&rig](const Tokens& tokens) {
    KvSequence sequence = rig.engine().NewSequence();
    const auto begin = std::chrono::steady_clock::now();
    rig.Read(&sequence, tokens);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  std::vector<double> ratios;
  for (uint64_t i = 0; i < 5; ++i) {
    const Tokens prefix = rig.RandomTokens(kPrefix, i);
    const double first = seconds(prefix);
    ratios.push_back(seconds(prefix) / first);
  }
  std::sort(ratios.begin(), ratios.end());
  EXPECT_LT(ratios[2], 0.05) << "from " << ratios[0] << " to " << ratios[4];
  std::printf("the second took %.2f%% of the first\n", 100 * ratios[2]);
}

TEST(PrefixCacheEngineTest, AFailedStepLeavesNothingInTheCache) {
  Rig rig(LongRequest());
  const Tokens tokens = rig.RandomTokens(100, 1);
  rig.hook = [](const StepContext&) { return absl::DataLossError("injected"); };
  KvSequence sequence = rig.engine().NewSequence();
  EXPECT_FALSE(rig.engine()
                   .Extend(&sequence, tokens, 100, 99, nullptr,
                           [](int64_t, std::span<const float>) { FAIL(); })
                   .ok());
  rig.hook = nullptr;
  EXPECT_EQ(rig.engine().prefix_cache().indexed_blocks, 0);
  EXPECT_EQ(rig.blocks_in_use(), 0);
}

TEST(PrefixCacheEngineTest, WhatAFileHoldsIsNotSharedWithOthers) {
  Rig rig(LongRequest());
  const Tokens tokens = rig.RandomTokens(100, 1);
  std::vector<std::byte> wrong(rig.engine().saved_block_bytes());
  KvSequence restored = rig.engine().NewSequence();
  const auto fill = [&wrong](size_t) -> absl::StatusOr<std::span<const std::byte>> {
    return std::span<const std::byte>(wrong);
  };
  ASSERT_TRUE(rig.engine().FillSequence(&restored, 64, fill).ok());
  const Logits poisoned = rig.Read(&restored, tokens);
  KvSequence fork = restored.Fork();
  rig.Read(&fork, Joined(tokens, tokens));
  KvSequence other = rig.engine().NewSequence();
  const Logits clean = rig.Read(&other, tokens);
  EXPECT_FALSE(SameBits(poisoned, clean));
  EXPECT_EQ(rig.engine().prefix_cache().hit_tokens, 0);
}

TEST(PrefixCacheEngineTest, ThePlanHasTheIndex) {
  MemoryRequest request;
  request.kv_cache_tokens = 1024;
  const auto bytes = [&request](bool prefix_cache) {
    request.prefix_cache = prefix_cache;
    Rig rig(request);
    return rig.engine().plan().total();
  };
  const BlockPoolShape on{.blocks = 32, .block_tokens = kBlockTokens};
  BlockPoolShape off = on;
  off.prefix_cache = false;
  EXPECT_EQ(bytes(true) - bytes(false),
            32 * (BlockPool::HostBytesPerBlock(on) - BlockPool::HostBytesPerBlock(off)));
}

}  // namespace
}  // namespace llmcore::core
