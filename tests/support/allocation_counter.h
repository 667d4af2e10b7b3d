// Counts what a test program asks of operator new, which allocation_counter.cc replaces.
#ifndef LLMCORE_TESTS_SUPPORT_ALLOCATION_COUNTER_H_
#define LLMCORE_TESTS_SUPPORT_ALLOCATION_COUNTER_H_

#include <cstdint>

namespace llmcore::test {

// Calls of operator new by all threads since the program began.
uint64_t AllocationCount();
// Likewise of the calling thread alone.
uint64_t ThreadAllocationCount();

}  // namespace llmcore::test

#endif  // LLMCORE_TESTS_SUPPORT_ALLOCATION_COUNTER_H_
