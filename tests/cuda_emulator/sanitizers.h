// What the sanitizers want to know of fibers and of memory; nothing in other builds.
#ifndef LLMCORE_TESTS_CUDA_EMULATOR_SANITIZERS_H_
#define LLMCORE_TESTS_CUDA_EMULATOR_SANITIZERS_H_

#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CUDA_EMULATOR_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define CUDA_EMULATOR_ASAN 1
#endif

#if defined(CUDA_EMULATOR_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// The emulator itself is compiled without ThreadSanitizer, so the build says whether it is there.
#if defined(CUDA_EMULATOR_TSAN)
extern "C" {
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void* __tsan_get_current_fiber();
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace cuda_emulator {

inline void PoisonMemory([[maybe_unused]] const void* data, [[maybe_unused]] size_t bytes) {
#if defined(CUDA_EMULATOR_ASAN)
  __asan_poison_memory_region(data, bytes);
#endif
}

inline void UnpoisonMemory([[maybe_unused]] const void* data, [[maybe_unused]] size_t bytes) {
#if defined(CUDA_EMULATOR_ASAN)
  __asan_unpoison_memory_region(data, bytes);
#endif
}

// What is done before Release(x) is seen by whoever does Acquire(x) later.
inline void Acquire([[maybe_unused]] void* object) {
#if defined(CUDA_EMULATOR_TSAN)
  __tsan_acquire(object);
#endif
}

inline void Release([[maybe_unused]] void* object) {
#if defined(CUDA_EMULATOR_TSAN)
  __tsan_release(object);
#endif
}

}  // namespace cuda_emulator

#endif  // LLMCORE_TESTS_CUDA_EMULATOR_SANITIZERS_H_
