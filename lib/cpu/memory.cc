#include "lib/cpu/memory.h"

#include <sys/mman.h>

#include "absl/strings/str_cat.h"
#include "lib/base/checked.h"

namespace llmcore::cpu {
namespace {

using core::CeilDivide;
using core::RoundUp;

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHugePage = uint64_t{2} << 20;
// Beyond any address space of today (57 bits); keeps the arithmetic below from wrapping.
constexpr uint64_t kAbsurd = uint64_t{1} << 57;

class MappedMemory final : public core::DeviceMemory {
 public:
  MappedMemory(void* mapping, uint64_t mapped, uint64_t offset, uint64_t bytes)
      : mapping_(mapping), mapped_(mapped) {
    data_ = static_cast<std::byte*>(mapping) + offset;
    size_ = bytes;
  }
  ~MappedMemory() override { munmap(mapping_, mapped_); }

 private:
  void* mapping_;
  uint64_t mapped_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<core::DeviceMemory>> MapMemory(uint64_t bytes) {
  const auto refused = [bytes] {
    return core::ResourceExhaustedError(
        absl::StrCat("the system does not grant ", bytes, " bytes of memory"), bytes);
  };
  if (bytes > kAbsurd) return refused();
  // A range of several huge pages begins on one. What the alignment skips is never touched and so
  // takes address space only.
  const bool huge = bytes >= 2 * kHugePage;
  const uint64_t mapped = RoundUp(bytes == 0 ? 1 : bytes, kPage) + (huge ? kHugePage : 0);
  void* mapping = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return refused();
  uint64_t offset = 0;
  if (huge) {
    const auto address = reinterpret_cast<uintptr_t>(mapping);
    offset = RoundUp(address, kHugePage) - address;
#if defined(MADV_HUGEPAGE)
    // Only whole huge pages, so that the tail takes no more memory than was asked for. A refusal
    // costs speed only.
    (void)madvise(static_cast<std::byte*>(mapping) + offset, bytes / kHugePage * kHugePage,
                  MADV_HUGEPAGE);
#endif
  }
  std::unique_ptr<core::DeviceMemory> memory;
  try {
    memory = std::make_unique<MappedMemory>(mapping, mapped, offset, bytes);
  } catch (...) {
    munmap(mapping, mapped);
    throw;
  }
  return memory;
}

}  // namespace llmcore::cpu
