// The memory plan: a pure function of configuration, options and the backend's layouts. Loading
// allocates exactly this.
#ifndef LLMCORE_LIB_ENGINE_PLAN_MEMORY_H_
#define LLMCORE_LIB_ENGINE_PLAN_MEMORY_H_

#include <cstdint>
#include <optional>
#include <span>

#include "lib/backend/backend.h"
#include "lib/base/status.h"
#include "lib/config/model_config.h"
#include "lib/kv/block_pool.h"
#include "lib/memory/arena.h"
#include "lib/memory/memory_plan.h"
#include "lib/model/decoder.h"

namespace llmcore::core {

// What a caller asks for; unset values are chosen by the plan.
struct MemoryRequest {
  WeightFormat weight_format = WeightFormat::kF32;  // never kAuto, like the two below
  KvFormat kv_format = KvFormat::kF32;
  ActivationFormat activation_format = ActivationFormat::kF32;
  // Where the weights come from; NULL: as WeightBytes says.
  const WeightSource* weights = nullptr;
  std::optional<uint64_t> memory_budget;
  std::optional<int64_t> kv_cache_tokens;
  std::optional<double> kv_cache_fraction;
  std::optional<int32_t> max_context;
  std::optional<int32_t> max_batch_tokens;
  std::optional<int32_t> max_batch_sequences;
  bool prefix_cache = true;
  uint64_t swap_bytes = 0;   // the most that MemoryCategory::kSwap may come to; 0: none
  uint64_t free_memory = 0;  // of the device, for kv_cache_fraction without a budget
};

// The buffers of the largest step of a plan.
DecoderLimits DecoderLimitsOf(const MemoryPlan& plan);

// The memory of the recorder of steps, from `host`.
absl::StatusOr<std::span<std::byte>> TakeStepRecord(const ModelConfig& config,
                                                    const MemoryPlan& plan, const Backend& backend,
                                                    Arena* host);

KvShape KvShapeOf(const ModelConfig& config, KvFormat format);

// The blocks of a plan. What the host keeps of each is part of MemoryCategory::kHost.
BlockPoolShape BlockPoolShapeOf(const MemoryPlan& plan);

// The places for blocks in MemoryCategory::kSwap, and its memory.
BlockPoolShape SwapPoolShapeOf(const MemoryPlan& plan);
struct SwapMemory {
  std::byte* blocks = nullptr;  // [swap_blocks], each as SwapBlocksParams says
  void* pool = nullptr;         // of the BlockPool that counts them

  static absl::StatusOr<SwapMemory> Take(const MemoryPlan& plan, Arena* swap);
};

// The KV cache has: kv_cache_tokens; or that fraction of what the budget (else the free memory)
// leaves; or with a budget all that it leaves; or else 8,192 tokens or one whole context, whichever
// is more. The swap memory has as many whole blocks as swap_bytes holds. INVALID_ARGUMENT for
// values out of range. Over the budget: RESOURCE_EXHAUSTED with the bytes that would do, when
// `enforce_budget`; else the plan that does not fit.
absl::StatusOr<MemoryPlan> PlanMemory(const ModelConfig& config, const MemoryRequest& request,
                                      const Backend& backend, bool enforce_budget);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_ENGINE_PLAN_MEMORY_H_
