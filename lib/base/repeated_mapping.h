// Address space that shows one block of memory over and over.
#ifndef LLMCORE_LIB_BASE_REPEATED_MAPPING_H_
#define LLMCORE_LIB_BASE_REPEATED_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "lib/base/status.h"

namespace llmcore::core {

class RepeatedMapping {
 public:
  // At least `bytes` of address space that repeat `block`, whose size is a multiple of 64 KiB.
  static absl::StatusOr<RepeatedMapping> Create(std::span<const std::byte> block, uint64_t bytes);

  RepeatedMapping(RepeatedMapping&& other) noexcept;
  RepeatedMapping& operator=(RepeatedMapping&&) = delete;
  ~RepeatedMapping();

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  // The first `bytes` need not count as resident any more. Advice only.
  void Release(uint64_t bytes) const;

 private:
  RepeatedMapping() = default;

  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_REPEATED_MAPPING_H_
