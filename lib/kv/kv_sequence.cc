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

// From the last to the first, as everywhere: block_pool.h.
KvSequence::~KvSequence() {
  while (!blocks_.empty()) DropLast();
}

void KvSequence::DropLast() {
  pool_->Release(blocks_.back());
  blocks_.pop_back();
}

absl::StatusOr<KvReservation> KvSequence::Reserve(int64_t end, std::span<BlockId> table) const {
  const size_t wanted = BlocksFor(end);
  if (end <= length_ || wanted > table.size()) {
    return absl::InternalError("a reservation that its block table cannot hold");
  }
  std::copy(blocks_.begin(), blocks_.end(), table.begin());
  const size_t first = FullBlocks();
  const std::span<BlockId> written = table.subspan(first, wanted - first);
  const bool partial = first < blocks_.size();  // the first of them holds positions to keep
  LLMCORE_RETURN_IF_ERROR(partial ? pool_->AllocateToWrite(written) : pool_->Allocate(written));
  const bool copied = partial && table[first] != blocks_[first];
  KvReservation reservation;
  reservation.pool_ = pool_.get();
  reservation.table_ = table.first(wanted);
  reservation.end_ = end;
  reservation.first_new_ = partial && !copied ? first + 1 : first;
  if (copied) reservation.copy_ = {blocks_[first], table[first]};
  return reservation;
}

void KvSequence::Commit(KvReservation reservation) {
  const std::span<const BlockId> table = reservation.blocks();
  while (blocks_.size() > reservation.first_new_) DropLast();  // a block that was replaced
  blocks_.insert(blocks_.end(), table.begin() + static_cast<ptrdiff_t>(blocks_.size()),
                 table.end());
  length_ = reservation.end_;
  reservation.pool_ = nullptr;
}

// Of a block that follows blocks of the index.
PrefixIndex::Key KvSequence::KeyOf(std::span<const int32_t> tokens, size_t index) const {
  const auto size = static_cast<size_t>(block_tokens_);
  return {tenant_, index == 0 ? kNoBlock : blocks_[index - 1], tokens.subspan(index * size, size)};
}

// Whether the prefix cache can know the block after those that are full, whose tokens these are.
bool KvSequence::CanAdopt(std::span<const int32_t> tokens) const {
  const size_t full = FullBlocks();
  return pool_->prefix_cache() && !private_ && indexed_ == full &&
         tokens.size() / static_cast<size_t>(block_tokens_) > full;
}

void KvSequence::AdoptPrefix(std::span<const int32_t> tokens) {
  while (CanAdopt(tokens)) {
    const BlockId block = pool_->AcquireIndexed(KeyOf(tokens, indexed_));
    if (block == kNoBlock) return;
    if (indexed_ < blocks_.size()) DropLast();  // some of the same positions
    blocks_.push_back(block);
    ++indexed_;
    length_ = static_cast<int64_t>(indexed_) * block_tokens_;
  }
}

void KvSequence::PublishBlocks(std::span<const int32_t> tokens) {
  if (!pool_->prefix_cache() || private_) return;
  for (const size_t full = FullBlocks(); indexed_ < full; ++indexed_) {
    blocks_[indexed_] = pool_->Publish(KeyOf(tokens, indexed_), blocks_[indexed_]);
  }
}

bool KvSequence::NextBlockEquals(const KvSequence& other, std::span<const int32_t> tokens,
                                 std::span<const int32_t> other_tokens) const {
  if (!CanAdopt(tokens) || !other.CanAdopt(other_tokens)) return false;
  const PrefixIndex::Key next = KeyOf(tokens, indexed_);
  const PrefixIndex::Key theirs = other.KeyOf(other_tokens, other.indexed_);
  return next.parent == theirs.parent &&
         (next.parent != kNoBlock || next.tenant == theirs.tenant) &&
         std::equal(next.tokens.begin(), next.tokens.end(), theirs.tokens.begin(),
                    theirs.tokens.end());
}

void KvSequence::Truncate(int64_t length) {
  if (length >= length_) return;
  length_ = length;
  const size_t kept = BlocksFor(length);
  while (blocks_.size() > kept) DropLast();
  indexed_ = std::min(indexed_, FullBlocks());
  if (length == 0) private_ = false;
}

KvSequence KvSequence::Fork() const {
  KvSequence fork(pool_, block_tokens_);
  fork.blocks_ = blocks_;
  fork.length_ = length_;
  fork.tenant_ = tenant_;
  fork.indexed_ = indexed_;
  fork.private_ = private_;
  for (const BlockId block : blocks_) pool_->Share(block);
  return fork;
}

}  // namespace llmcore::core
