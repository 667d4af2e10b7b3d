#ifndef LLMCORE_CAPI_SESSION_H_
#define LLMCORE_CAPI_SESSION_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "capi/callbacks.h"
#include "lib/base/status.h"
#include "lib/session/session.h"
#include "llmcore/llmcore.h"

namespace llmcore::capi {

// What a session's handle shares with those of its generations.
struct SessionState {
  SessionState(std::unique_ptr<core::Session> session_in,
               std::shared_ptr<const CallbackMonitor> monitor_in)
      : session(std::move(session_in)),
        monitor(std::move(monitor_in)),
        length(session->tokens().size()) {}

  const std::unique_ptr<core::Session> session;
  const std::shared_ptr<const CallbackMonitor> monitor;  // of the model

  std::atomic<bool> in_use{false};  // held by the call in flight
  std::atomic<uint64_t> length;     // of the sequence after the last call

  // Owned by whoever holds `in_use`.
  uint64_t generations = 0;       // begun so far: the handle of an earlier one is void
  std::vector<float> all_logits;  // lent by llmcore_session_all_logits
};

// Holds a session for one call: FAILED_PRECONDITION when another call is in flight, or from inside
// a callback of its model.
class SessionUse {
 public:
  static absl::StatusOr<SessionUse> Begin(SessionState* state);

  SessionUse(SessionUse&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  SessionUse& operator=(SessionUse&&) = delete;
  ~SessionUse();

 private:
  explicit SessionUse(SessionState* state) : state_(state) {}

  SessionState* state_;
};

}  // namespace llmcore::capi

struct llmcore_session {
  std::shared_ptr<llmcore::capi::SessionState> state;
};

#endif  // LLMCORE_CAPI_SESSION_H_
