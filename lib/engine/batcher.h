// Continuous batching: gathers the requests of all sequences of a model into steps.
#ifndef LLMCORE_LIB_ENGINE_BATCHER_H_
#define LLMCORE_LIB_ENGINE_BATCHER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/backend/backend.h"
#include "lib/backend/step_trace.h"
#include "lib/base/cancel.h"
#include "lib/base/status.h"
#include "lib/engine/request.h"
#include "lib/engine/request_queue.h"
#include "lib/engine/schedule.h"
#include "lib/engine/step_buffers.h"
#include "lib/engine/turnstile.h"
#include "lib/memory/memory_plan.h"
#include "lib/model/decoder.h"

namespace llmcore::core {

// In the background, steps run in a thread of the batcher's own, and callers only wait. A caller
// that ran them itself would save a hop between threads, a few microseconds a token; but it could
// not leave a step that others are part of, so that cancelling it would either take as long as the
// step or throw away their work. A request that is withdrawn from a running step leaves it to the
// others.
//
// By hand, there is no thread: Step runs a step in the thread that calls it, and a Wait that finds
// nobody stepping does so too, until its request is done.
//
// Thread-safe.
class Batcher {
 public:
  // What it works with outlives it. `turnstile` is held while a step uses backend and buffers.
  struct Device {
    Backend* backend;
    Decoder* decoder;
    KvSequences* sequences;
    Turnstile* turnstile;
    std::span<std::byte> workspace;
    StepBuffers buffers;
    int32_t vocabulary = 0;
    std::byte* swap = nullptr;  // the places of blocks that are swapped out
  };
  Batcher(const MemoryPlan& plan, Scheduler scheduler, const Device& device);
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;
  // No request may be left.
  ~Batcher();

  // Starts the thread, if it is to have one: RESOURCE_EXHAUSTED when the system grants none. Call
  // once, before the first request.
  absl::Status Start();

  // Queues a request, which is waited for before it ends or its sequence is touched; its sequence
  // fits into the pool. A failed step changes nothing; the steps of the request before it stay.
  // RESOURCE_EXHAUSTED: there is no memory to queue it.
  absl::Status Submit(Request* request);
  // Waits until a request that was submitted is done. CANCELLED within about 20 ms of `cancel`
  // (which may be NULL) being set, and DEADLINE_EXCEEDED at its deadline: by hand only between two
  // steps, when others take part in the one that this thread runs.
  absl::Status Wait(Request* request, const CancelToken* cancel);
  // Whether it is done, without waiting for it; a request that was to be cancelled is. Its status
  // is then the caller's to read.
  bool Poll(Request* request, const CancelToken* cancel);
  // Takes a request back, unless it is done: the rest of it is not computed. Waits no longer than
  // for a sink.
  void Withdraw(Request* request);

  // One step, in the calling thread and by hand only: false, at once, when no request can take part
  // in one.
  bool Step();

  size_t waiting() const;  // requests that no step has taken yet

  // INTERNAL when requests, sequences and block pool contradict each other. At any time.
  absl::Status CheckInvariants() const;
  int64_t prompt_tokens() const { return prompt_tokens_; }  // computed so far, but for decodes

  void SetTrace(bool enabled);
  std::string TraceJson() const { return trace_.ToJson(); }

 private:
  using Clock = std::chrono::steady_clock;

  // A sequence's part of the step that is formed or runs.
  struct Member {
    Request* request = nullptr;  // NULL: withdrawn, its rows are computed for nothing
    KvReservation reservation;
    int64_t first = 0;  // position of its first row
    int32_t rows = 0;
    int32_t logit_rows = 0;  // that its sink gets
    bool draws = false;
    size_t first_logit = 0;  // index of its first row of logits, or of its draw
  };

  void Loop() noexcept;
  void AwaitWork();
  Clock::time_point EarliestStepLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AwaitChange(std::unique_lock<std::mutex>* lock, Request* request, const CancelToken* cancel);
  bool StepOnce(const Request* driver = nullptr, const CancelToken* cancel = nullptr);
  bool Form();
  void FillLocked(bool urgent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool AddMemberLocked(const Share& share, bool urgent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ExpireLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool IsAlone(const Request* request) const;
  absl::Status Compute(const CancelToken* cancel);
  absl::Status Swap(const StepContext& context);
  void CheckStep();
  absl::Status Deliver(const StepOutput& output);
  void Finish(const absl::Status& status, Clock::duration time);
  void CompleteLocked(Request* request, absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool WithdrawLocked(Request* request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool DoneLocked(Request* request, const CancelToken* cancel)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const MemoryPlan& plan_;
  const Scheduler scheduler_;
  const Device device_;
  StepBuffers buffers_;
  PrefillPacer pacer_;
  std::atomic<int64_t> prompt_tokens_{0};
  std::atomic<bool> tracing_{false};
  StepTrace trace_;
  CancelToken step_cancel_;            // set when nobody waits for the step any more
  const absl::Status out_of_memory_;   // made when there was some
  const absl::Status internal_error_;  // likewise
  const absl::Status deadline_error_;  // likewise
  absl::Status broken_;                // builds with assertions: what a step left contradictory

  mutable std::mutex mutex_;
  std::condition_variable work_;  // by hand: a step ended
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  int stepping_ ABSL_GUARDED_BY(mutex_) = 0;  // by hand: threads that run a step, or are about to
  RequestQueue queue_ ABSL_GUARDED_BY(mutex_);
  std::vector<Member> members_ ABSL_GUARDED_BY(mutex_);  // but for what a running step reads
  int64_t step_ ABSL_GUARDED_BY(mutex_) = 0;             // the last one that was formed
  // Those that wait do so for blocks that nobody can give up now: tried again when something
  // changes, and at this time.
  bool blocked_ ABSL_GUARDED_BY(mutex_) = false;
  Clock::time_point retry_at_ ABSL_GUARDED_BY(mutex_){};
  // Requests that the last step completed: their sequences tend to come back at once, and the next
  // step waits a moment for them.
  size_t expected_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t arrived_ ABSL_GUARDED_BY(mutex_) = 0;
  Clock::time_point linger_until_ ABSL_GUARDED_BY(mutex_){};
  std::thread thread_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_ENGINE_BATCHER_H_
