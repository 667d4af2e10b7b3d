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
#include "lib/engine/schedule.h"
#include "lib/engine/step_buffers.h"
#include "lib/engine/turnstile.h"
#include "lib/memory/memory_plan.h"
#include "lib/model/decoder.h"

namespace llmcore::core {

// Steps run in a thread of the batcher's own, and callers only wait. A caller that ran them itself
// would save a hop between threads, a few microseconds a token; but it could not leave a step that
// others are part of, so that cancelling it would either take as long as the step or throw away
// their work. A request that is withdrawn from a running step leaves it to the others.
//
// Thread-safe.
class Batcher {
 public:
  // What it works with outlives it. `turnstile` is held while a step uses backend and buffers.
  struct Device {
    Backend* backend;
    Decoder* decoder;
    Turnstile* turnstile;
    std::span<std::byte> workspace;
    StepBuffers buffers;
    int32_t vocabulary = 0;
  };
  Batcher(const MemoryPlan& plan, const Device& device);
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;
  // No request may be left.
  ~Batcher();

  // RESOURCE_EXHAUSTED when the system grants no thread. Call once, before the first request.
  absl::Status Start();

  // Queues a request, which is waited for before it ends or its sequence is touched. A failed step
  // changes nothing; the steps of the request before it stay.
  void Submit(Request* request);
  // Waits until a request that was submitted is done. CANCELLED within about 20 ms of `cancel`
  // (which may be NULL) being set.
  absl::Status Wait(Request* request, const CancelToken* cancel);

  size_t waiting() const;  // requests that no step has taken yet

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
    int32_t logit_rows = 0;
    size_t first_logit = 0;  // index of its first row of logits
  };

  void Loop() noexcept;
  void AwaitWork();
  bool ReadyLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StepOnce();
  void Form();
  Demand DemandLocked(Request* request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddMemberLocked(const Share& share) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Compute();
  absl::Status Deliver(std::span<const float> logits);
  void Finish(const absl::Status& status, Clock::duration time);
  void CompleteLocked(Request* request, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool WithdrawLocked(Request* request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const MemoryPlan& plan_;
  const Device device_;
  StepBuffers buffers_;
  PrefillPacer pacer_;
  std::atomic<int64_t> prompt_tokens_{0};
  std::atomic<bool> tracing_{false};
  StepTrace trace_;
  CancelToken step_cancel_;            // set when nobody waits for the step any more
  const absl::Status out_of_memory_;   // made when there was some
  const absl::Status internal_error_;  // likewise

  mutable std::mutex mutex_;
  std::condition_variable work_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Request*> queue_ ABSL_GUARDED_BY(mutex_);  // in order of arrival
  std::vector<Member> members_ ABSL_GUARDED_BY(mutex_);  // but for what a running step reads
  std::vector<Demand> demands_ ABSL_GUARDED_BY(mutex_);  // scratch
  std::vector<const Request*> prompts_ ABSL_GUARDED_BY(mutex_);  // scratch
  std::vector<Share> shares_ ABSL_GUARDED_BY(mutex_);            // scratch
  // Requests that the last step completed: their sequences tend to come back at once, and the next
  // step waits a moment for them.
  size_t expected_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t arrived_ ABSL_GUARDED_BY(mutex_) = 0;
  Clock::time_point linger_until_ ABSL_GUARDED_BY(mutex_){};
  std::thread thread_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_ENGINE_BATCHER_H_
