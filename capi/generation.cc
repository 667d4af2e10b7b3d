#include <cstdint>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "capi/arguments.h"
#include "capi/error.h"
#include "capi/sampling_params.h"
#include "capi/session.h"
#include "lib/session/session.h"
#include "llmcore/llmcore_experimental.h"

using llmcore::capi::SessionState;
using llmcore::capi::SessionUse;
using llmcore::core::FinishReason;
using llmcore::core::GenerationEvent;
using llmcore::core::Session;

struct llmcore_event {
  GenerationEvent event;
};

struct llmcore_generation {
  std::shared_ptr<SessionState> state;
  uint64_t number = 0;  // among the generations of the session
  bool over = false;    // the last event, or an error, was given
  llmcore_event event;  // lent by llmcore_generation_next
};

namespace llmcore::capi {
namespace {

bool IsCurrent(const llmcore_generation& generation) {
  return generation.state->generations == generation.number &&
         generation.state->session->generating();
}

// The next event into generation->event; whatever fails ends the generation. False when the event
// is not there yet, and `block` is false.
absl::StatusOr<bool> Advance(llmcore_generation* generation, bool block) {
  generation->over = true;
  if (!IsCurrent(*generation)) {
    return absl::FailedPreconditionError("the generation was ended by a later call on its session");
  }
  Session& session = *generation->state->session;
  if (block) {
    LLMCORE_ASSIGN_OR_RETURN(generation->event.event, session.NextEvent());
  } else {
    LLMCORE_ASSIGN_OR_RETURN(std::optional<GenerationEvent> event, session.PollEvent());
    generation->over = false;
    if (!event.has_value()) return false;
    generation->event.event = *std::move(event);
  }
  generation->over = generation->event.event.finish_reason != FinishReason::kNone;
  return true;
}

}  // namespace
}  // namespace llmcore::capi

using namespace llmcore::capi;  // NOLINT: the functions below are in no namespace

llmcore_error* llmcore_session_generate(llmcore_session* session,
                                        const llmcore_sampling_params* params,
                                        llmcore_generation** out_generation) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_generation, "out_generation"));
    LLMCORE_RETURN_IF_ERROR(NotNull(session, "session"));
    SessionState& state = *session->state;
    LLMCORE_ASSIGN_OR_RETURN(const SessionUse use, SessionUse::Begin(&state));
    auto generation = std::make_unique<llmcore_generation>();
    generation->state = session->state;
    LLMCORE_RETURN_IF_ERROR(state.session->StartGeneration(
        params == nullptr ? llmcore::core::GenerationParams() : params->params));
    generation->number = ++state.generations;
    *out_generation = generation.release();
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_generation_next(llmcore_generation* generation,
                                       const llmcore_event** out_event) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_event, "out_event"));
    LLMCORE_RETURN_IF_ERROR(NotNull(generation, "generation"));
    LLMCORE_ASSIGN_OR_RETURN(const SessionUse use, SessionUse::Begin(generation->state.get()));
    if (generation->over) return absl::OkStatus();
    LLMCORE_RETURN_IF_ERROR(Advance(generation, /*block=*/true).status());
    *out_event = &generation->event;
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_generation_poll(llmcore_generation* generation,
                                       const llmcore_event** out_event, bool* out_pending) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_event, "out_event", out_pending, "out_pending"));
    LLMCORE_RETURN_IF_ERROR(NotNull(generation, "generation"));
    LLMCORE_ASSIGN_OR_RETURN(const SessionUse use, SessionUse::Begin(generation->state.get()));
    if (generation->over) return absl::OkStatus();
    LLMCORE_ASSIGN_OR_RETURN(const bool there, Advance(generation, /*block=*/false));
    *out_pending = !there;
    if (there) *out_event = &generation->event;
    return absl::OkStatus();
  });
}

void llmcore_generation_destroy(llmcore_generation* generation) {
  if (generation == nullptr) return;
  const std::unique_ptr<llmcore_generation> owned(generation);
  SilentBarrier([&] {
    const absl::StatusOr<SessionUse> use = SessionUse::Begin(owned->state.get());
    if (use.ok() && IsCurrent(*owned)) owned->state->session->EndGeneration();
  });
}

const char* llmcore_event_text(const llmcore_event* event) {
  return event == nullptr ? "" : event->event.text.c_str();
}

size_t llmcore_event_text_size(const llmcore_event* event) {
  return event == nullptr ? 0 : event->event.text.size();
}

bool llmcore_event_has_token(const llmcore_event* event) {
  return event != nullptr && event->event.has_token;
}

llmcore_token llmcore_event_token(const llmcore_event* event) {
  return llmcore_event_has_token(event) ? event->event.token : LLMCORE_NO_TOKEN;
}

float llmcore_event_logprob(const llmcore_event* event) {
  return event == nullptr ? 0 : event->event.logprob;
}

size_t llmcore_event_top_logprob_count(const llmcore_event* event) {
  return event == nullptr ? 0 : event->event.top_logprobs.size();
}

llmcore_error* llmcore_event_top_logprob(const llmcore_event* event, size_t index,
                                         llmcore_token* out_token, float* out_logprob) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_token, "out_token", out_logprob, "out_logprob"));
    LLMCORE_RETURN_IF_ERROR(NotNull(event, "event"));
    const size_t count = event->event.top_logprobs.size();
    if (index >= count) {
      return absl::InvalidArgumentError(
          absl::StrCat("index is ", index, ", but the event has ", count, " top logprobs"));
    }
    *out_token = event->event.top_logprobs[index].id;
    *out_logprob = event->event.top_logprobs[index].logprob;
    return absl::OkStatus();
  });
}

uint32_t llmcore_event_finish_reason(const llmcore_event* event) {
  return event == nullptr ? LLMCORE_FINISH_NONE : static_cast<uint32_t>(event->event.finish_reason);
}
