// A grid of blocks over several OS threads.
#ifndef LLMCORE_TESTS_CUDA_EMULATOR_LAUNCH_H_
#define LLMCORE_TESTS_CUDA_EMULATOR_LAUNCH_H_

#include <cstddef>

#include "tests/cuda_emulator/block.h"

namespace cuda_emulator {

// Runs all blocks and returns; false after a fault, whose text is in `fault`. One launch at a time.
bool RunGrid(const Kernel& kernel, const Grid& grid, char* fault, size_t fault_size);

}  // namespace cuda_emulator

#endif  // LLMCORE_TESTS_CUDA_EMULATOR_LAUNCH_H_
