// A lock that is granted in the order of asking and that a waiting thread can be called away from.
#ifndef LLMCORE_LIB_ENGINE_TURNSTILE_H_
#define LLMCORE_LIB_ENGINE_TURNSTILE_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "lib/base/cancel.h"
#include "lib/base/status.h"

namespace llmcore::core {

// Thread-safe. Whoever passes holds the turnstile until the Pass is destroyed.
class Turnstile {
 public:
  class Pass {
   public:
    Pass(Pass&& other) noexcept : turnstile_(std::exchange(other.turnstile_, nullptr)) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (turnstile_ != nullptr) turnstile_->Leave();
    }

   private:
    friend class Turnstile;
    explicit Pass(Turnstile* turnstile) : turnstile_(turnstile) {}
    Turnstile* turnstile_;
  };

  // Waits for its turn. CANCELLED within about 5 ms when `cancel` (which may be NULL) is set.
  absl::StatusOr<Pass> Enter(const CancelToken* cancel);

 private:
  void Leave();

  // Not absl::Mutex: ThreadSanitizer does not see the synchronization of a library that was built
  // without it, as distributions build theirs.
  std::mutex mutex_;
  std::condition_variable left_;
  uint64_t next_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<uint64_t> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_ENGINE_TURNSTILE_H_
