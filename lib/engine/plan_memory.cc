#include "lib/engine/plan_memory.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "lib/base/checked.h"
#include "lib/engine/step_buffers.h"
#include "lib/model/decoder_weights.h"
#include "lib/sampling/sampler.h"

namespace llmcore::core {
namespace {

constexpr int32_t kBlockTokens = 32;          // waste of at most 31 positions a sequence
constexpr int32_t kDefaultMaxContext = 8192;  // a model's own can be 131,072: 4 GB and more of KV
constexpr int32_t kDefaultBatchTokens = 512;  // where prompt throughput levels off
// A batch of 32 reads each weight once for 32 tokens, which is where products take over from
// reading on today's CPUs. Each costs the logits of a vocabulary.
constexpr int32_t kDefaultBatchSequences = 32;
constexpr int64_t kDefaultKvTokens = 8192;
constexpr int32_t kLeastContext = 256;  // a budget that leaves less is refused
constexpr int64_t kMaxKvTokens = int64_t{1} << 30;

absl::Status CheckRange(absl::string_view name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " must be from ", low, " to ", high, ", is ", value));
}

uint64_t Blocks(int64_t tokens) {
  return CeilDivide(static_cast<uint64_t>(tokens), static_cast<uint64_t>(kBlockTokens));
}

// Positions that the rotary embedding was trained, or is stretched, for.
int32_t LongestContext(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  double positions = config.max_position_embeddings;
  if (rope.scaling == RopeScaling::kLinear || rope.scaling == RopeScaling::kDynamic) {
    positions *= std::max(rope.factor, 1.0);
  } else if (rope.scaling == RopeScaling::kYarn) {
    positions = std::max(positions,
                         static_cast<double>(rope.original_max_position_embeddings) * rope.factor);
  }
  return static_cast<int32_t>(std::min(positions, static_cast<double>(kMaxKvTokens)));
}

absl::Status CheckRequest(const MemoryRequest& request, const ModelConfig& config) {
  if (request.kv_cache_tokens.has_value()) {
    LLMCORE_RETURN_IF_ERROR(
        CheckRange("kv_cache_tokens", *request.kv_cache_tokens, 1, kMaxKvTokens));
  }
  if (request.kv_cache_fraction.has_value() &&
      !(*request.kv_cache_fraction > 0 && *request.kv_cache_fraction <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "kv_cache_fraction must be above 0 and at most 1, is ", *request.kv_cache_fraction));
  }
  if (request.max_context.has_value()) {
    LLMCORE_RETURN_IF_ERROR(
        CheckRange("max_context", *request.max_context, 1, LongestContext(config)));
  }
  if (request.max_batch_tokens.has_value()) {
    LLMCORE_RETURN_IF_ERROR(CheckRange("max_batch_tokens", *request.max_batch_tokens, 1, 65536));
  }
  if (request.max_batch_sequences.has_value()) {
    LLMCORE_RETURN_IF_ERROR(
        CheckRange("max_batch_sequences", *request.max_batch_sequences, 1, 4096));
  }
  return absl::OkStatus();
}

uint64_t& Part(MemoryPlan* plan, MemoryCategory category) {
  return plan->bytes[static_cast<int>(category)];
}

// The parts that no size of a step changes.
absl::Status PlanWeights(const ModelConfig& config, const WeightSource* source,
                         const Backend& backend, MemoryPlan* plan) {
  LLMCORE_ASSIGN_OR_RETURN(const WeightSizes weights,
                           WeightBytes(config, plan->weight_format, source, backend));
  const auto bytes = CheckedAdd(weights.allocated, weights.mapped);
  if (!bytes.has_value()) {
    return absl::ResourceExhaustedError("the weights are larger than any memory");
  }
  Part(plan, MemoryCategory::kWeights) = *bytes;
  plan->mapped_bytes = weights.mapped;
  return absl::OkStatus();
}

// Of one block in all layers.
absl::StatusOr<uint64_t> BlockBytes(const ModelConfig& config, const Backend& backend,
                                    const MemoryPlan& plan) {
  const auto bytes = CheckedMultiply(backend.KvBlockBytes(KvShapeOf(config, plan.kv_format)),
                                     static_cast<uint64_t>(config.num_layers));
  if (!bytes.has_value() || *bytes == 0) {
    return absl::ResourceExhaustedError("a KV block is larger than any memory");
  }
  return *bytes;
}

// The swap memory: as many blocks as `most` bytes hold with what is kept of each.
absl::Status PlanSwap(uint64_t most, MemoryPlan* plan) {
  if (most == 0) return absl::OkStatus();
  const uint64_t each = plan->kv_block_bytes + BlockPool::HostBytesPerBlock(SwapPoolShapeOf(*plan));
  const auto planned = [&](uint64_t blocks) -> absl::StatusOr<uint64_t> {
    plan->swap_blocks = static_cast<int32_t>(blocks);
    Arena swap;
    LLMCORE_RETURN_IF_ERROR(SwapMemory::Take(*plan, &swap).status());
    return swap.used();
  };
  uint64_t blocks = std::min(most / each, Blocks(kMaxKvTokens));
  LLMCORE_ASSIGN_OR_RETURN(uint64_t bytes, planned(blocks));
  if (bytes > most) {  // rounded up
    LLMCORE_ASSIGN_OR_RETURN(bytes, planned(--blocks));
  }
  if (blocks == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("swap_bytes = ", most, " hold no block of the KV cache, which takes ", each));
  }
  Part(plan, MemoryCategory::kSwap) = bytes;
  return absl::OkStatus();
}

// The other parts, for a KV cache of `blocks` blocks. A context of which it cannot hold one
// sequence becomes shorter. No part gets smaller with more blocks.
absl::Status PlanBlocks(const ModelConfig& config, uint64_t blocks, const Backend& backend,
                        MemoryPlan* plan) {
  const auto kv_bytes = CheckedMultiply(blocks, plan->kv_block_bytes);
  if (!kv_bytes.has_value()) {
    return absl::ResourceExhaustedError("the KV cache is larger than any memory");
  }
  plan->kv_blocks = static_cast<int32_t>(blocks);
  plan->max_context =
      static_cast<int32_t>(std::min<int64_t>(plan->max_context, plan->kv_cache_tokens()));
  Arena activations;
  Arena host;
  const DecoderLimits limits = DecoderLimitsOf(*plan);
  LLMCORE_RETURN_IF_ERROR(Decoder::TakeBuffers(config, limits, &activations, &host).status());
  LLMCORE_RETURN_IF_ERROR(StepBuffers::Take(*plan, &host).status());
  LLMCORE_RETURN_IF_ERROR(TakeStepRecord(config, *plan, backend, &host).status());
  const uint64_t pool_bytes = blocks * BlockPool::HostBytesPerBlock(BlockPoolShapeOf(*plan));
  LLMCORE_RETURN_IF_ERROR(host.Take(pool_bytes).status());
  Part(plan, MemoryCategory::kKvCache) = *kv_bytes;
  Part(plan, MemoryCategory::kActivations) = activations.used();
  Part(plan, MemoryCategory::kHost) = std::max(host.used(), backend.PackingHostBytes());
  Part(plan, MemoryCategory::kWorkspace) =
      backend.WorkspaceBytes(Decoder::WorkspaceLimits(config, limits));
  std::optional<uint64_t> sum = 0;
  for (const uint64_t bytes : plan->bytes) {
    if (sum.has_value()) sum = CheckedAdd(*sum, bytes);
  }
  if (!sum.has_value()) return absl::ResourceExhaustedError("the model is larger than any memory");
  return absl::OkStatus();
}

// The most blocks, but at least `least`, whose bytes are no more than `share` of what `available`
// leaves beside the other parts.
uint64_t MostBlocks(const ModelConfig& config, const Backend& backend, const MemoryPlan& plan,
                    uint64_t least, uint64_t available, double share) {
  const auto fits = [&](uint64_t blocks) {
    MemoryPlan candidate = plan;
    if (!PlanBlocks(config, blocks, backend, &candidate).ok()) return false;
    const uint64_t cache = Part(&candidate, MemoryCategory::kKvCache);
    const uint64_t others = candidate.total() - cache;
    return others <= available &&
           static_cast<double>(cache) <= static_cast<double>(available - others) * share;
  };
  uint64_t most = Blocks(kMaxKvTokens);
  while (least < most) {
    const uint64_t middle = most - (most - least) / 2;
    if (fits(middle)) {
      least = middle;
    } else {
      most = middle - 1;
    }
  }
  return least;
}

}  // namespace

DecoderLimits DecoderLimitsOf(const MemoryPlan& plan) {
  return {plan.max_batch_tokens, plan.max_context, plan.max_batch_sequences, plan.activation_format,
          plan.draws_on_device};
}

absl::StatusOr<std::span<std::byte>> TakeStepRecord(const ModelConfig& config,
                                                    const MemoryPlan& plan, const Backend& backend,
                                                    Arena* host) {
  const uint64_t bytes =
      backend.StepRecordBytes(Decoder::WorkspaceLimits(config, DecoderLimitsOf(plan)));
  LLMCORE_ASSIGN_OR_RETURN(std::byte* const memory, host->TakeArray<std::byte>(bytes));
  return std::span<std::byte>(memory, bytes);
}

KvShape KvShapeOf(const ModelConfig& config, KvFormat format) {
  return {format, config.num_layers, config.num_kv_heads, config.head_dim, kBlockTokens};
}

BlockPoolShape BlockPoolShapeOf(const MemoryPlan& plan) {
  return {.blocks = plan.kv_blocks,
          .block_tokens = plan.kv_block_tokens,
          .block_bytes = plan.kv_block_bytes,
          .prefix_cache = plan.prefix_cache};
}

BlockPoolShape SwapPoolShapeOf(const MemoryPlan& plan) {
  return {.blocks = plan.swap_blocks, .prefix_cache = false};
}

absl::StatusOr<SwapMemory> SwapMemory::Take(const MemoryPlan& plan, Arena* swap) {
  const auto blocks = static_cast<uint64_t>(plan.swap_blocks);
  SwapMemory memory;
  LLMCORE_ASSIGN_OR_RETURN(memory.blocks, swap->TakeArray<std::byte>(blocks * plan.kv_block_bytes));
  LLMCORE_ASSIGN_OR_RETURN(
      memory.pool, swap->Take(blocks * BlockPool::HostBytesPerBlock(SwapPoolShapeOf(plan))));
  return memory;
}

absl::StatusOr<MemoryPlan> PlanMemory(const ModelConfig& config, const MemoryRequest& request,
                                      const Backend& backend, bool enforce_budget) {
  LLMCORE_RETURN_IF_ERROR(CheckRequest(request, config));
  MemoryPlan plan;
  plan.device = std::string(backend.name());
  plan.weight_format = request.weight_format;
  plan.kv_format = request.kv_format;
  plan.activation_format = request.activation_format;
  plan.kv_block_tokens = kBlockTokens;
  plan.prefix_cache = request.prefix_cache;
  plan.draws_on_device =
      config.vocab_size <= kMaxExactWeights && backend.Samples(config.vocab_size);
  plan.max_context =
      request.max_context.value_or(std::min(LongestContext(config), kDefaultMaxContext));
  plan.max_batch_tokens = request.max_batch_tokens.value_or(
      std::min(kDefaultBatchTokens, std::max(plan.max_context, 1)));
  // More sequences than tokens never fit in a step.
  plan.max_batch_sequences =
      std::min(request.max_batch_sequences.value_or(kDefaultBatchSequences), plan.max_batch_tokens);
  plan.longest_context = LongestContext(config);
  plan.session_bytes = static_cast<uint64_t>(config.vocab_size) * sizeof(float) +
                       Sampler::ScratchBytes(config.vocab_size);
  LLMCORE_RETURN_IF_ERROR(PlanWeights(config, request.weights, backend, &plan));
  LLMCORE_ASSIGN_OR_RETURN(plan.kv_block_bytes, BlockBytes(config, backend, plan));
  LLMCORE_RETURN_IF_ERROR(PlanSwap(request.swap_bytes, &plan));

  uint64_t blocks;
  if (request.kv_cache_tokens.has_value()) {
    blocks = Blocks(*request.kv_cache_tokens);
    if (request.max_context.has_value() && blocks < Blocks(*request.max_context)) {
      return absl::InvalidArgumentError(
          absl::StrCat("kv_cache_tokens = ", *request.kv_cache_tokens,
                       " cannot hold max_context = ", *request.max_context));
    }
  } else if (request.memory_budget.has_value() || request.kv_cache_fraction.has_value()) {
    // A budget may leave less than a whole context: unless that was asked for, a smaller one will
    // do.
    const int32_t least_context =
        request.max_context.value_or(std::min(plan.max_context, kLeastContext));
    blocks = MostBlocks(config, backend, plan, Blocks(least_context),
                        request.memory_budget.value_or(request.free_memory),
                        request.kv_cache_fraction.value_or(1.0));
  } else {
    blocks = Blocks(std::max<int64_t>(plan.max_context, kDefaultKvTokens));
  }
  LLMCORE_RETURN_IF_ERROR(PlanBlocks(config, blocks, backend, &plan));

  if (enforce_budget && request.memory_budget.has_value() &&
      plan.total() > *request.memory_budget) {
    return ResourceExhaustedError(
        absl::StrCat(
            "memory_budget of ", *request.memory_budget, " bytes is too small: ", plan.total(),
            " bytes would do (weights ", Part(&plan, MemoryCategory::kWeights), ", KV cache ",
            Part(&plan, MemoryCategory::kKvCache), " for ", plan.kv_cache_tokens(), " tokens)"),
        plan.total());
  }
  return plan;
}

}  // namespace llmcore::core
