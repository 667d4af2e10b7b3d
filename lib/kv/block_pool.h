// Reference counts of the KV cache's blocks. The bytes themselves are the backend's.
#ifndef LLMCORE_LIB_KV_BLOCK_POOL_H_
#define LLMCORE_LIB_KV_BLOCK_POOL_H_

#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/base/status.h"

namespace llmcore::core {

using BlockId = int32_t;

// Thread-safe. Allocates nothing after its construction.
class BlockPool {
 public:
  // `block_bytes`: one block in all layers, for the errors.
  BlockPool(int32_t blocks, uint64_t block_bytes);

  // Fills `blocks` with blocks of one reference each, or takes none: RESOURCE_EXHAUSTED with the
  // bytes of the blocks that are missing.
  absl::Status Allocate(std::span<BlockId> blocks);
  // One more reference to a block that has one.
  void Share(BlockId block);
  // One reference less; the last one frees the block.
  void Release(BlockId block);

  int32_t references(BlockId block) const;
  int32_t free_blocks() const;
  int32_t blocks() const { return static_cast<int32_t>(capacity_); }

 private:
  const size_t capacity_;
  const uint64_t block_bytes_;
  mutable std::mutex mutex_;
  std::vector<int32_t> references_ ABSL_GUARDED_BY(mutex_);
  std::vector<BlockId> free_ ABSL_GUARDED_BY(mutex_);  // last in, first out: warm blocks first
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_KV_BLOCK_POOL_H_
