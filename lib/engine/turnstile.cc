#include "lib/engine/turnstile.h"

namespace llmcore::core {

Turnstile::Pass Turnstile::Enter() {
  std::unique_lock<std::mutex> lock(mutex_);
  const uint64_t ticket = next_ticket_++;
  left_.wait(lock, [this, ticket] { return serving_ == ticket; });
  return Pass(this);
}

void Turnstile::Leave() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++serving_;
  left_.notify_all();
}

}  // namespace llmcore::core
