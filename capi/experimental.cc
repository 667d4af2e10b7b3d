#include <string>
#include <vector>

#include "capi/arguments.h"
#include "capi/error.h"
#include "capi/model.h"
#include "capi/session.h"
#include "capi/text.h"
#include "llmcore/llmcore_experimental.h"

using namespace llmcore::capi;  // NOLINT: the functions below are in no namespace

llmcore_error* llmcore_model_load_synthetic(const char* shape, size_t shape_size,
                                            const llmcore_model_options* options,
                                            llmcore_model** out_model) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_model, "out_model"));
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view name, Text(shape, shape_size, "shape"));
    return LoadModel(llmcore::core::Model::LoadSynthetic, std::string(name), options, out_model);
  });
}

llmcore_error* llmcore_model_plan_synthetic(const char* shape, size_t shape_size,
                                            const llmcore_model_options* options,
                                            llmcore_plan** out_plan) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_plan, "out_plan"));
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view name, Text(shape, shape_size, "shape"));
    return PlanModel(llmcore::core::Model::PlanSynthetic, std::string(name), options, out_plan);
  });
}

llmcore_error* llmcore_session_all_logits(llmcore_session* session, uint64_t first,
                                          const float** out_values, size_t* out_rows,
                                          size_t* out_columns) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(
        Reset(out_values, "out_values", out_rows, "out_rows", out_columns, "out_columns"));
    LLMCORE_RETURN_IF_ERROR(NotNull(session, "session"));
    SessionState& state = *session->state;
    LLMCORE_ASSIGN_OR_RETURN(const SessionUse use, SessionUse::Begin(&state));
    if (first >= state.session->tokens().size()) {
      return absl::InvalidArgumentError("first is not below the length of the session");
    }
    state.all_logits.clear();
    LLMCORE_RETURN_IF_ERROR(state.session->AllLogits(first, &state.all_logits));
    *out_values = state.all_logits.data();
    *out_rows = state.session->tokens().size() - first;
    *out_columns = state.all_logits.size() / *out_rows;
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_session_set_cache_tenant(llmcore_session* session, const char* tenant,
                                                size_t tenant_size) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view name, Bytes(tenant, tenant_size, "tenant"));
    LLMCORE_RETURN_IF_ERROR(NotNull(session, "session"));
    LLMCORE_ASSIGN_OR_RETURN(const SessionUse use, SessionUse::Begin(session->state.get()));
    return session->state->session->SetCacheTenant(name);
  });
}

llmcore_error* llmcore_model_set_trace(llmcore_model* model, bool enabled) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(CheckModel(model));
    model->model->SetTrace(enabled);
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_trace_json(const llmcore_model* model, llmcore_text** out_text) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_text, "out_text"));
    LLMCORE_RETURN_IF_ERROR(CheckModel(model));
    *out_text = new llmcore_text{model->model->TraceJson()};
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_stats_json(const llmcore_model* model, llmcore_text** out_text) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_text, "out_text"));
    LLMCORE_RETURN_IF_ERROR(CheckModel(model));
    *out_text = new llmcore_text{model->model->StatsJson()};
    return absl::OkStatus();
  });
}
