#include "lib/base/thread_pool.h"

#include <algorithm>
#include <new>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "lib/base/cpu_features.h"

namespace llmcore::core {
namespace {

// Two operations of a step follow each other within a few microseconds; parking and waking costs
// about fifty. 1,000 looks with a pause are 10 to 50 microseconds on current x86.
constexpr int kSpins = 1000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

constexpr uint64_t kOneInside = 1;
constexpr uint64_t kInsideMask = 0xFFFFFFFFu;

constexpr uint64_t OpenGate(uint32_t number) {
  return static_cast<uint64_t>(number) << 32;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ThreadPool>> ThreadPool::Create(int threads) {
  if (threads < 0 || threads > kMaxThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("threads is ", threads, ", outside 0 to ", kMaxThreads));
  }
  const int cores = UsableCores();
  if (threads == 0) threads = std::min(cores, kMaxThreads);
  std::unique_ptr<ThreadPool> pool(new ThreadPool());
  // Where threads share a core, a spinning one takes time from a working one.
  pool->spins_ = threads <= cores ? kSpins : 0;
  LLMCORE_RETURN_IF_ERROR(pool->Start(threads));
  return pool;
}

absl::Status ThreadPool::Start(int threads) {
  workers_.reserve(static_cast<size_t>(threads - 1));
  for (int thread = 1; thread < threads; ++thread) {
    try {
      workers_.emplace_back([this, thread] { Work(thread); });
    } catch (const std::system_error& error) {
      return ResourceExhaustedError(absl::StrCat("thread ", thread + 1, " of ", threads,
                                                 " could not be started: ", error.what()),
                                    0);
    }
  }
  return absl::OkStatus();
}

ThreadPool::~ThreadPool() {
  stop_.store(true, std::memory_order_relaxed);
  number_.fetch_add(1, std::memory_order_release);
  number_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

absl::Status ThreadPool::ParallelFor(int64_t count, int64_t chunk, const CancelToken* cancel,
                                     Body body) {
  if (count <= 0) return absl::OkStatus();
  loop_ = {count, std::max<int64_t>(1, chunk), cancel, &body};
  next_.store(0, std::memory_order_relaxed);
  failure_.store(Failure::kNone, std::memory_order_relaxed);
  const bool shared = !workers_.empty() && count > loop_.chunk;
  if (shared) {
    // 0 means closed, so the number of a loop skips it. Only this thread writes number_ while
    // loops run.
    uint32_t number = number_.load(std::memory_order_relaxed) + 1;
    if (number == 0) number = 1;
    gate_.store(OpenGate(number), std::memory_order_release);
    number_.store(number, std::memory_order_release);
    number_.notify_all();
  }
  RunChunks(0);
  if (shared) CloseAndAwaitWorkers();
  switch (failure_.load(std::memory_order_relaxed)) {
    case Failure::kNone:
      return absl::OkStatus();
    case Failure::kCancelled:
      return core::CancelledError("a parallel loop");
    case Failure::kOutOfMemory:
      return ResourceExhaustedError("out of memory in a parallel loop", 0);
    case Failure::kException:
      break;
  }
  return absl::InternalError("exception in a parallel loop");
}

// Takes pieces until none is left. A failure moves `next_` to the end, so that all threads stop.
void ThreadPool::RunChunks(int thread) noexcept {
  const Loop loop = loop_;
  Failure failure = Failure::kNone;
  try {
    while (true) {
      if (loop.cancel != nullptr && loop.cancel->cancelled()) {
        if (next_.load(std::memory_order_relaxed) < loop.count) failure = Failure::kCancelled;
        break;
      }
      const int64_t begin = next_.fetch_add(loop.chunk, std::memory_order_relaxed);
      if (begin >= loop.count) return;
      (*loop.body)(begin, std::min(begin + loop.chunk, loop.count), thread);
    }
  } catch (const std::bad_alloc&) {
    failure = Failure::kOutOfMemory;
  } catch (...) {
    failure = Failure::kException;
  }
  if (failure == Failure::kNone) return;
  failure_.store(failure, std::memory_order_relaxed);
  next_.store(loop.count, std::memory_order_relaxed);
}

// A worker joins a loop through the gate, so that the caller waits only for those that joined.
bool ThreadPool::Enter(uint32_t loop_number) {
  uint64_t gate = gate_.load(std::memory_order_acquire);
  while ((gate >> 32) == loop_number) {
    if (gate_.compare_exchange_weak(gate, gate + kOneInside, std::memory_order_acq_rel,
                                    std::memory_order_acquire)) {
      return true;
    }
  }
  return false;
}

void ThreadPool::Leave() {
  const uint64_t before = gate_.fetch_sub(kOneInside, std::memory_order_acq_rel);
  // Closed and the last: the caller may be parked.
  if (before == kOneInside) {
    inside_changed_.fetch_add(1, std::memory_order_release);
    inside_changed_.notify_one();
  }
}

void ThreadPool::CloseAndAwaitWorkers() {
  uint32_t changes = inside_changed_.load(std::memory_order_acquire);
  uint64_t gate = gate_.fetch_and(kInsideMask, std::memory_order_acq_rel) & kInsideMask;
  for (int spin = 0; gate != 0 && spin < spins_; ++spin) {
    Pause();
    gate = gate_.load(std::memory_order_acquire);
  }
  while (gate != 0) {
    inside_changed_.wait(changes, std::memory_order_acquire);
    changes = inside_changed_.load(std::memory_order_acquire);
    gate = gate_.load(std::memory_order_acquire);
  }
}

uint32_t ThreadPool::AwaitLoop(uint32_t seen) const {
  for (int spin = 0; spin < spins_; ++spin) {
    const uint32_t number = number_.load(std::memory_order_acquire);
    if (number != seen) return number;
    Pause();
  }
  number_.wait(seen, std::memory_order_acquire);
  return number_.load(std::memory_order_acquire);
}

void ThreadPool::Work(int thread) {
  uint32_t seen = 0;
  while (true) {
    seen = AwaitLoop(seen);
    if (stop_.load(std::memory_order_relaxed)) return;
    if (!Enter(seen)) continue;
    RunChunks(thread);
    Leave();
  }
}

}  // namespace llmcore::core
