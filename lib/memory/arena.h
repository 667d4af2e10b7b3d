// One range of memory, cut into pieces. A measuring arena hands out offsets of a range that does
// not exist, so that a plan and a load walk the very same code.
#ifndef LLMCORE_LIB_MEMORY_ARENA_H_
#define LLMCORE_LIB_MEMORY_ARENA_H_

#include <cstddef>
#include <cstdint>

#include "lib/base/status.h"

namespace llmcore::core {

class Arena {
 public:
  static constexpr uint64_t kAlignment = 64;

  // Measures only: every piece is NULL.
  Arena() = default;
  // Cuts pieces from `size` bytes at `base`, aligned to 64, which outlive the arena's users.
  Arena(void* base, uint64_t size) : base_(static_cast<std::byte*>(base)), capacity_(size) {}

  bool measuring() const { return base_ == nullptr; }

  // The next piece, aligned to 64. RESOURCE_EXHAUSTED when sizes overflow; INTERNAL when the range
  // was not made for this many bytes.
  absl::StatusOr<void*> Take(uint64_t bytes);
  template <typename T>
  absl::StatusOr<T*> TakeArray(uint64_t count) {
    LLMCORE_ASSIGN_OR_RETURN(const uint64_t bytes, ArrayBytes(count, sizeof(T)));
    LLMCORE_ASSIGN_OR_RETURN(void* const piece, Take(bytes));
    return static_cast<T*>(piece);
  }

  uint64_t used() const { return used_; }
  // Every byte of the range was cut: it was planned for just these pieces.
  bool full() const { return used_ == capacity_; }

 private:
  static absl::StatusOr<uint64_t> ArrayBytes(uint64_t count, uint64_t size);

  std::byte* base_ = nullptr;
  uint64_t capacity_ = 0;
  uint64_t used_ = 0;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_MEMORY_ARENA_H_
