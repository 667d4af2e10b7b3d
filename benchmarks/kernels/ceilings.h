// What this machine can do at most, measured here and now: the figures that speeds are fractions
// of. Each is of `threads` threads, every one pinned to a core of its own among those that the
// process may use (more threads than cores share them), and takes a fraction of a second.
#ifndef LLMCORE_BENCHMARKS_KERNELS_CEILINGS_H_
#define LLMCORE_BENCHMARKS_KERNELS_CEILINGS_H_

namespace llmcore::benchmarks {

// Bytes a second of memory that no cache holds, read in order, a range of its own a thread; the
// best of several prefetch distances.
double ReadBandwidth(int threads);

// The best instruction of its kind that the processor has, on as many independent accumulators as
// the registers hold, and what it reaches. No instruction: empty and 0.
struct Peak {
  const char* instruction = "";
  double ops = 0;  // additions and multiplications a second
};

Peak Int8DotPeak(int threads);
Peak Bf16DotPeak(int threads);
Peak F32FmaPeak(int threads);

}  // namespace llmcore::benchmarks

#endif  // LLMCORE_BENCHMARKS_KERNELS_CEILINGS_H_
