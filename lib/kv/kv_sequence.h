// The KV cache of one sequence: a block table, and how many positions of it are computed.
#ifndef LLMCORE_LIB_KV_KV_SEQUENCE_H_
#define LLMCORE_LIB_KV_KV_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "lib/base/checked.h"
#include "lib/base/status.h"
#include "lib/kv/block_pool.h"

namespace llmcore::core {

// Blocks that a write has to copy first, because another sequence shares them.
struct BlockCopy {
  BlockId from = -1;
  BlockId to = -1;
};

// Blocks that were taken for a step and are not part of its sequence yet. It gives them back at its
// end, unless KvSequence::Commit took them; the sequence may change or end meanwhile.
class KvReservation {
 public:
  KvReservation() = default;
  KvReservation(KvReservation&& other) noexcept { *this = std::move(other); }
  KvReservation& operator=(KvReservation&& other) noexcept;
  ~KvReservation() { Release(); }

  // Blocks of positions [0, end()): those of the sequence, then the new ones.
  std::span<const BlockId> blocks() const { return table_; }
  int64_t end() const { return end_; }
  // What is to be copied before the first write; `from` < 0: nothing.
  BlockCopy copy() const { return copy_; }

 private:
  friend class KvSequence;
  void Release();

  BlockPool* pool_ = nullptr;  // NULL: nothing is reserved
  std::span<BlockId> table_;
  int64_t end_ = 0;
  size_t first_new_ = 0;  // table_[first_new_..] were taken
  BlockCopy copy_;
};

// Used by one thread at a time. Several sequences may share blocks of one pool.
class KvSequence {
 public:
  KvSequence(std::shared_ptr<BlockPool> pool, int32_t block_tokens)
      : pool_(std::move(pool)), block_tokens_(block_tokens) {}
  KvSequence(KvSequence&&) = default;
  KvSequence& operator=(KvSequence&&) = delete;
  ~KvSequence();

  std::span<const BlockId> blocks() const { return blocks_; }
  int64_t length() const { return length_; }  // computed positions
  int32_t block_tokens() const { return block_tokens_; }
  size_t BlocksFor(int64_t positions) const {
    return CeilDivide(static_cast<uint64_t>(positions), static_cast<uint64_t>(block_tokens_));
  }

  // Takes the memory of a block table for `end` positions, so that Commit needs none.
  void PrepareTable(int64_t end) { blocks_.reserve(BlocksFor(end)); }

  // Takes blocks for writes to positions [length, end), in place of a shared block that holds
  // position `length` too; `end` > length. The sequence stays as it is. `table`, of at least
  // BlocksFor(end), is the caller's and outlives the reservation. RESOURCE_EXHAUSTED when the pool
  // has too few. Allocates nothing.
  absl::StatusOr<KvReservation> Reserve(int64_t end, std::span<BlockId> table) const;
  // Makes the reservation's blocks and positions part of the sequence, which is as it was when they
  // were reserved. Allocates nothing after PrepareTable.
  void Commit(KvReservation reservation);

  // Keeps the first `length` positions (no effect if there are fewer) and frees the blocks behind.
  void Truncate(int64_t length);

  // A sequence with the same blocks, all shared.
  KvSequence Fork() const;

 private:
  std::shared_ptr<BlockPool> pool_;
  const int32_t block_tokens_;
  std::vector<BlockId> blocks_;
  int64_t length_ = 0;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_KV_KV_SEQUENCE_H_
