#include "lib/engine/plan_memory.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/checked.h"
#include "lib/engine/step_buffers.h"
#include "lib/model/decoder_weights.h"

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

// All parts of the plan but the KV cache, for steps of plan->max_batch_tokens rows.
absl::Status PlanFixedParts(const ModelConfig& config, bool weights_packed, const Backend& backend,
                            MemoryPlan* plan) {
  const auto part = [plan](MemoryCategory category) -> uint64_t& {
    return plan->bytes[static_cast<int>(category)];
  };
  const DecoderLimits limits = DecoderLimitsOf(*plan);
  Arena activations;
  Arena host;
  LLMCORE_RETURN_IF_ERROR(Decoder::TakeBuffers(config, limits, &activations, &host).status());
  LLMCORE_RETURN_IF_ERROR(StepBuffers::Take(*plan, &host).status());
  LLMCORE_ASSIGN_OR_RETURN(const WeightSizes weights,
                           WeightBytes(config, plan->weight_format, weights_packed, backend));
  const auto weight_bytes = CheckedAdd(weights.allocated, weights.mapped);
  if (!weight_bytes.has_value()) {
    return absl::ResourceExhaustedError("the weights are larger than any memory");
  }
  part(MemoryCategory::kWeights) = *weight_bytes;
  plan->mapped_bytes = weights.mapped;
  part(MemoryCategory::kActivations) = activations.used();
  part(MemoryCategory::kHost) = std::max(host.used(), backend.PackingHostBytes());
  part(MemoryCategory::kWorkspace) =
      backend.WorkspaceBytes(Decoder::WorkspaceLimits(config, limits));
  return absl::OkStatus();
}

}  // namespace

DecoderLimits DecoderLimitsOf(const MemoryPlan& plan) {
  return {plan.max_batch_tokens, plan.max_context, plan.max_batch_sequences,
          plan.activation_format};
}

KvShape KvShapeOf(const ModelConfig& config, KvFormat format) {
  return {format, config.num_layers, config.num_kv_heads, config.head_dim, kBlockTokens};
}

BlockPoolShape BlockPoolShapeOf(const MemoryPlan& plan) {
  const uint64_t kv_bytes = plan.bytes[static_cast<int>(MemoryCategory::kKvCache)];
  return {.blocks = plan.kv_blocks,
          .block_tokens = plan.kv_block_tokens,
          .block_bytes = plan.kv_blocks == 0 ? 0 : kv_bytes / static_cast<uint64_t>(plan.kv_blocks),
          .prefix_cache = plan.prefix_cache};
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
  plan.max_context =
      request.max_context.value_or(std::min(LongestContext(config), kDefaultMaxContext));
  plan.max_batch_tokens = request.max_batch_tokens.value_or(
      std::min(kDefaultBatchTokens, std::max(plan.max_context, 1)));
  // More sequences than tokens never fit in a step.
  plan.max_batch_sequences =
      std::min(request.max_batch_sequences.value_or(kDefaultBatchSequences), plan.max_batch_tokens);
  LLMCORE_RETURN_IF_ERROR(PlanFixedParts(config, request.weights_packed, backend, &plan));

  const auto block_bytes = CheckedMultiply(backend.KvBlockBytes(KvShapeOf(config, plan.kv_format)),
                                           static_cast<uint64_t>(config.num_layers));
  if (!block_bytes.has_value() || *block_bytes == 0) {
    return absl::ResourceExhaustedError("a KV block is larger than any memory");
  }
  const uint64_t host_block_bytes = BlockPool::HostBytesPerBlock(BlockPoolShapeOf(plan));
  // A budget may leave less than a whole context: unless that was asked for, a smaller one will do.
  const int64_t least_context =
      request.max_context.value_or(std::min<int32_t>(plan.max_context, kLeastContext));
  const uint64_t fixed = plan.total();
  uint64_t blocks;
  if (request.kv_cache_tokens.has_value()) {
    blocks = Blocks(*request.kv_cache_tokens);
  } else if (request.memory_budget.has_value() || request.kv_cache_fraction.has_value()) {
    const uint64_t available = request.memory_budget.value_or(request.free_memory);
    const uint64_t rest = available > fixed ? available - fixed : 0;
    const double share = request.kv_cache_fraction.value_or(1.0);
    blocks = static_cast<uint64_t>(static_cast<double>(rest) * share) /
             (*block_bytes + host_block_bytes);
    blocks = std::clamp(blocks, Blocks(least_context), Blocks(kMaxKvTokens));
  } else {
    blocks = Blocks(std::max<int64_t>(plan.max_context, kDefaultKvTokens));
  }
  plan.kv_blocks = static_cast<int32_t>(blocks);
  plan.max_context =
      static_cast<int32_t>(std::min<int64_t>(plan.max_context, plan.kv_cache_tokens()));
  if (request.max_context.has_value() && plan.max_context < *request.max_context) {
    return absl::InvalidArgumentError(
        absl::StrCat("kv_cache_tokens = ", *request.kv_cache_tokens,
                     " cannot hold max_context = ", *request.max_context));
  }
  const auto kv_bytes = CheckedMultiply(blocks, *block_bytes);
  const uint64_t host_bytes = blocks * host_block_bytes;  // of at most 2^30 tokens
  if (!kv_bytes.has_value() || !CheckedAdd(*kv_bytes, fixed + host_bytes).has_value()) {
    return absl::ResourceExhaustedError("the KV cache is larger than any memory");
  }
  plan.bytes[static_cast<int>(MemoryCategory::kKvCache)] = *kv_bytes;
  plan.bytes[static_cast<int>(MemoryCategory::kHost)] += host_bytes;

  if (enforce_budget && request.memory_budget.has_value() &&
      plan.total() > *request.memory_budget) {
    return ResourceExhaustedError(
        absl::StrCat("memory_budget of ", *request.memory_budget,
                     " bytes is too small: ", plan.total(), " bytes would do (weights ",
                     plan.bytes[static_cast<int>(MemoryCategory::kWeights)], ", KV cache ",
                     *kv_bytes, " for ", plan.kv_cache_tokens(), " tokens)"),
        plan.total());
  }
  return plan;
}

}  // namespace llmcore::core
