// Runs the same loop on pinned threads for a while and adds up their rates.
#ifndef LLMCORE_BENCHMARKS_KERNELS_PINNED_THREADS_H_
#define LLMCORE_BENCHMARKS_KERNELS_PINNED_THREADS_H_

#include <sched.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace llmcore::benchmarks {

// Binds the calling thread to the core that is the `index`th of those it may use. Where that is not
// possible it stays where it is.
inline void PinToCore(int index) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  int skip = index % CPU_COUNT(&allowed);
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &allowed) || skip-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

// `work(thread)` does some hundred microseconds of work and returns how much it was. All threads
// begin together, the first calls are not counted, and each thread's rate is over its own time.
template <typename Work>
double PinnedRate(int threads, double seconds, const Work& work) {
  using Clock = std::chrono::steady_clock;
  std::atomic<int> warm{0};
  std::vector<double> rates(static_cast<size_t>(threads));
  std::vector<std::thread> running;
  for (int thread = 0; thread < threads; ++thread) {
    running.emplace_back([&, thread] {
      PinToCore(thread);
      bool counted = false;
      while (warm.load() < threads) {  // the others still start: keep the core busy
        static_cast<void>(work(thread));
        if (!counted) warm.fetch_add(1);
        counted = true;
      }
      double done = 0;
      const Clock::time_point begin = Clock::now();
      std::chrono::duration<double> passed{};
      while (passed.count() < seconds) {
        done += work(thread);
        passed = Clock::now() - begin;
      }
      rates[static_cast<size_t>(thread)] = done / passed.count();
    });
  }
  double sum = 0;
  for (std::thread& thread : running) thread.join();
  for (const double rate : rates) sum += rate;
  return sum;
}

}  // namespace llmcore::benchmarks

#endif  // LLMCORE_BENCHMARKS_KERNELS_PINNED_THREADS_H_
