// Callbacks of the host, called with what the contract promises: one at a time, never again once
// the host said to stop, and never while the host calls the handle from inside one.
#ifndef LLMCORE_CAPI_CALLBACKS_H_
#define LLMCORE_CAPI_CALLBACKS_H_

#include <atomic>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "lib/base/cancel.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "llmcore/llmcore.h"

namespace llmcore::capi {

// Knows which threads are inside a callback of one handle. Thread-safe.
class CallbackMonitor {
 public:
  // Marks the calling thread for as long as it lives; stands on its stack.
  class Scope {
   public:
    explicit Scope(CallbackMonitor* monitor);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    friend class CallbackMonitor;
    CallbackMonitor* const monitor_;
    const std::thread::id thread_ = std::this_thread::get_id();
    Scope* next_;
  };

  // FAILED_PRECONDITION when the calling thread is inside a callback.
  absl::Status CheckOutside() const;

 private:
  std::atomic<int> count_{0};  // threads inside; lets CheckOutside skip the lock
  mutable absl::Mutex mutex_;
  Scope* first_ ABSL_GUARDED_BY(mutex_) = nullptr;
};

// What a host gave to a setter. `user` is released when the last copy is gone.
template <typename Function>
struct HostCallback {
  Function function = nullptr;
  std::shared_ptr<void> user;
};

// Owns `user` at once, so that `destroy` is called whatever happens next.
std::shared_ptr<void> OwnUser(void* user, void (*destroy)(void* user));

// The core's callbacks for one load: both hold one lock while the host runs, and mark the thread in
// the monitors of the options and of the model that the load makes.
struct CoreCallbacks {
  core::ProgressCallback progress;
  core::LogCallback log;
};
CoreCallbacks BindCallbacks(const HostCallback<llmcore_progress_callback>& progress,
                            const HostCallback<llmcore_log_callback>& log,
                            std::shared_ptr<CallbackMonitor> options,
                            std::shared_ptr<CallbackMonitor> model);

}  // namespace llmcore::capi

#endif  // LLMCORE_CAPI_CALLBACKS_H_
