#include "lib/engine/turnstile.h"

#include <algorithm>

#include "absl/time/time.h"

namespace llmcore::core {

absl::StatusOr<Turnstile::Pass> Turnstile::Enter(const CancelToken* cancel) {
  const absl::MutexLock lock(&mutex_);
  const uint64_t ticket = next_ticket_++;
  waiting_.push_back(ticket);
  const auto is_my_turn = [this, ticket]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !held_ && waiting_.front() == ticket;
  };
  while (!mutex_.AwaitWithTimeout(absl::Condition(&is_my_turn), absl::Milliseconds(5))) {
    if (cancel != nullptr && cancel->cancelled()) {
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), ticket));
      return CancelledError("waiting for the model");
    }
  }
  waiting_.pop_front();
  held_ = true;
  return Pass(this);
}

void Turnstile::Leave() {
  const absl::MutexLock lock(&mutex_);
  held_ = false;
}

}  // namespace llmcore::core
