// The KV cache of one sequence: a block table, how many positions of it are computed, and which of
// its blocks the prefix cache knows.
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

  // The prefix cache (block_pool.h). `tokens` are those of the sequence from its first position on;
  // a tenant is set before there are any.
  void set_tenant(const CacheTenant& tenant) { tenant_ = tenant; }
  // Goes on with blocks that hold the next of `tokens` already, as far as there are any. Allocates
  // nothing after PrepareTable.
  void AdoptPrefix(std::span<const int32_t> tokens);
  // Lets others adopt its full blocks; of one whose content is known already, it takes the known
  // one instead of its own. Allocates nothing.
  void PublishBlocks(std::span<const int32_t> tokens);
  // Its positions were not computed here but read from somewhere: others do not adopt them, nor
  // what follows them.
  void KeepToItself() { private_ = true; }
  // Whether its next block is the same as that of another sequence, which is about to compute
  // `other_tokens`: then it could adopt the block in place of computing it too.
  bool NextBlockEquals(const KvSequence& other, std::span<const int32_t> tokens,
                       std::span<const int32_t> other_tokens) const;

  // Keeps the first `length` positions (no effect if there are fewer) and frees the blocks behind.
  void Truncate(int64_t length);

  // A sequence with the same blocks, all shared.
  KvSequence Fork() const;

 private:
  size_t FullBlocks() const { return static_cast<size_t>(length_ / block_tokens_); }
  void DropLast();
  PrefixIndex::Key KeyOf(std::span<const int32_t> tokens, size_t index) const;
  bool CanAdopt(std::span<const int32_t> tokens) const;

  std::shared_ptr<BlockPool> pool_;
  const int32_t block_tokens_;
  std::vector<BlockId> blocks_;
  int64_t length_ = 0;
  CacheTenant tenant_;
  size_t indexed_ = 0;    // blocks from the first on that it knows to be in the prefix cache
  bool private_ = false;  // see KeepToItself; until nothing is left
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_KV_KV_SEQUENCE_H_
