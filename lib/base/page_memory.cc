#include "lib/base/page_memory.h"

#include <sys/mman.h>

#include <algorithm>

namespace llmcore::core {
namespace {

// Below it a mapping would cost more than it gives back.
constexpr size_t kLeastMapping = size_t{64} << 10;

constexpr size_t kFirstChunk = 1024;
constexpr size_t kMostChunk = size_t{4} << 20;

}  // namespace

void* AllocatePages(size_t bytes) {
  if (bytes < kLeastMapping) return ::operator new(bytes);
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return memory;
}

void FreePages(void* memory, size_t bytes) noexcept {
  if (bytes < kLeastMapping) {
    ::operator delete(memory);
  } else {
    munmap(memory, bytes);
  }
}

PageArena::~PageArena() {
  for (const auto& [memory, bytes] : chunks_) FreePages(memory, bytes);
}

void* PageArena::TakeBytes(size_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (bytes > left_) {
    const size_t last = chunks_.empty() ? kFirstChunk / 2 : chunks_.back().second;
    const size_t size = std::max(bytes, std::min(2 * last, kMostChunk));
    chunks_.reserve(chunks_.size() + 1);
    next_ = static_cast<std::byte*>(AllocatePages(size));
    chunks_.emplace_back(next_, size);
    left_ = size;
  }
  void* const piece = next_;
  next_ += bytes;
  left_ -= bytes;
  return piece;
}

}  // namespace llmcore::core
