// Reference counts of the KV cache's blocks, and the prefix cache: what full blocks hold stays
// known (prefix_index.h), so that a sequence that begins with the same tokens takes them over
// instead of computing them. The bytes themselves are the backend's.
//
// A block is in use (it has references), cached (only the index knows it), or free. Free blocks are
// handed out first, then cached ones, least recently used first.
//
// Rule for who holds references: a sequence that holds an indexed block holds its parent too, and
// gives blocks back from the last to the first. So a cached block has only cached children, which
// were given back before it: the least recently used block never has a child.
#ifndef LLMCORE_LIB_KV_BLOCK_POOL_H_
#define LLMCORE_LIB_KV_BLOCK_POOL_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/base/status.h"
#include "lib/kv/pool_snapshot.h"
#include "lib/kv/prefix_index.h"

namespace llmcore::core {

struct BlockPoolShape {
  int32_t blocks = 0;
  int32_t block_tokens = 0;
  uint64_t block_bytes = 0;  // of one block in all layers, for the errors
  bool prefix_cache = true;
};

// Since the pool was made. Tokens are those of whole blocks.
struct PrefixCacheStatistics {
  bool enabled = false;
  int64_t hit_tokens = 0;       // of prompts, taken over instead of computed
  int64_t computed_tokens = 0;  // of prompts; the engine's count
  int64_t evicted_blocks = 0;   // cached blocks whose memory was needed for others
  int32_t indexed_blocks = 0;   // that can be taken over now: in use or cached
  int32_t cached_blocks = 0;    // of them, those that no sequence holds
};

// Thread-safe. Allocates nothing after its construction.
class BlockPool {
 public:
  // Host memory for each block: a multiple of 64, so that a plan can count in blocks.
  static uint64_t HostBytesPerBlock(const BlockPoolShape& shape);

  // `memory`: blocks * HostBytesPerBlock bytes at a multiple of 64, which outlive the pool.
  BlockPool(const BlockPoolShape& shape, void* memory);
  // Without a prefix cache, in memory of its own.
  BlockPool(int32_t blocks, uint64_t block_bytes);
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // Fills `blocks` with blocks of one reference each, or takes none: RESOURCE_EXHAUSTED with the
  // bytes of the blocks that are missing.
  absl::Status Allocate(std::span<BlockId> blocks);
  // The same for blocks[1..]; blocks[0] is one of the caller's, from whose middle on it is going to
  // write: it is replaced by a new one if anybody else reads it, be it the index, and else stays.
  absl::Status AllocateToWrite(std::span<BlockId> blocks);
  // One more reference to a block that has one.
  void Share(BlockId block);
  // One reference less; with the last one the block is cached, if it is indexed, or else free.
  void Release(BlockId block);

  // A reference to the block that holds these tokens, [block_tokens], after `parent`, which is
  // indexed and held by the caller; kNoBlock if there is none.
  BlockId AcquireIndexed(const PrefixIndex::Key& key);
  // Indexes a block that the caller holds alone and filled with what the key says. Where another
  // has that content already, the caller holds that one from now on instead of its own. Returns the
  // block that it holds.
  BlockId Publish(const PrefixIndex::Key& key, BlockId block);

  int32_t references(BlockId block) const;
  bool indexed(BlockId block) const;
  int32_t free_blocks() const;    // that Allocate can hand out: free and cached
  int32_t cached_blocks() const;  // of them, those that can still be taken over
  int32_t blocks() const { return shape_.blocks; }
  bool prefix_cache() const { return shape_.prefix_cache; }
  PrefixCacheStatistics statistics() const;

  // All of its state, for CheckPool (pool_snapshot.h).
  PoolSnapshot Snapshot() const;

 private:
  // A block is in one list at most, that of the free or that of the cached blocks.
  struct Record {
    int32_t references = 0;
    BlockId before = kNoBlock;
    BlockId after = kNoBlock;
  };
  struct List {
    BlockId first = kNoBlock;
    BlockId last = kNoBlock;
    int32_t size = 0;
  };

  Record& RecordOf(BlockId block) const {
    return *reinterpret_cast<Record*>(memory_ + static_cast<uint64_t>(block) * stride_);
  }
  void Append(List* list, BlockId block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unlink(List* list, BlockId block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int32_t AvailableLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of blocks that are available.
  void TakeLocked(std::span<BlockId> blocks) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReleaseLocked(BlockId block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status FullError(uint64_t wanted) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const BlockPoolShape shape_;
  const uint64_t stride_;
  std::unique_ptr<std::byte[]> own_memory_;
  std::byte* const memory_;  // for each block: its Record, then its node of the index

  mutable std::mutex mutex_;
  PrefixIndex index_ ABSL_GUARDED_BY(mutex_);
  List free_ ABSL_GUARDED_BY(mutex_);    // last in, first out: warm blocks first
  List cached_ ABSL_GUARDED_BY(mutex_);  // the least recently used first
  int64_t hits_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t evictions_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_KV_BLOCK_POOL_H_
