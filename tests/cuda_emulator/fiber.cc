#include "tests/cuda_emulator/fiber.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "tests/cuda_emulator/sanitizers.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace cuda_emulator {
namespace {

// Kernels keep little on the stack; sanitizers keep more.
constexpr size_t kStackBytes = size_t{128} << 10;
constexpr size_t kGuardBytes = 4096;

#if defined(CUDA_EMULATOR_ASAN)
void CurrentStack(const void** bottom, size_t* bytes) {
  pthread_attr_t attributes;
  void* address = nullptr;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &address, bytes);
  pthread_attr_destroy(&attributes);
  *bottom = address;
}
#endif

}  // namespace

#if defined(__x86_64__)

// Saves the registers that a call keeps (System V ABI) and the stack pointer, and takes up others.
extern "C" void cuda_emulator_switch(void** save, void* load);
asm(R"(
.text
.globl cuda_emulator_switch
.hidden cuda_emulator_switch
.type cuda_emulator_switch, @function
cuda_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size cuda_emulator_switch, .-cuda_emulator_switch
)");

void Fiber::Reset(void (*entry)()) {
  AllocateStack();
  // Six registers, the address that `ret` goes to, and nothing to return to from there. The entry
  // finds the stack as after a call: 8 below a multiple of 16.
  auto* top = reinterpret_cast<uintptr_t*>(stack_ + kStackBytes - 64);
  std::memset(top - 6, 0, 8 * sizeof(uintptr_t));
  *top = reinterpret_cast<uintptr_t>(entry);
  stack_pointer_ = top - 6;
  fake_stack_ = nullptr;
}

#else

extern "C" void cuda_emulator_switch(void** save, void* load) {
  if (*save == nullptr) *save = std::calloc(1, sizeof(ucontext_t));
  swapcontext(static_cast<ucontext_t*>(*save), static_cast<ucontext_t*>(load));
}

void Fiber::Reset(void (*entry)()) {
  AllocateStack();
  if (stack_pointer_ == nullptr) stack_pointer_ = std::calloc(1, sizeof(ucontext_t));
  auto* context = static_cast<ucontext_t*>(stack_pointer_);
  getcontext(context);
  context->uc_stack.ss_sp = stack_;
  context->uc_stack.ss_size = kStackBytes;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
  fake_stack_ = nullptr;
}

#endif

void Fiber::AllocateStack() {
  if (stack_ != nullptr) {
    UnpoisonMemory(stack_, kStackBytes);  // of frames that were forgotten
    return;
  }
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  mprotect(memory, kGuardBytes, PROT_NONE);
  stack_ = static_cast<std::byte*>(memory) + kGuardBytes;
  bottom_ = stack_;
  bytes_ = kStackBytes;
#if defined(CUDA_EMULATOR_TSAN)
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
  if (stack_ == nullptr) return;
#if defined(CUDA_EMULATOR_TSAN)
  __tsan_destroy_fiber(tsan_fiber_);
#endif
  UnpoisonMemory(stack_, kStackBytes);
  munmap(stack_ - kGuardBytes, kGuardBytes + kStackBytes);
#if !defined(__x86_64__)
  std::free(stack_pointer_);
#endif
}

void Fiber::Switch(Fiber* from, Fiber* to) {
#if defined(CUDA_EMULATOR_ASAN)
  if (from->bottom_ == nullptr) CurrentStack(&from->bottom_, &from->bytes_);
  __sanitizer_start_switch_fiber(&from->fake_stack_, to->bottom_, to->bytes_);
#endif
#if defined(CUDA_EMULATOR_TSAN)
  if (from->tsan_fiber_ == nullptr) from->tsan_fiber_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to->tsan_fiber_, 1);  // 1: a switch orders no memory
#endif
  cuda_emulator_switch(&from->stack_pointer_, to->stack_pointer_);
#if defined(CUDA_EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(from->fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::Entered() {
#if defined(CUDA_EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

}  // namespace cuda_emulator
