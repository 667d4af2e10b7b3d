// A lock that is granted in the order of asking.
#ifndef LLMCORE_LIB_ENGINE_TURNSTILE_H_
#define LLMCORE_LIB_ENGINE_TURNSTILE_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"

namespace llmcore::core {

// Thread-safe. Whoever passes holds the turnstile until the Pass is destroyed. A mutex would not
// do: the thread that runs step after step could take it again before those who wait wake up.
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

  Pass Enter();

 private:
  void Leave();

  // Not absl::Mutex: ThreadSanitizer does not see the synchronization of a library that was built
  // without it, as distributions build theirs.
  std::mutex mutex_;
  std::condition_variable left_;
  uint64_t next_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t serving_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_ENGINE_TURNSTILE_H_
