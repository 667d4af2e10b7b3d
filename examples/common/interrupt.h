// Ctrl-C as a function call on an ordinary thread, rather than in a signal handler where hardly any
// function may be called.
#ifndef LLMCORE_EXAMPLES_COMMON_INTERRUPT_H_
#define LLMCORE_EXAMPLES_COMMON_INTERRUPT_H_

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

namespace examples {

// Blocks SIGINT in the calling thread, and so in the threads that it starts later: make one before
// any other thread. While no action is set Ctrl-C ends the process as it always does.
class InterruptWatcher {
 public:
  InterruptWatcher();
  ~InterruptWatcher();
  InterruptWatcher(const InterruptWatcher&) = delete;
  InterruptWatcher& operator=(const InterruptWatcher&) = delete;

  // Calls `action` on the watcher's thread at each Ctrl-C until the Scope ends, which then gives
  // way to the Scope around it.
  class Scope {
   public:
    Scope(InterruptWatcher& watcher, std::function<void()> action);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    InterruptWatcher& watcher_;
    std::function<void()> outer_;
  };

 private:
  void Watch();

  std::mutex mutex_;
  std::function<void()> action_;  // guarded by mutex_
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

// Ends the process as Ctrl-C would have, so that a shell that runs it in a loop stops as well.
[[noreturn]] void DieOfInterrupt();

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_COMMON_INTERRUPT_H_
