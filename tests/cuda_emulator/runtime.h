// The device of the emulator, as tests see it beside the runtime API.
#ifndef LLMCORE_TESTS_CUDA_EMULATOR_RUNTIME_H_
#define LLMCORE_TESTS_CUDA_EMULATOR_RUNTIME_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cuda_emulator {

class Graph;
class GraphExec;
class Stream;

// What went wrong in the launch that failed last; empty when none did.
std::string LastFault();
// A new device: forgets the sticky error, the fault and what FailCall set. Memory stays.
void ResetDevice();
// Draws other orders of threads from here on.
void SetSeed(uint64_t seed);
// The call number `call` of the runtime API from now on, 1 being the next, fails with `error` (a
// cudaError_t).
void FailCall(int64_t call, int error);
// Calls of the runtime API so far.
int64_t Calls();
// Kernels that were launched so far, each by a call of its own.
int64_t Launches();
// Graphs that were launched so far, and kernels and copies in them.
int64_t GraphLaunches();
int64_t GraphNodes();
// Captures that gave a graph so far.
int64_t Captures();
// Graphs of either kind that were not destroyed.
int64_t Graphs();
// Times that the host waited for a stream so far.
int64_t Waits();
// Bytes of device memory that are allocated now.
uint64_t AllocatedBytes();
// The most bytes of pinned host memory that were allocated at a time since the last call.
uint64_t MostPinnedBytes();
// What is in all pinned host memory that is allocated now.
std::vector<std::byte> PinnedContents();
// Devices that cudaGetDeviceCount finds; 1 unless set.
void SetDeviceCount(int count);

}  // namespace cuda_emulator

#endif  // LLMCORE_TESTS_CUDA_EMULATOR_RUNTIME_H_
