// Cancellation and progress of long work: load, prefill, decode, quantization.
#ifndef LLMCORE_LIB_BASE_CANCEL_H_
#define LLMCORE_LIB_BASE_CANCEL_H_

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::core {

// Set once by any thread, polled by the working one. Thread-safe.
class CancelToken {
 public:
  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  void Reset() { cancelled_.store(false, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> cancelled_{false};
};

// Called from the thread that does the work with what is being done ("quantize", "read", ...) and
// how far it is, in the unit of that stage (bytes). Returns false to cancel.
using ProgressCallback =
    std::function<bool(absl::string_view stage, uint64_t done, uint64_t total)>;

// What long work polls; both parts are optional. Passed by reference down the call chain.
struct WorkControl {
  const CancelToken* cancel = nullptr;  // outlives the work
  ProgressCallback progress;

  // CANCELLED when either part says so, else OK. Cheap enough to be called a few times a
  // millisecond of work.
  absl::Status Report(absl::string_view stage, uint64_t done, uint64_t total) const {
    if (cancel != nullptr && cancel->cancelled()) return core::CancelledError(stage);
    if (progress && !progress(stage, done, total)) return core::CancelledError(stage);
    return absl::OkStatus();
  }
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_CANCEL_H_
