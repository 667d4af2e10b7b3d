// All sequences that share a block pool, and how one of them gets blocks that others hold.
#ifndef LLMCORE_LIB_KV_KV_SEQUENCES_H_
#define LLMCORE_LIB_KV_KV_SEQUENCES_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/base/status.h"
#include "lib/kv/block_pool.h"
#include "lib/kv/preemption.h"

namespace llmcore::core {

class KvSequence;

// Thread-safe. Its lock guards what all of its sequences hold.
class KvSequences {
 public:
  KvSequences(std::shared_ptr<BlockPool> pool, int32_t block_tokens);

  BlockPool& pool() const { return *pool_; }
  int32_t block_tokens() const { return block_tokens_; }

  // Counts a step, which is the clock of the rules below, and returns its number.
  int64_t NextStep();

  // Sees to it that `claimant`, whose request is about to join a step, finds the blocks for
  // positions up to `end`: takes them from others, as ChooseVictims says, which compute what they
  // lost again. False when even all of those would not do, and then none has lost any. Allocates
  // nothing.
  bool MakeRoom(const KvSequence& claimant, int64_t end, bool urgent);

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

  const std::shared_ptr<BlockPool> pool_;
  const int32_t block_tokens_;
  mutable std::mutex mutex_;  // before the pool's
  std::vector<KvSequence*> sequences_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint8_t> reserved_ ABSL_GUARDED_BY(mutex_);  // [blocks]: 1 when in a reservation
  int64_t step_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t tickets_ ABSL_GUARDED_BY(mutex_) = 0;
  // Scratch of MakeRoom.
  std::vector<KvHolder> holders_ ABSL_GUARDED_BY(mutex_);       // room for all sequences
  std::vector<int32_t> would_release_ ABSL_GUARDED_BY(mutex_);  // [blocks], zeros between calls
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_KV_KV_SEQUENCES_H_
