#include "lib/memory/memory_plan.h"

#include "absl/strings/str_cat.h"
#include "lib/base/json.h"

namespace llmcore::core {

absl::string_view MemoryCategoryName(MemoryCategory category) {
  switch (category) {
    case MemoryCategory::kWeights:
      return "weights";
    case MemoryCategory::kKvCache:
      return "kv_cache";
    case MemoryCategory::kActivations:
      return "activations";
    case MemoryCategory::kWorkspace:
      return "workspace";
    case MemoryCategory::kHost:
      return "host";
    case MemoryCategory::kSwap:
      return "swap";
  }
  return "unknown";
}

uint64_t MemoryPlan::total() const {
  uint64_t sum = 0;
  for (const uint64_t part : bytes) sum += part;
  return sum;
}

std::string MemoryPlan::ToJson() const {
  std::string json = absl::StrCat("{\"total_bytes\": ", total(),
                                  ", \"mapped_bytes\": ", mapped_bytes, ", \"bytes\": {");
  for (int i = 0; i < kMemoryCategories; ++i) {
    absl::StrAppend(&json, i == 0 ? "" : ", ", "\"",
                    MemoryCategoryName(static_cast<MemoryCategory>(i)), "\": ", bytes[i]);
  }
  absl::StrAppend(&json, "}, \"device\": ");
  AppendJsonString(device, &json);
  absl::StrAppend(
      &json, ", \"weight_format\": \"", WeightFormatName(weight_format), "\", \"kv_format\": \"",
      KvFormatName(kv_format), "\", \"activation_format\": \"",
      ActivationFormatName(activation_format), "\", \"max_context\": ", max_context,
      ", \"max_batch_tokens\": ", max_batch_tokens,
      ", \"max_batch_sequences\": ", max_batch_sequences,
      ", \"kv_cache_tokens\": ", kv_cache_tokens(), ", \"kv_block_tokens\": ", kv_block_tokens,
      ", \"prefix_cache\": ", prefix_cache ? "true" : "false", ", \"swap_blocks\": ", swap_blocks,
      ", \"longest_context\": ", longest_context, ", \"session_bytes\": ", session_bytes, "}");
  return json;
}

}  // namespace llmcore::core
