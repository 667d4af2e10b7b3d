// Makes the Nth allocation, or the Nth system call that touches files, fail. For tests that are
// linked with tests/fault/faults.cc, which replaces operator new and wraps the calls.
#ifndef LLMCORE_TESTS_FAULT_FAULTS_H_
#define LLMCORE_TESTS_FAULT_FAULTS_H_

#include <cstdint>

namespace llmcore::test {

enum class FaultKind { kAllocation, kFile };

// While one lives, call number `nth` (from 0) of its kind fails, and if `from_then_on` all later
// ones too, in whichever thread they happen. One at a time.
class ScopedFault {
 public:
  ScopedFault(FaultKind kind, int64_t nth, bool from_then_on);
  ScopedFault(const ScopedFault&) = delete;
  ScopedFault& operator=(const ScopedFault&) = delete;
  ~ScopedFault();

  // Whether any call failed so far.
  bool fired() const;
};

// How many times a folder was flushed to disk so far, which makes a rename in it last.
int64_t FoldersFlushed();

}  // namespace llmcore::test

#endif  // LLMCORE_TESTS_FAULT_FAULTS_H_
