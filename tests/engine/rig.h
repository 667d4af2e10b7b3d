// An engine with random weights, in the built-in model's shape or a smaller one.
#ifndef LLMCORE_TESTS_ENGINE_RIG_H_
#define LLMCORE_TESTS_ENGINE_RIG_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "lib/engine/engine.h"
#include "lib/engine/plan_memory.h"
#include "lib/session/synthetic_shapes.h"
#include "tests/engine/hooked_backend.h"

namespace llmcore::core {

struct RigOptions {
  MemoryRequest request = {};
  int threads = 2;
  Scheduler scheduler = Scheduler::kBackground;
  int32_t kv_blocks = 0;  // if not 0, for a plan that holds less than one context
  bool tiny = false;      // steps of microseconds
};

class Rig {
 public:
  explicit Rig(RigOptions options = {}) {
    MemoryRequest& request = options.request;
    request.kv_cache_tokens = request.kv_cache_tokens.value_or(4096);
    config_ = *LoadModelConfig(std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus");
    if (options.tiny) {
      config_.hidden_size = 32;
      config_.intermediate_size = 64;
      config_.num_layers = 2;
      config_.num_heads = 2;
      config_.num_kv_heads = 1;
      config_.head_dim = 16;
      config_.vocab_size = 64;
      config_.sliding_window.resize(2);
    }
    auto backend = HookedBackend(options.threads, &hook);
    const auto weights = RandomWeights(LargestTensor(config_));
    EXPECT_TRUE(weights.ok()) << weights.status();
    auto plan = PlanMemory(config_, request, *backend, /*enforce_budget=*/true);
    EXPECT_TRUE(plan.ok()) << plan.status();
    if (options.kv_blocks > 0) {
      const BlockPoolShape pool = BlockPoolShapeOf(*plan);
      const auto fewer = static_cast<uint64_t>(plan->kv_blocks - options.kv_blocks);
      plan->bytes[static_cast<int>(MemoryCategory::kKvCache)] -= fewer * pool.block_bytes;
      plan->bytes[static_cast<int>(MemoryCategory::kHost)] -=
          fewer * BlockPool::HostBytesPerBlock(pool);
      plan->kv_blocks = options.kv_blocks;
    }
    auto engine =
        Engine::Create(config_, *plan, **weights, std::move(backend), {}, options.scheduler);
    EXPECT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
  }

  Engine& engine() { return *engine_; }
  std::vector<int32_t> RandomTokens(size_t count, uint64_t seed) const {
    std::mt19937_64 random(seed);
    std::vector<int32_t> tokens(count);
    for (int32_t& token : tokens) {
      token = static_cast<int32_t>(random() % static_cast<uint64_t>(config_.vocab_size));
    }
    return tokens;
  }
  int32_t blocks_in_use() const { return engine_->plan().kv_blocks - engine_->free_kv_blocks(); }

  OperationHook hook;

 private:
  ModelConfig config_;
  std::unique_ptr<Engine> engine_;
};

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace llmcore::core

#endif  // LLMCORE_TESTS_ENGINE_RIG_H_
