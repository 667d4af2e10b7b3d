// Finds items of an array by their hash: four bytes and a half an item, where a map of nodes takes
// ten times as many beside the items themselves. For tables that are built once and kept.
#ifndef LLMCORE_LIB_BASE_INDEX_TABLE_H_
#define LLMCORE_LIB_BASE_INDEX_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace llmcore::core {

// Open addressing with linear probing. The items, their equality and their hash are the caller's;
// the hash is of 64 bits that are all as good as random (absl::HashOf).
class IndexTable {
 public:
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  IndexTable() = default;
  // For at most `count` items, fewer than 2^31. Throws std::bad_alloc.
  explicit IndexTable(size_t count) : slots_(count + count / 2 + 1, kNone) {}

  // The index that was inserted with this hash and for which `equal(index)` holds, or kNone.
  template <typename Equal>
  uint32_t Find(uint64_t hash, const Equal& equal) const {
    if (slots_.empty()) return kNone;
    for (size_t slot = First(hash);; slot = Next(slot)) {
      const uint32_t index = slots_[slot];
      if (index == kNone || equal(index)) return index;
    }
  }

  // `index` is not kNone, and there is room for it.
  void Insert(uint64_t hash, uint32_t index) {
    size_t slot = First(hash);
    while (slots_[slot] != kNone) slot = Next(slot);
    slots_[slot] = index;
  }

 private:
  size_t First(uint64_t hash) const {
    return static_cast<size_t>((hash >> 32) * slots_.size() >> 32);
  }
  size_t Next(size_t slot) const { return slot + 1 == slots_.size() ? 0 : slot + 1; }

  std::vector<uint32_t> slots_;  // a third of them stays kNone, so that a search ends
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_INDEX_TABLE_H_
