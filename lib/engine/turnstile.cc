#include "lib/engine/turnstile.h"

#include <algorithm>
#include <chrono>

namespace llmcore::core {

absl::StatusOr<Turnstile::Pass> Turnstile::Enter(const CancelToken* cancel) {
  std::unique_lock<std::mutex> lock(mutex_);
  const uint64_t ticket = next_ticket_++;
  waiting_.push_back(ticket);
  const auto is_my_turn = [this, ticket] { return !held_ && waiting_.front() == ticket; };
  while (!left_.wait_for(lock, std::chrono::milliseconds(5), is_my_turn)) {
    if (cancel != nullptr && cancel->cancelled()) {
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), ticket));
      left_.notify_all();  // the turn of the one behind may have come
      return CancelledError("waiting for the model");
    }
  }
  waiting_.pop_front();
  held_ = true;
  return Pass(this);
}

void Turnstile::Leave() {
  const std::lock_guard<std::mutex> lock(mutex_);
  held_ = false;
  left_.notify_all();
}

}  // namespace llmcore::core
