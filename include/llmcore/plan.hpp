// What a model takes, in bytes, and the formats that decide it.
#ifndef LLMCORE_PLAN_HPP_
#define LLMCORE_PLAN_HPP_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "llmcore/error.hpp"
#include "llmcore/handle.hpp"
#include "llmcore/llmcore.h"

namespace llmcore {
inline namespace v1 {

enum class WeightFormat : uint32_t {
  kAuto = LLMCORE_WEIGHT_FORMAT_AUTO,
  kF32 = LLMCORE_WEIGHT_FORMAT_F32,
  kBf16 = LLMCORE_WEIGHT_FORMAT_BF16,
  kF16 = LLMCORE_WEIGHT_FORMAT_F16,
  kInt8 = LLMCORE_WEIGHT_FORMAT_INT8,
  kInt4 = LLMCORE_WEIGHT_FORMAT_INT4,
  kInt4Zeros = LLMCORE_WEIGHT_FORMAT_INT4_ZEROS,  // of AWQ and GPTQ checkpoints
};

enum class KvFormat : uint32_t {
  kAuto = LLMCORE_KV_FORMAT_AUTO,
  kF32 = LLMCORE_KV_FORMAT_F32,
  kBf16 = LLMCORE_KV_FORMAT_BF16,
  kF16 = LLMCORE_KV_FORMAT_F16,
  kInt8 = LLMCORE_KV_FORMAT_INT8,
  kInt4 = LLMCORE_KV_FORMAT_INT4,
};

enum class ActivationFormat : uint32_t {
  kAuto = LLMCORE_ACTIVATION_FORMAT_AUTO,
  kF32 = LLMCORE_ACTIVATION_FORMAT_F32,
  kBf16 = LLMCORE_ACTIVATION_FORMAT_BF16,
  kInt8 = LLMCORE_ACTIVATION_FORMAT_INT8,
};

// "auto", "f32", "bf16", "f16", "int8", "int4", "int4-zeros"; "unknown" for a value of a newer
// library.
inline std::string_view Name(WeightFormat format) {
  switch (format) {
    case WeightFormat::kAuto:
      return "auto";
    case WeightFormat::kF32:
      return "f32";
    case WeightFormat::kBf16:
      return "bf16";
    case WeightFormat::kF16:
      return "f16";
    case WeightFormat::kInt8:
      return "int8";
    case WeightFormat::kInt4:
      return "int4";
    case WeightFormat::kInt4Zeros:
      return "int4-zeros";
  }
  return "unknown";
}
// The formats share their values.
inline std::string_view Name(KvFormat format) {
  return Name(static_cast<WeightFormat>(format));
}
inline std::string_view Name(ActivationFormat format) {
  return Name(static_cast<WeightFormat>(format));
}

struct MemoryPlan {
  uint64_t total_bytes = 0;
  uint64_t weight_bytes = 0;                   // linears, embeddings, norms, biases
  uint64_t kv_cache_bytes = 0;                 // blocks of keys and values
  uint64_t activation_bytes = 0;               // hidden rows of the largest step
  uint64_t workspace_bytes = 0;                // scratch of the operations
  uint64_t host_bytes = 0;                     // what the host keeps for a step
  uint64_t swap_bytes = 0;                     // of the host: blocks that have no room in the cache
  WeightFormat weights = WeightFormat::kAuto;  // what "auto" came to
  KvFormat kv = KvFormat::kAuto;
  ActivationFormat activations = ActivationFormat::kAuto;
  uint32_t max_context = 0;      // tokens of one sequence
  uint64_t kv_cache_tokens = 0;  // tokens of all sequences together
  std::string json;              // all of it by name, as llmcore_plan_json writes it

  // Copies a plan of the C ABI.
  static Result<MemoryPlan> From(const llmcore_plan* plan) {
    llmcore_text* json = nullptr;
    if (llmcore_error* error = llmcore_plan_json(plan, &json)) return Error::Take(error);
    MemoryPlan copy;
    copy.json = internal::TakeText(json);
    copy.total_bytes = llmcore_plan_total(plan);
    copy.weight_bytes = llmcore_plan_bytes(plan, LLMCORE_MEMORY_WEIGHTS);
    copy.kv_cache_bytes = llmcore_plan_bytes(plan, LLMCORE_MEMORY_KV_CACHE);
    copy.activation_bytes = llmcore_plan_bytes(plan, LLMCORE_MEMORY_ACTIVATIONS);
    copy.workspace_bytes = llmcore_plan_bytes(plan, LLMCORE_MEMORY_WORKSPACE);
    copy.host_bytes = llmcore_plan_bytes(plan, LLMCORE_MEMORY_HOST);
    copy.swap_bytes = llmcore_plan_bytes(plan, LLMCORE_MEMORY_SWAP);
    copy.weights = static_cast<WeightFormat>(llmcore_plan_weight_format(plan));
    copy.kv = static_cast<KvFormat>(llmcore_plan_kv_format(plan));
    copy.activations = static_cast<ActivationFormat>(llmcore_plan_activation_format(plan));
    copy.max_context = llmcore_plan_max_context(plan);
    copy.kv_cache_tokens = llmcore_plan_kv_cache_tokens(plan);
    return copy;
  }
};

}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_PLAN_HPP_
