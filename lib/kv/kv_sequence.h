// The KV cache of one sequence: a block table, how many positions of it are computed, which of its
// blocks the prefix cache knows, and which are swapped out to the host.
#ifndef LLMCORE_LIB_KV_KV_SEQUENCE_H_
#define LLMCORE_LIB_KV_KV_SEQUENCE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "lib/base/checked.h"
#include "lib/base/status.h"
#include "lib/kv/block_pool.h"
#include "lib/kv/kv_sequences.h"

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
  // Blocks that the sequence's swapped ones are to be copied to, in their order.
  std::span<const BlockId> swapped_in() const { return table_.subspan(first_new_, swapped_in_); }

 private:
  friend class KvSequence;
  void Release();

  KvSequences* all_ = nullptr;  // NULL: nothing is reserved
  std::span<BlockId> table_;
  int64_t end_ = 0;
  size_t first_new_ = 0;   // table_[first_new_..] were taken
  size_t swapped_in_ = 0;  // of those, the first so many
  BlockCopy copy_;
};

// Used by one thread at a time. Several sequences may share blocks of one pool. While a sequence is
// in nobody's hands, its last blocks may be taken for a request of another (KvSequences::MakeRoom).
// Those that are swapped out come back with its next reservation. Without the others it is shorter,
// and whoever has the tokens computes the rest again, to the same bits.
class KvSequence {
 public:
  explicit KvSequence(std::shared_ptr<KvSequences> all);
  KvSequence(KvSequence&& other) noexcept;
  KvSequence& operator=(KvSequence&&) = delete;
  ~KvSequence();

  // Those of the pool, then the places of the swapped ones that follow. Both stay as they are while
  // the sequence is pinned or part of a step.
  std::span<const BlockId> blocks() const;
  std::span<const BlockId> swapped_blocks() const;
  int64_t length() const;  // computed positions, those that are swapped out included
  int32_t block_tokens() const { return all_->block_tokens(); }
  size_t BlocksFor(int64_t positions) const {
    return CeilDivide(static_cast<uint64_t>(positions), static_cast<uint64_t>(block_tokens()));
  }

  // Takes the memory of a block table for `end` positions, so that Commit needs none.
  void PrepareTable(int64_t end);

  // Takes blocks for writes to positions [length, end), in place of a shared block that holds
  // position `length` too, and for what is swapped out; `end` > length. The sequence stays as it
  // is. `table`, of at least BlocksFor(end), is the caller's and outlives the reservation.
  // RESOURCE_EXHAUSTED when the pool has too few. Allocates nothing.
  absl::StatusOr<KvReservation> Reserve(int64_t end, std::span<BlockId> table) const;
  // Makes the reservation's blocks and positions part of the sequence, which is as it was when they
  // were reserved. Allocates nothing after PrepareTable.
  void Commit(KvReservation reservation);

  // The prefix cache (block_pool.h). `tokens` are those of the sequence from its first position on;
  // a tenant is set before there are any.
  void SetTenant(const CacheTenant& tenant);
  // Goes on with blocks that hold the next of `tokens` already, as far as there are any, also in
  // place of blocks that are swapped out. Allocates nothing after PrepareTable.
  void AdoptPrefix(std::span<const int32_t> tokens);
  // Lets others adopt its full blocks; of one whose content is known already, it takes the known
  // one instead of its own. Allocates nothing.
  void PublishBlocks(std::span<const int32_t> tokens);
  // Its positions were not computed here but read from somewhere: others do not adopt them, nor
  // what follows them.
  void KeepToItself();
  // Whether its next block is the same as that of another sequence, which is about to compute
  // `other_tokens`: then it could adopt the block in place of computing it too.
  bool NextBlockEquals(const KvSequence& other, std::span<const int32_t> tokens,
                       std::span<const int32_t> other_tokens) const;

  // Keeps the first `length` positions (no effect if there are fewer) and frees the blocks behind.
  void Truncate(int64_t length);

  // A sequence with the same blocks, all shared. Each brings those that are swapped out back for
  // itself.
  KvSequence Fork() const;

  // A request of it waits for a step from BeginRequest on, and is part of one while it is pinned.
  // `turn`: where it stands, by KvSequences::NextStep, unless its reply has a standing already.
  void BeginRequest(int64_t priority_steps);
  void EndRequest();
  // While a reply goes on, its blocks are not the first to be taken between two requests.
  void SetReplying(bool replying);
  // Its blocks stay while it is pinned; of a sequence that waits or that nobody computes with.
  void SetPinned(bool pinned);

 private:
  friend class KvSequences;

  // Those below are called under the lock of `all_`.

  // The blocks that a reservation up to `end` takes at least, when `dropped` says how many
  // references each block is about to lose (empty: none).
  size_t NeedLocked(int64_t end, std::span<const int32_t> dropped) const;
  void TruncateLocked(int64_t length);
  // Loses its resident blocks from the `kept`th on: swaps them out, as far as there are places.
  void GiveUpLocked(size_t kept);
  // Truncates to what is there when places are not filled that it was to have.
  void DropUnfilledLocked();
  std::span<const BlockId> resident() const { return std::span(blocks_).first(resident_); }
  std::span<const BlockId> swapped() const { return std::span(blocks_).subspan(resident_); }
  size_t FullBlocks() const { return static_cast<size_t>(length_ / block_tokens()); }
  size_t FullResident() const { return std::min(FullBlocks(), resident_); }
  void DropLast();
  PrefixIndex::Key KeyOf(std::span<const int32_t> tokens, size_t index) const;
  bool CanAdopt(std::span<const int32_t> tokens) const;

  std::shared_ptr<KvSequences> all_;
  // Guarded by the lock of `all_`.
  size_t index_ = 0;             // among its sequences
  std::vector<BlockId> blocks_;  // resident ones, then places of those that are swapped out
  size_t resident_ = 0;
  int64_t length_ = 0;
  CacheTenant tenant_;
  size_t indexed_ = 0;    // blocks from the first on that it knows to be in the prefix cache
  bool private_ = false;  // see KeepToItself; until nothing is left
  bool waiting_ = false;
  bool replying_ = false;
  bool pinned_ = false;
  int64_t last_used_ = 0;
  int64_t began_ = 0;    // step in which the present standing was given
  KvStanding standing_;  // ticket 0: none
};

// Keeps a sequence's blocks in place while somebody reads them.
class KvPin {
 public:
  explicit KvPin(KvSequence* sequence) : sequence_(sequence) { sequence_->SetPinned(true); }
  KvPin(const KvPin&) = delete;
  KvPin& operator=(const KvPin&) = delete;
  ~KvPin() { sequence_->SetPinned(false); }

 private:
  KvSequence* const sequence_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_KV_KV_SEQUENCE_H_
