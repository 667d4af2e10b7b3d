// Where the time of steps goes: calls, time, bytes and arithmetic by operation, summed over steps.
// The functions of lib/ops fill it, so that it covers every backend.
#ifndef LLMCORE_LIB_BACKEND_STEP_TRACE_H_
#define LLMCORE_LIB_BACKEND_STEP_TRACE_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::core {

enum class OperationKind : uint8_t {
  kEmbed,
  kNorm,
  kLinear,
  kLinearGated,
  kRopeAppend,
  kAttention,
  kGatherRows,
  kCopyBlocks,
  kSwapBlocks,
  kSample,
};
inline constexpr int kOperationKinds = 10;
absl::string_view OperationName(OperationKind kind);  // "embed", "norm", ...

// What one call has to do at least, whatever the backend.
struct OperationWork {
  OperationKind kind = OperationKind::kEmbed;
  int64_t rows = 0;
  // Of the weight of a linear, else 0: tells the linears of a model apart.
  int64_t inputs = 0;
  int64_t outputs = 0;
  uint64_t bytes = 0;  // weights and cache once, its rows in and out
  uint64_t ops = 0;    // additions and multiplications
};

// Allocates nothing. Thread-safe. Times are of the host's clock: a backend that returns before the
// device is done is charged with its launches, and the rest falls to whatever waits for it.
class StepTrace {
 public:
  using Clock = std::chrono::steady_clock;

  void Reset();
  void AddOperation(const OperationWork& work, Clock::duration time);
  void AddStep(int64_t rows, Clock::duration time);

  // {"steps", "rows", "seconds", "other_seconds", "operations": [{"name", "inputs" and "outputs" of
  // a linear, "calls", "rows", "seconds", "bytes", "ops"}, ...]}, the slowest operation first.
  // other_seconds is the time of the steps outside of the operations.
  std::string ToJson() const;

 private:
  struct Entry {
    OperationWork work;  // summed
    uint64_t calls = 0;
    Clock::duration time{};
  };
  // A model has five shapes of linears; those beyond the table share their kind's first entry.
  static constexpr size_t kEntries = 32;

  Entry& EntryOf(const OperationWork& work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable std::mutex mutex_;
  std::array<Entry, kEntries> entries_ ABSL_GUARDED_BY(mutex_);
  size_t used_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t steps_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t rows_ ABSL_GUARDED_BY(mutex_) = 0;
  Clock::duration step_time_ ABSL_GUARDED_BY(mutex_){};
};

// Charges a step's rows and time to `trace` at its end; NULL: nothing.
class TracedStep {
 public:
  TracedStep(StepTrace* trace, int64_t rows) : trace_(trace), rows_(rows) {
    if (trace_ != nullptr) begin_ = StepTrace::Clock::now();
  }
  TracedStep(const TracedStep&) = delete;
  TracedStep& operator=(const TracedStep&) = delete;
  ~TracedStep() {
    if (trace_ != nullptr) trace_->AddStep(rows_, StepTrace::Clock::now() - begin_);
  }

 private:
  StepTrace* const trace_;
  const int64_t rows_;
  StepTrace::Clock::time_point begin_{};
};

// Runs an operation and charges it to `trace`; NULL: only runs it. `work` is asked afterwards.
template <typename Work, typename Run>
absl::Status Traced(StepTrace* trace, const Work& work, const Run& run) {
  if (trace == nullptr) [[likely]]
    return run();
  const StepTrace::Clock::time_point begin = StepTrace::Clock::now();
  absl::Status status = run();
  const StepTrace::Clock::duration time = StepTrace::Clock::now() - begin;
  if (status.ok()) trace->AddOperation(work(), time);
  return status;
}

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BACKEND_STEP_TRACE_H_
