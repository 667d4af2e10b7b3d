#include "tests/fault/faults.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <new>

namespace llmcore::test {
namespace {

constexpr int64_t kNever = INT64_MAX;

struct Countdown {
  std::atomic<int64_t> left{kNever};
  std::atomic<bool> from_then_on{false};
  std::atomic<bool> fired{false};

  bool Fails() {
    if (left.load(std::memory_order_relaxed) == kNever) return false;
    const int64_t before = left.fetch_sub(1, std::memory_order_relaxed);
    if (before > 0 || (before < 0 && !from_then_on.load(std::memory_order_relaxed))) return false;
    fired.store(true, std::memory_order_relaxed);
    return true;
  }
};

constinit Countdown allocations;
constinit Countdown file_calls;
constinit std::atomic<int64_t> folders_flushed{0};

}  // namespace

int64_t FoldersFlushed() {
  return folders_flushed;
}

ScopedFault::ScopedFault(FaultKind kind, int64_t nth, bool from_then_on) {
  Countdown& countdown = kind == FaultKind::kAllocation ? allocations : file_calls;
  allocations.fired = false;
  file_calls.fired = false;
  countdown.from_then_on = from_then_on;
  countdown.left = nth;
}

ScopedFault::~ScopedFault() {
  allocations.left = kNever;
  file_calls.left = kNever;
}

bool ScopedFault::fired() const {
  return allocations.fired || file_calls.fired;
}

namespace {

void* Allocate(std::size_t size, std::size_t alignment) noexcept {
  if (allocations.Fails()) return nullptr;
  if (alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__) return std::malloc(size == 0 ? 1 : size);
  return std::aligned_alloc(alignment, (size / alignment + 1) * alignment);
}

void* AllocateOrThrow(std::size_t size, std::size_t alignment) {
  void* memory = Allocate(size, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

constexpr std::size_t kAlignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace
}  // namespace llmcore::test

using llmcore::test::Allocate;
using llmcore::test::AllocateOrThrow;
using llmcore::test::file_calls;
using llmcore::test::folders_flushed;
using llmcore::test::kAlignment;

void* operator new(std::size_t n) {
  return AllocateOrThrow(n, kAlignment);
}
void* operator new[](std::size_t n) {
  return AllocateOrThrow(n, kAlignment);
}
void* operator new(std::size_t n, std::align_val_t a) {
  return AllocateOrThrow(n, std::size_t(a));
}
void* operator new[](std::size_t n, std::align_val_t a) {
  return AllocateOrThrow(n, std::size_t(a));
}
void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  return Allocate(n, kAlignment);
}
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept {
  return Allocate(n, kAlignment);
}
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return Allocate(n, std::size_t(a));
}
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return Allocate(n, std::size_t(a));
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete[](void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, std::size_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
  std::free(p);
}
void operator delete(void* p, const std::nothrow_t&) noexcept {
  std::free(p);
}
void operator delete[](void* p, const std::nothrow_t&) noexcept {
  std::free(p);
}

// The linker's --wrap sends the library's calls here (tests/fault/CMakeLists.txt).
#define LLMCORE_WRAP(Type, name, parameters, arguments, failure, error) \
  extern "C" Type __real_##name parameters;                             \
  extern "C" Type __wrap_##name parameters {                            \
    if (file_calls.Fails()) {                                           \
      errno = error;                                                    \
      return failure;                                                   \
    }                                                                   \
    return __real_##name arguments;                                     \
  }

LLMCORE_WRAP(int, fstat, (int fd, struct stat* info), (fd, info), -1, EIO)
LLMCORE_WRAP(void*, mmap, (void* at, size_t size, int protection, int flags, int fd, off_t offset),
             (at, size, protection, flags, fd, offset), MAP_FAILED, ENOMEM)
LLMCORE_WRAP(ssize_t, read, (int fd, void* data, size_t size), (fd, data, size), -1, EIO)
LLMCORE_WRAP(ssize_t, pwrite, (int fd, const void* data, size_t size, off_t offset),
             (fd, data, size, offset), -1, ENOSPC)
LLMCORE_WRAP(int, mkdir, (const char* path, mode_t mode), (path, mode), -1, EDQUOT)
LLMCORE_WRAP(int, rename, (const char* from, const char* to), (from, to), -1, EACCES)
LLMCORE_WRAP(DIR*, opendir, (const char* name), (name), nullptr, EMFILE)
LLMCORE_WRAP(ssize_t, getrandom, (void* data, size_t size, unsigned flags), (data, size, flags), -1,
             EAGAIN)

extern "C" int __real_fsync(int fd);
extern "C" int __wrap_fsync(int fd) {
  if (file_calls.Fails()) {
    errno = EIO;
    return -1;
  }
  struct stat info;
  if (__real_fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) ++folders_flushed;
  return __real_fsync(fd);
}

extern "C" int __real_open(const char* path, int flags, ...);
extern "C" int __wrap_open(const char* path, int flags, ...) {
  if (file_calls.Fails()) {
    errno = EMFILE;
    return -1;
  }
  std::va_list rest;
  va_start(rest, flags);
  const int mode = va_arg(rest, int);  // read even where the caller gave none, as open(2) does
  va_end(rest);
  return __real_open(path, flags, mode);
}
