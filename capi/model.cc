#include "capi/model.h"

#include <utility>

#include "capi/arguments.h"
#include "capi/error.h"
#include "capi/model_options.h"

namespace llmcore::capi {

absl::Status LoadModel(Loader loader, const std::string& name, const llmcore_model_options* options,
                       llmcore_model** out_model) {
  auto monitor = std::make_shared<CallbackMonitor>();
  LLMCORE_ASSIGN_OR_RETURN(const core::ModelOptions bound, BindOptions(options, monitor));
  LLMCORE_ASSIGN_OR_RETURN(std::shared_ptr<const core::Model> model, loader(name, bound));
  llmcore_plan plan{model->plan()};
  std::string backend = model->BackendDescription();
  *out_model =
      new llmcore_model{std::move(model), std::move(monitor), std::move(plan), std::move(backend)};
  return absl::OkStatus();
}

absl::Status PlanModel(Planner planner, const std::string& name,
                       const llmcore_model_options* options, llmcore_plan** out_plan) {
  LLMCORE_ASSIGN_OR_RETURN(const core::ModelOptions bound,
                           BindOptions(options, std::make_shared<CallbackMonitor>()));
  LLMCORE_ASSIGN_OR_RETURN(core::MemoryPlan plan, planner(name, bound));
  *out_plan = new llmcore_plan{std::move(plan)};
  return absl::OkStatus();
}

absl::Status CheckModel(const llmcore_model* model) {
  LLMCORE_RETURN_IF_ERROR(NotNull(model, "model"));
  return model->monitor->CheckOutside();
}

}  // namespace llmcore::capi

using namespace llmcore::capi;  // NOLINT: the functions below are in no namespace

llmcore_error* llmcore_model_plan(const char* path, size_t path_size,
                                  const llmcore_model_options* options, llmcore_plan** out_plan) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_plan, "out_plan"));
    LLMCORE_ASSIGN_OR_RETURN(const std::string directory, Path(path, path_size, "path"));
    return PlanModel(llmcore::core::Model::Plan, directory, options, out_plan);
  });
}

llmcore_error* llmcore_model_load(const char* path, size_t path_size,
                                  const llmcore_model_options* options, llmcore_model** out_model) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_model, "out_model"));
    LLMCORE_ASSIGN_OR_RETURN(const std::string directory, Path(path, path_size, "path"));
    return LoadModel(llmcore::core::Model::Load, directory, options, out_model);
  });
}

void llmcore_model_destroy(llmcore_model* model) {
  delete model;
}

const llmcore_plan* llmcore_model_plan_of(const llmcore_model* model) {
  return model == nullptr ? nullptr : &model->plan;
}

uint32_t llmcore_model_vocabulary_size(const llmcore_model* model) {
  return model == nullptr ? 0 : static_cast<uint32_t>(model->model->config().vocab_size);
}

uint32_t llmcore_model_max_context(const llmcore_model* model) {
  return model == nullptr ? 0 : llmcore_plan_max_context(&model->plan);
}

const char* llmcore_model_backend_description(const llmcore_model* model) {
  return model == nullptr ? "" : model->backend_description.c_str();
}

bool llmcore_model_is_end_of_text(const llmcore_model* model, llmcore_token token) {
  return model != nullptr && model->model->IsEndOfText(token);
}
