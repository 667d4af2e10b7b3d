#include "lib/kv/block_pool.h"

#include "absl/strings/str_cat.h"

namespace llmcore::core {

BlockPool::BlockPool(int32_t blocks, uint64_t block_bytes)
    : capacity_(static_cast<size_t>(blocks)), block_bytes_(block_bytes), references_(capacity_, 0) {
  free_.reserve(capacity_);
  for (BlockId block = blocks; block > 0; --block) free_.push_back(block - 1);
}

absl::StatusOr<BlockId> BlockPool::Allocate() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (free_.empty()) {
    return ResourceExhaustedError(
        absl::StrCat("the KV cache is full: its ", capacity_,
                     " blocks are in use by the sessions of this model (kv_cache_tokens makes it "
                     "larger)"),
        block_bytes_);
  }
  const BlockId block = free_.back();
  free_.pop_back();
  references_[static_cast<size_t>(block)] = 1;
  return block;
}

void BlockPool::Share(BlockId block) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++references_[static_cast<size_t>(block)];
}

void BlockPool::Release(BlockId block) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--references_[static_cast<size_t>(block)] == 0) free_.push_back(block);
}

int32_t BlockPool::references(BlockId block) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return references_[static_cast<size_t>(block)];
}

int32_t BlockPool::free_blocks() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int32_t>(free_.size());
}

}  // namespace llmcore::core
