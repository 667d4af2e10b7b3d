#include "lib/kv/kv_sequence.h"

#include <algorithm>

namespace llmcore::core {

KvReservation& KvReservation::operator=(KvReservation&& other) noexcept {
  if (this == &other) return *this;
  Release();
  pool_ = std::exchange(other.pool_, nullptr);
  table_ = other.table_;
  end_ = other.end_;
  first_new_ = other.first_new_;
  copy_ = other.copy_;
  return *this;
}

void KvReservation::Release() {
  if (pool_ == nullptr) return;
  for (const BlockId block : table_.subspan(first_new_)) pool_->Release(block);
  pool_ = nullptr;
}

KvSequence::~KvSequence() {
  for (const BlockId block : blocks_) pool_->Release(block);
}

absl::StatusOr<KvReservation> KvSequence::Reserve(int64_t end, std::span<BlockId> table) const {
  const size_t wanted = BlocksFor(end);
  if (end <= length_ || wanted > table.size()) {
    return absl::InternalError("a reservation that its block table cannot hold");
  }
  const auto first = static_cast<size_t>(length_ / block_tokens_);
  const bool shared = first < blocks_.size() && pool_->references(blocks_[first]) > 1;
  const size_t first_new = shared ? first : blocks_.size();
  LLMCORE_RETURN_IF_ERROR(pool_->Allocate(table.subspan(first_new, wanted - first_new)));
  std::copy_n(blocks_.begin(), first_new, table.begin());
  KvReservation reservation;
  reservation.pool_ = pool_.get();
  reservation.table_ = table.first(wanted);
  reservation.end_ = end;
  reservation.first_new_ = first_new;
  // A block whose first position is written next holds nothing to keep.
  if (shared && length_ % block_tokens_ != 0) reservation.copy_ = {blocks_[first], table[first]};
  return reservation;
}

void KvSequence::Commit(KvReservation reservation) {
  const std::span<const BlockId> table = reservation.blocks();
  while (blocks_.size() > reservation.first_new_) {  // a shared block that was replaced
    pool_->Release(blocks_.back());
    blocks_.pop_back();
  }
  blocks_.insert(blocks_.end(), table.begin() + static_cast<ptrdiff_t>(blocks_.size()),
                 table.end());
  length_ = reservation.end_;
  reservation.pool_ = nullptr;
}

void KvSequence::Truncate(int64_t length) {
  if (length >= length_) return;
  length_ = length;
  const size_t kept = BlocksFor(length);
  while (blocks_.size() > kept) {
    pool_->Release(blocks_.back());
    blocks_.pop_back();
  }
}

KvSequence KvSequence::Fork() const {
  KvSequence fork(pool_, block_tokens_);
  fork.blocks_ = blocks_;
  fork.length_ = length_;
  for (const BlockId block : blocks_) pool_->Share(block);
  return fork;
}

}  // namespace llmcore::core
