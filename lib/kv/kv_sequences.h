// All sequences that share a block pool, and how one of them gets blocks that others hold.
#ifndef LLMCORE_LIB_KV_KV_SEQUENCES_H_
#define LLMCORE_LIB_KV_KV_SEQUENCES_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/base/status.h"
#include "lib/kv/block_pool.h"
#include "lib/kv/preemption.h"

namespace llmcore::core {

class KvSequence;

// What became of the blocks that sequences lost to others, since the start.
struct SwapStatistics {
  int32_t blocks = 0;          // that the swap memory has places for
  int32_t free_blocks = 0;     // places that are free now
  int64_t out_blocks = 0;      // went there
  int64_t in_blocks = 0;       // came back
  int64_t dropped_blocks = 0;  // found no place: computed again, unless the prefix cache has them
};

// Thread-safe. Its lock guards what all of its sequences hold.
//
// Swapping: a block that a sequence loses goes to a place in the host's memory, if one is free and
// nobody else holds the block. MakeRoom chooses the places; the copies are up to whoever runs the
// step, before anything of it writes (swap_out_blocks, SettleSwapOut). The other way is part of the
// sequence's next reservation.
class KvSequences {
 public:
  // `swap`: the places in the host's memory; NULL: none.
  KvSequences(std::shared_ptr<BlockPool> pool, int32_t block_tokens,
              std::unique_ptr<BlockPool> swap = nullptr);

  BlockPool& pool() const { return *pool_; }
  int32_t block_tokens() const { return block_tokens_; }

  // Counts a step, which is the clock of the rules below, and returns its number.
  int64_t NextStep();

  // Sees to it that `claimant`, whose request is about to join a step, finds the blocks for
  // positions up to `end`: takes them from others, as ChooseVictims says, which are swapped out or
  // compute what they lost again. False when even all of those would not do, and then none has lost
  // any. Allocates nothing.
  bool MakeRoom(const KvSequence& claimant, int64_t end, bool urgent);

  // What is to be copied to the host since SettleSwapOut, one after the other: blocks, and the
  // place of each. For the thread that calls MakeRoom.
  std::span<const BlockId> swap_out_blocks() const { return out_blocks_; }
  std::span<const BlockId> swap_out_places() const { return out_places_; }
  // They were copied; or else they are lost, and their sequences compute them again.
  void SettleSwapOut(bool copied);

  SwapStatistics swap_statistics() const;

  // INTERNAL, naming the block, when tables, reservations and pool contradict each other. At any
  // time.
  absl::Status CheckInvariants() const;

 private:
  friend class KvSequence;
  friend class KvReservation;

  void AddLocked(KvSequence* sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveLocked(KvSequence* sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool SufficesLocked(size_t victims, const KvSequence& claimant, int64_t end)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t KeptLocked(const KvSequence& victim, const KvSequence& claimant, int64_t end)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t FreePlacesLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  BlockId SwapOutLocked(BlockId block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<BlockPool> pool_;
  const int32_t block_tokens_;
  const std::unique_ptr<BlockPool> swap_;
  mutable std::mutex mutex_;  // before the pool's
  std::vector<KvSequence*> sequences_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint8_t> reserved_ ABSL_GUARDED_BY(mutex_);  // [blocks]: 1 when in a reservation
  int64_t step_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t tickets_ ABSL_GUARDED_BY(mutex_) = 0;
  // As many as there are places at most; changed by MakeRoom and SettleSwapOut only.
  std::vector<BlockId> out_blocks_;
  std::vector<BlockId> out_places_;
  std::vector<uint8_t> unfilled_ ABSL_GUARDED_BY(mutex_);  // [places]: 1 when in out_places_
  SwapStatistics swapped_ ABSL_GUARDED_BY(mutex_);
  // Scratch of MakeRoom.
  std::vector<KvHolder> holders_ ABSL_GUARDED_BY(mutex_);       // room for all sequences
  std::vector<int32_t> would_release_ ABSL_GUARDED_BY(mutex_);  // [blocks], zeros between calls
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_KV_KV_SEQUENCES_H_
