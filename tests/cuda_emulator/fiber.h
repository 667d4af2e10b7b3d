// Stacks that one OS thread switches between. Announced to AddressSanitizer and ThreadSanitizer.
#ifndef LLMCORE_TESTS_CUDA_EMULATOR_FIBER_H_
#define LLMCORE_TESTS_CUDA_EMULATOR_FIBER_H_

#include <cstddef>

namespace cuda_emulator {

class Fiber {
 public:
  // The stack that is running when it is first switched away from.
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  // Makes the next switch to this fiber call entry(), which never returns, on an empty stack. A
  // fiber that was left in the middle is simply forgotten: nothing on it is destroyed.
  void Reset(void (*entry)());

  // Continues `to`, which is of the same OS thread; returns when something switches back to `from`.
  static void Switch(Fiber* from, Fiber* to);
  // To be called first in entry().
  static void Entered();

 private:
  void AllocateStack();

  void* stack_pointer_ = nullptr;
  std::byte* stack_ = nullptr;  // owned, above a guard page; null: the thread's own
  // The stack in use, for AddressSanitizer, and the fiber as ThreadSanitizer knows it.
  [[maybe_unused]] const void* bottom_ = nullptr;
  [[maybe_unused]] size_t bytes_ = 0;
  [[maybe_unused]] void* fake_stack_ = nullptr;
  [[maybe_unused]] void* tsan_fiber_ = nullptr;
};

}  // namespace cuda_emulator

#endif  // LLMCORE_TESTS_CUDA_EMULATOR_FIBER_H_
