#include "tests/support/allocation_counter.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

constexpr std::size_t kAlignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

std::atomic<uint64_t> allocation_count{0};
thread_local uint64_t thread_allocation_count = 0;

void* CountedAllocate(std::size_t size, std::size_t alignment) noexcept {
  allocation_count.fetch_add(1, std::memory_order_relaxed);
  ++thread_allocation_count;
  if (alignment <= kAlignment) return std::malloc(size == 0 ? 1 : size);
  void* memory = nullptr;
  return posix_memalign(&memory, alignment, size) == 0 ? memory : nullptr;
}

void* CountedAllocateOrThrow(std::size_t size, std::size_t alignment) {
  void* memory = CountedAllocate(size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

namespace llmcore::test {

uint64_t AllocationCount() {
  return allocation_count.load(std::memory_order_relaxed);
}

uint64_t ThreadAllocationCount() {
  return thread_allocation_count;
}

}  // namespace llmcore::test

// All forms: the sanitizers' own would not call each other.
using std::align_val_t;
using std::nothrow_t;
using std::size_t;

void* operator new(size_t n) {
  return CountedAllocateOrThrow(n, kAlignment);
}
void* operator new[](size_t n) {
  return CountedAllocateOrThrow(n, kAlignment);
}
void* operator new(size_t n, align_val_t a) {
  return CountedAllocateOrThrow(n, size_t(a));
}
void* operator new[](size_t n, align_val_t a) {
  return CountedAllocateOrThrow(n, size_t(a));
}
void* operator new(size_t n, const nothrow_t&) noexcept {
  return CountedAllocate(n, kAlignment);
}
void* operator new[](size_t n, const nothrow_t&) noexcept {
  return CountedAllocate(n, kAlignment);
}
void* operator new(size_t n, align_val_t a, const nothrow_t&) noexcept {
  return CountedAllocate(n, size_t(a));
}
void* operator new[](size_t n, align_val_t a, const nothrow_t&) noexcept {
  return CountedAllocate(n, size_t(a));
}

void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete[](void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, size_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, size_t) noexcept {
  std::free(p);
}
void operator delete(void* p, align_val_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, align_val_t) noexcept {
  std::free(p);
}
void operator delete(void* p, size_t, align_val_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, size_t, align_val_t) noexcept {
  std::free(p);
}
void operator delete(void* p, const nothrow_t&) noexcept {
  std::free(p);
}
void operator delete[](void* p, const nothrow_t&) noexcept {
  std::free(p);
}
void operator delete(void* p, align_val_t, const nothrow_t&) noexcept {
  std::free(p);
}
void operator delete[](void* p, align_val_t, const nothrow_t&) noexcept {
  std::free(p);
}
