#ifndef LLMCORE_CAPI_PLAN_H_
#define LLMCORE_CAPI_PLAN_H_

#include "lib/memory/memory_plan.h"
#include "llmcore/llmcore.h"

struct llmcore_plan {
  llmcore::core::MemoryPlan plan;
};

#endif  // LLMCORE_CAPI_PLAN_H_
