#include "capi/plan.h"

#include "capi/arguments.h"
#include "capi/error.h"
#include "capi/text.h"

using namespace llmcore::capi;  // NOLINT: the functions below are in no namespace

static_assert(llmcore::core::kMemoryCategories == LLMCORE_MEMORY_CATEGORY_COUNT);
static_assert(static_cast<uint32_t>(llmcore::core::WeightFormat::kInt4Zeros) ==
              LLMCORE_WEIGHT_FORMAT_INT4_ZEROS);

uint64_t llmcore_plan_bytes(const llmcore_plan* plan, uint32_t category) {
  if (plan == nullptr || category >= LLMCORE_MEMORY_CATEGORY_COUNT) return 0;
  return plan->plan.bytes[category];
}

uint64_t llmcore_plan_total(const llmcore_plan* plan) {
  return plan == nullptr ? 0 : plan->plan.total();
}

uint32_t llmcore_plan_weight_format(const llmcore_plan* plan) {
  return plan == nullptr ? 0 : static_cast<uint32_t>(plan->plan.weight_format);
}

uint32_t llmcore_plan_kv_format(const llmcore_plan* plan) {
  return plan == nullptr ? 0 : static_cast<uint32_t>(plan->plan.kv_format);
}

uint32_t llmcore_plan_activation_format(const llmcore_plan* plan) {
  return plan == nullptr ? 0 : static_cast<uint32_t>(plan->plan.activation_format);
}

uint32_t llmcore_plan_max_context(const llmcore_plan* plan) {
  return plan == nullptr ? 0 : static_cast<uint32_t>(plan->plan.max_context);
}

uint64_t llmcore_plan_kv_cache_tokens(const llmcore_plan* plan) {
  return plan == nullptr ? 0 : static_cast<uint64_t>(plan->plan.kv_cache_tokens());
}

llmcore_error* llmcore_plan_json(const llmcore_plan* plan, llmcore_text** out_text) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_text, "out_text"));
    LLMCORE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    *out_text = new llmcore_text{plan->plan.ToJson()};
    return absl::OkStatus();
  });
}

void llmcore_plan_destroy(llmcore_plan* plan) {
  delete plan;
}
