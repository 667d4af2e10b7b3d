// A pool for the loops of a step: the calling thread works too, nothing is allocated in a call, and
// a worker that the operating system has taken away holds nobody up unless it is inside a chunk.
#ifndef LLMCORE_LIB_BASE_THREAD_POOL_H_
#define LLMCORE_LIB_BASE_THREAD_POOL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "lib/base/cancel.h"
#include "lib/base/status.h"

namespace llmcore::core {

// Thread rule: one ParallelFor at a time (the caller sees to it); it is not reentrant.
class ThreadPool {
 public:
  // Called with [begin, end) and the number of the thread, 0 (the caller) to threads() - 1.
  using Body = absl::FunctionRef<void(int64_t begin, int64_t end, int thread)>;

  // More threads than any machine has cores: a request beyond it is a mistake.
  static constexpr int kMaxThreads = 1024;

  // `threads` threads including the caller of ParallelFor; 0 for one per usable core
  // (UsableCores). INVALID_ARGUMENT outside 0..kMaxThreads, RESOURCE_EXHAUSTED when the system
  // grants no more threads.
  static absl::StatusOr<std::unique_ptr<ThreadPool>> Create(int threads);

  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls `body` on the pieces of [0, count) of `chunk` indices each (the last may be shorter), in
  // ascending order of start, on whichever thread is free. The pieces are the same whatever the
  // number of threads. Returns when all are done, or, with CANCELLED, when `cancel` was seen set
  // between two of them. An exception out of `body` stops the loop and becomes RESOURCE_EXHAUSTED
  // (std::bad_alloc) or INTERNAL. chunk >= 1; count <= 0 does nothing.
  absl::Status ParallelFor(int64_t count, int64_t chunk, const CancelToken* cancel, Body body);

 private:
  enum class Failure : int { kNone, kCancelled, kOutOfMemory, kException };

  // The loop being run. Written by the caller while no worker is inside.
  struct Loop {
    int64_t count = 0;
    int64_t chunk = 1;
    const CancelToken* cancel = nullptr;
    const Body* body = nullptr;
  };

  ThreadPool() = default;
  absl::Status Start(int threads);
  void Work(int thread);
  void RunChunks(int thread) noexcept;
  uint32_t AwaitLoop(uint32_t seen) const;
  bool Enter(uint32_t loop_number);
  void Leave();
  void CloseAndAwaitWorkers();

  std::vector<std::thread> workers_;
  int spins_ = 0;  // looks at a variable before parking on it
  Loop loop_;

  // Each on its own cache line: the first changes with every chunk, the others once or twice a
  // loop.
  alignas(64) std::atomic<int64_t> next_{0};  // start of the next piece
  // Number of the loop (how many were started); workers park on it. kStop ends them.
  alignas(64) std::atomic<uint32_t> number_{0};
  // Number of the open loop in the high half, 0 when closed; workers inside in the low half.
  alignas(64) std::atomic<uint64_t> gate_{0};
  std::atomic<uint32_t> inside_changed_{0};  // the caller parks on it until the last one left
  std::atomic<bool> stop_{false};
  std::atomic<Failure> failure_{Failure::kNone};
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_THREAD_POOL_H_
