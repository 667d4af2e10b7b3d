#include <chrono>
#include <optional>

#include "absl/strings/str_cat.h"
#include "capi/arguments.h"
#include "capi/error.h"
#include "capi/model.h"
#include "capi/session.h"
#include "llmcore/llmcore_experimental.h"

using namespace llmcore::capi;  // NOLINT: the functions below are in no namespace

llmcore_error* llmcore_engine_step(const llmcore_model* model, bool* out_did_work) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_did_work, "out_did_work"));
    LLMCORE_RETURN_IF_ERROR(CheckModel(model));
    LLMCORE_ASSIGN_OR_RETURN(*out_did_work, model->model->Step());
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_session_set_priority(llmcore_session* session, int32_t priority) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(NotNull(session, "session"));
    if (priority < -llmcore::core::kMaxPriority || priority > llmcore::core::kMaxPriority) {
      return absl::InvalidArgumentError(
          absl::StrCat("priority is ", priority, ", which is not between ",
                       -llmcore::core::kMaxPriority, " and ", llmcore::core::kMaxPriority));
    }
    LLMCORE_ASSIGN_OR_RETURN(const SessionUse use, SessionUse::Begin(session->state.get()));
    session->state->session->SetPriority(priority);
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_session_set_deadline(llmcore_session* session, uint64_t milliseconds) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(NotNull(session, "session"));
    LLMCORE_ASSIGN_OR_RETURN(const SessionUse use, SessionUse::Begin(session->state.get()));
    // Further off than anybody lives: none. Beyond it the clock would overflow.
    constexpr uint64_t kCentury = uint64_t{100} * 366 * 24 * 3600 * 1000;
    std::optional<std::chrono::milliseconds> time;
    if (milliseconds < kCentury) time = std::chrono::milliseconds(milliseconds);
    session->state->session->SetDeadline(time);
    return absl::OkStatus();
  });
}
