#include "lib/kv/block_pool.h"

#include "absl/strings/str_cat.h"

namespace llmcore::core {

BlockPool::BlockPool(int32_t blocks, uint64_t block_bytes)
    : capacity_(static_cast<size_t>(blocks)), block_bytes_(block_bytes), references_(capacity_, 0) {
  free_.reserve(capacity_);
  for (BlockId block = blocks; block > 0; --block) free_.push_back(block - 1);
}

absl::Status BlockPool::Allocate(std::span<BlockId> blocks) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (blocks.size() > free_.size()) {
    return ResourceExhaustedError(
        absl::StrCat("the KV cache is full: ", blocks.size(), " blocks are wanted, and ",
                     free_.size(), " of its ", capacity_,
                     " are not in use by the sessions of this model (kv_cache_tokens makes it "
                     "larger)"),
        (blocks.size() - free_.size()) * block_bytes_);
  }
  for (BlockId& block : blocks) {
    block = free_.back();
    free_.pop_back();
    references_[static_cast<size_t>(block)] = 1;
  }
  return absl::OkStatus();
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
