#ifndef LLMCORE_CAPI_MODEL_H_
#define LLMCORE_CAPI_MODEL_H_

#include <memory>
#include <string>

#include "capi/callbacks.h"
#include "capi/plan.h"
#include "lib/session/model.h"
#include "llmcore/llmcore.h"

struct llmcore_model {
  std::shared_ptr<const llmcore::core::Model> model;
  std::shared_ptr<llmcore::capi::CallbackMonitor> monitor;
  llmcore_plan plan;                // lent by llmcore_model_plan_of
  std::string backend_description;  // lent likewise
};

namespace llmcore::capi {

using Loader = absl::StatusOr<std::shared_ptr<const core::Model>> (*)(absl::string_view name,
                                                                      const core::ModelOptions&);

// llmcore_model_load and its synthetic sister: the same but for what loads.
absl::Status LoadModel(Loader loader, const std::string& name, const llmcore_model_options* options,
                       llmcore_model** out_model);

using Planner = absl::StatusOr<core::MemoryPlan> (*)(absl::string_view name,
                                                     const core::ModelOptions&);

// Likewise llmcore_model_plan and its synthetic sister.
absl::Status PlanModel(Planner planner, const std::string& name,
                       const llmcore_model_options* options, llmcore_plan** out_plan);

// The model may be used: not NULL, and not from inside a callback of it.
absl::Status CheckModel(const llmcore_model* model);

}  // namespace llmcore::capi

#endif  // LLMCORE_CAPI_MODEL_H_
