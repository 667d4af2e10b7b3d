#include "capi/session.h"

#include <span>
#include <string>

#include "capi/arguments.h"
#include "capi/error.h"
#include "capi/model.h"

namespace llmcore::capi {
namespace {

// Runs `call(core session)`, which returns a status, while it holds the session.
template <typename Call>
absl::Status WithSession(llmcore_session* session, const Call& call) {
  LLMCORE_RETURN_IF_ERROR(NotNull(session, "session"));
  LLMCORE_ASSIGN_OR_RETURN(const SessionUse use, SessionUse::Begin(session->state.get()));
  return call(session->state->session.get());
}

llmcore_session* NewHandle(std::unique_ptr<core::Session> session,
                           std::shared_ptr<const CallbackMonitor> monitor) {
  auto state = std::make_shared<SessionState>(std::move(session), std::move(monitor));
  return new llmcore_session{std::move(state)};
}

}  // namespace

absl::StatusOr<SessionUse> SessionUse::Begin(SessionState* state) {
  LLMCORE_RETURN_IF_ERROR(state->monitor->CheckOutside());
  if (state->in_use.exchange(true, std::memory_order_acquire)) {
    return absl::FailedPreconditionError(
        "another call on the session is in flight: a session is used by one thread at a time");
  }
  return SessionUse(state);
}

SessionUse::~SessionUse() {
  if (state_ == nullptr) return;
  state_->length.store(state_->session->tokens().size(), std::memory_order_relaxed);
  state_->in_use.store(false, std::memory_order_release);
}

}  // namespace llmcore::capi

using namespace llmcore::capi;  // NOLINT: the functions below are in no namespace
using llmcore::core::Session;

llmcore_error* llmcore_session_create(const llmcore_model* model, llmcore_session** out_session) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_session, "out_session"));
    LLMCORE_RETURN_IF_ERROR(CheckModel(model));
    LLMCORE_ASSIGN_OR_RETURN(std::unique_ptr<Session> session, Session::Create(model->model));
    *out_session = NewHandle(std::move(session), model->monitor);
    return absl::OkStatus();
  });
}

void llmcore_session_destroy(llmcore_session* session) {
  delete session;
}

llmcore_error* llmcore_session_append_tokens(llmcore_session* session, const llmcore_token* ids,
                                             size_t count) {
  return Barrier([&]() -> absl::Status {
    if (count > 0) LLMCORE_RETURN_IF_ERROR(NotNull(ids, "ids"));
    return WithSession(session, [&](Session* s) { return s->AppendTokens({ids, count}); });
  });
}

llmcore_error* llmcore_session_append_text(llmcore_session* session, const char* text,
                                           size_t text_size) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view view, Text(text, text_size, "text"));
    return WithSession(session, [&](Session* s) { return s->AppendText(view); });
  });
}

llmcore_error* llmcore_session_append_message(llmcore_session* session, const char* role,
                                              size_t role_size, const char* content,
                                              size_t content_size) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view who, Text(role, role_size, "role"));
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view what, Text(content, content_size, "content"));
    return WithSession(session, [&](Session* s) { return s->AppendMessage(who, what); });
  });
}

llmcore_error* llmcore_session_set_chat_variables(llmcore_session* session, const char* json,
                                                  size_t json_size) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view view, Text(json, json_size, "json"));
    return WithSession(session, [&](Session* s) { return s->SetChatVariables(view); });
  });
}

uint64_t llmcore_session_length(const llmcore_session* session) {
  return session == nullptr ? 0 : session->state->length.load(std::memory_order_relaxed);
}

llmcore_error* llmcore_session_tokens(llmcore_session* session, const llmcore_token** out_ids,
                                      size_t* out_count) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_ids, "out_ids", out_count, "out_count"));
    return WithSession(session, [&](Session* s) {
      *out_ids = s->tokens().data();
      *out_count = s->tokens().size();
      return absl::OkStatus();
    });
  });
}

llmcore_error* llmcore_session_truncate(llmcore_session* session, uint64_t length) {
  return Barrier([&]() -> absl::Status {
    return WithSession(session, [&](Session* s) { return s->Truncate(length); });
  });
}

llmcore_error* llmcore_session_fork(llmcore_session* session, llmcore_session** out_session) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_session, "out_session"));
    return WithSession(session, [&](Session* s) -> absl::Status {
      LLMCORE_ASSIGN_OR_RETURN(std::unique_ptr<Session> fork, s->Fork());
      *out_session = NewHandle(std::move(fork), session->state->monitor);
      return absl::OkStatus();
    });
  });
}

llmcore_error* llmcore_session_save(llmcore_session* session, const char* path, size_t path_size) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_ASSIGN_OR_RETURN(const std::string file, Path(path, path_size, "path"));
    return WithSession(session, [&](Session* s) { return s->Save(file); });
  });
}

llmcore_error* llmcore_session_restore(const llmcore_model* model, const char* path,
                                       size_t path_size, llmcore_session** out_session) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_session, "out_session"));
    LLMCORE_RETURN_IF_ERROR(CheckModel(model));
    LLMCORE_ASSIGN_OR_RETURN(const std::string file, Path(path, path_size, "path"));
    LLMCORE_ASSIGN_OR_RETURN(std::unique_ptr<Session> session,
                             Session::Restore(model->model, file));
    *out_session = NewHandle(std::move(session), model->monitor);
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_session_logits(llmcore_session* session, const float** out_values,
                                      size_t* out_count) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_values, "out_values", out_count, "out_count"));
    return WithSession(session, [&](Session* s) -> absl::Status {
      LLMCORE_ASSIGN_OR_RETURN(const std::span<const float> logits, s->Logits());
      *out_values = logits.data();
      *out_count = logits.size();
      return absl::OkStatus();
    });
  });
}

void llmcore_session_cancel(llmcore_session* session) {
  if (session != nullptr) SilentBarrier([&] { session->state->session->Cancel(); });
}
