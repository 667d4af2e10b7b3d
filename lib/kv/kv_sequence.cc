#include "lib/kv/kv_sequence.h"

#include "lib/base/checked.h"

namespace llmcore::core {

KvSequence::~KvSequence() {
  for (const BlockId block : blocks_) pool_->Release(block);
}

absl::Status KvSequence::Reserve(int64_t end, BlockCopy* copy) {
  *copy = {-1, -1};
  const size_t wanted =
      CeilDivide(static_cast<uint64_t>(end), static_cast<uint64_t>(block_tokens_));
  const auto first = static_cast<size_t>(length_ / block_tokens_);
  blocks_before_ = blocks_.size();
  pending_copy_ = {-1, -1};
  blocks_.reserve(wanted);
  if (first < blocks_.size() && first < wanted && pool_->references(blocks_[first]) > 1) {
    LLMCORE_ASSIGN_OR_RETURN(const BlockId own, pool_->Allocate());
    pending_copy_ = {blocks_[first], own};
    blocks_[first] = own;
    // A block whose first position is written next holds nothing to keep.
    if (length_ % block_tokens_ != 0) *copy = pending_copy_;
  }
  while (blocks_.size() < wanted) {
    absl::StatusOr<BlockId> block = pool_->Allocate();
    if (!block.ok()) {
      Rollback();
      return block.status();
    }
    blocks_.push_back(*block);
  }
  return absl::OkStatus();
}

void KvSequence::Commit(int64_t end) {
  length_ = end;
  if (pending_copy_.from >= 0) pool_->Release(pending_copy_.from);
  pending_copy_ = {-1, -1};
  blocks_before_ = blocks_.size();
}

void KvSequence::Rollback() {
  while (blocks_.size() > blocks_before_) {
    pool_->Release(blocks_.back());
    blocks_.pop_back();
  }
  if (pending_copy_.from >= 0) {
    blocks_[static_cast<size_t>(length_ / block_tokens_)] = pending_copy_.from;
    pool_->Release(pending_copy_.to);
  }
  pending_copy_ = {-1, -1};
}

void KvSequence::Truncate(int64_t length) {
  if (length >= length_) return;
  length_ = length;
  const size_t kept =
      CeilDivide(static_cast<uint64_t>(length), static_cast<uint64_t>(block_tokens_));
  while (blocks_.size() > kept) {
    pool_->Release(blocks_.back());
    blocks_.pop_back();
  }
}

KvSequence KvSequence::Fork() const {
  KvSequence fork(pool_, block_tokens_);
  fork.blocks_ = blocks_;
  fork.length_ = length_;
  fork.blocks_before_ = blocks_.size();
  for (const BlockId block : blocks_) pool_->Share(block);
  return fork;
}

}  // namespace llmcore::core
