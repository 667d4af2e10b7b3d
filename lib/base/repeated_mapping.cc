#include "lib/base/repeated_mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/base/checked.h"

namespace llmcore::core {
namespace {

constexpr uint64_t kGranule = 65536;  // a multiple of the page size of every machine

}  // namespace

absl::StatusOr<RepeatedMapping> RepeatedMapping::Create(std::span<const std::byte> block,
                                                        uint64_t bytes) {
  const int file = memfd_create("llmcore", MFD_CLOEXEC);
  if (file < 0) return ErrnoError(errno, "cannot create an anonymous file");
  RepeatedMapping mapping;
  const auto fail = [file](const char* what) {
    const int error = errno;
    close(file);
    return ErrnoError(error, what);
  };
  if (write(file, block.data(), block.size()) != static_cast<ssize_t>(block.size())) {
    return fail("cannot fill an anonymous file");
  }
  const uint64_t size = RoundUp(bytes, block.size());
  void* const base = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return fail("cannot reserve address space");
  mapping.data_ = static_cast<std::byte*>(base);
  mapping.size_ = size;
  for (uint64_t offset = 0; offset < size; offset += block.size()) {
    if (mmap(mapping.data_ + offset, block.size(), PROT_READ, MAP_SHARED | MAP_FIXED, file, 0) ==
        MAP_FAILED) {
      return fail("cannot map an anonymous file");
    }
  }
  close(file);
  return mapping;
}

RepeatedMapping::RepeatedMapping(RepeatedMapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

RepeatedMapping::~RepeatedMapping() {
  if (data_ != nullptr) munmap(data_, size_);
}

void RepeatedMapping::Release(uint64_t bytes) const {
  const uint64_t whole = std::min<uint64_t>(bytes, size_) / kGranule * kGranule;
  if (whole > 0) madvise(data_, whole, MADV_DONTNEED);
}

}  // namespace llmcore::core
