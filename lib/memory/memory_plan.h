// What a model will take, in bytes, before any of it is taken.
#ifndef LLMCORE_LIB_MEMORY_MEMORY_PLAN_H_
#define LLMCORE_LIB_MEMORY_MEMORY_PLAN_H_

#include <cstdint>
#include <string>

#include "lib/tensor/format.h"

namespace llmcore::core {

// Values are those of the C ABI.
enum class MemoryCategory : uint32_t {
  kWeights = 0,      // linears, embeddings, norms, biases
  kKvCache = 1,      // blocks of keys and values
  kActivations = 2,  // hidden rows of the largest step
  kWorkspace = 3,    // scratch of the operations
  kHost = 4,         // what the host keeps: logits of a step, rotary table, blocks by their tokens
  kSwap = 5,         // memory of the host for KV blocks that the cache has no room for
};
inline constexpr int kMemoryCategories = 6;
absl::string_view MemoryCategoryName(MemoryCategory category);  // "weights", "kv_cache", ...

struct MemoryPlan {
  uint64_t bytes[kMemoryCategories] = {};
  // How many bytes of the weights are not allocated but pages of a mapped file (a packed
  // checkpoint): resident while they are used, shared with other processes that map it, and taken
  // back by the system where memory is short, at the price of reading them again.
  uint64_t mapped_bytes = 0;

  // What the bytes follow from, with every "auto" resolved.
  std::string device;
  WeightFormat weight_format = WeightFormat::kF32;
  KvFormat kv_format = KvFormat::kF32;
  ActivationFormat activation_format = ActivationFormat::kF32;
  int32_t max_context = 0;          // positions of one sequence
  int32_t max_batch_tokens = 0;     // rows of a step
  int32_t max_batch_sequences = 0;  // sequences of a step, and rows of logits that it gives
  int32_t kv_blocks = 0;
  int32_t kv_block_tokens = 0;
  uint64_t kv_block_bytes = 0;   // of a block in all layers
  bool prefix_cache = false;     // blocks are found again by their tokens
  bool draws_on_device = false;  // tokens, where nothing asks for logits: its rows have a buffer
  int32_t swap_blocks = 0;       // that the host's memory has room for

  // Beside the plan. What one session takes of the host's heap for itself: a copy of the logits of
  // its last position, once they are asked for, and the scratch of its sampler, once it generates.
  uint64_t session_bytes = 0;
  int32_t longest_context = 0;  // that the model was made for: max_context may be up to that

  uint64_t total() const;
  int64_t kv_cache_tokens() const { return int64_t{kv_blocks} * kv_block_tokens; }
  // {"total_bytes": n, "mapped_bytes": n, "bytes": {"weights": n, ...}, "device": ..., ...}
  std::string ToJson() const;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_MEMORY_MEMORY_PLAN_H_
