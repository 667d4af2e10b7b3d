// The threads of one block, as fibers of the OS thread that runs it, and where they meet.
#ifndef LLMCORE_TESTS_CUDA_EMULATOR_BLOCK_H_
#define LLMCORE_TESTS_CUDA_EMULATOR_BLOCK_H_

#include <cstddef>
#include <cstdint>

namespace cuda_emulator {

constexpr uint32_t kWarp = 32;
constexpr uint32_t kFullMask = 0xFFFFFFFFu;

struct Index {
  uint32_t x = 0;
  uint32_t y = 0;
  uint32_t z = 0;
};

// Where the running CUDA thread is.
struct Place {
  Index thread;
  Index block;
  Index block_size;
  Index grid_size;
  uint32_t lane = 0;
};
const Place& Here();

// ---- For kernels -------------------------------------------------------------------------------

// __syncthreads: all threads of the block that have not returned.
void BlockBarrier();
// __syncwarp: the lanes of `mask`; orders their memory.
void WarpBarrier(uint32_t mask);

// __threadfence: what this thread did before is seen by those that pass a fence later.
void MemoryFence();

// A meeting of the lanes of `mask`, each with an operand; the last to come calls
// meet(operands, mask), where operands[lane] is null outside of the mask. `meet` also identifies
// the operation: lanes that meet in different ones are a fault.
//
// It reads and writes what the lanes keep on their stacks, in an order that no memory fence of the
// kernel makes: CUDA_EMULATOR_MEET keeps ThreadSanitizer from looking.
#define CUDA_EMULATOR_MEET __attribute__((no_sanitize("thread")))
using Meet = void (*)(void* const* operands, uint32_t mask);
void WarpMeet(uint32_t mask, void* operand, Meet meet);

// The dynamic shared memory of the block.
void* SharedMemory();

// cp.async of `bytes` (at most 16) from `source`, of which `valid` are copied and the rest zero.
void AsyncCopy(void* destination, const void* source, size_t bytes, size_t valid);
void AsyncCommit();
// Completes all groups of this thread but the newest `pending`.
void AsyncWait(int pending);

// Ends the launch with this message.
[[noreturn]] void Fault(const char* format, ...) __attribute__((format(printf, 1, 2)));

// ---- For the launch ----------------------------------------------------------------------------

// A kernel with its arguments.
struct Kernel {
  void (*call)(const void* arguments) = nullptr;
  const void* arguments = nullptr;
  const char* name = "";
};

struct Grid {
  Index grid_size;
  Index block_size;
  size_t shared_bytes = 0;
  uint64_t seed = 0;
};

// Runs one block on the calling OS thread. False after a fault, whose text is in `fault`.
bool RunBlock(const Kernel& kernel, const Grid& grid, Index block, char* fault, size_t fault_size);

}  // namespace cuda_emulator

#endif  // LLMCORE_TESTS_CUDA_EMULATOR_BLOCK_H_
