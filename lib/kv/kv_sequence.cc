#include "lib/kv/kv_sequence.h"

#include <algorithm>

namespace llmcore::core {
namespace {

// A reply that goes on and on stands behind the others again after so many steps. Computing it
// again then costs little beside what it computed.
constexpr int64_t kStepsOfStanding = 256;

}  // namespace

KvReservation& KvReservation::operator=(KvReservation&& other) noexcept {
  if (this == &other) return *this;
  Release();
  all_ = std::exchange(other.all_, nullptr);
  table_ = other.table_;
  end_ = other.end_;
  first_new_ = other.first_new_;
  swapped_in_ = other.swapped_in_;
  copy_ = other.copy_;
  return *this;
}

void KvReservation::Release() {
  if (all_ == nullptr) return;
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  for (const BlockId block : table_.subspan(first_new_)) {
    all_->reserved_[static_cast<size_t>(block)] = 0;
    all_->pool_->Release(block);
  }
  all_ = nullptr;
}

KvSequence::KvSequence(std::shared_ptr<KvSequences> all) : all_(std::move(all)) {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  all_->AddLocked(this);
}

KvSequence::KvSequence(KvSequence&& other) noexcept {
  const std::lock_guard<std::mutex> lock(other.all_->mutex_);
  index_ = other.index_;
  blocks_ = std::move(other.blocks_);
  resident_ = other.resident_;
  length_ = other.length_;
  tenant_ = other.tenant_;
  indexed_ = other.indexed_;
  private_ = other.private_;
  waiting_ = other.waiting_;
  replying_ = other.replying_;
  pinned_ = other.pinned_;
  last_used_ = other.last_used_;
  began_ = other.began_;
  standing_ = other.standing_;
  other.all_->sequences_[index_] = this;
  all_ = std::move(other.all_);
}

KvSequence::~KvSequence() {
  if (all_ == nullptr) return;  // moved from
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  TruncateLocked(0);
  all_->RemoveLocked(this);
}

std::span<const BlockId> KvSequence::blocks() const {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  return resident();
}

std::span<const BlockId> KvSequence::swapped_blocks() const {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  return swapped();
}

int64_t KvSequence::length() const {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  return length_;
}

void KvSequence::PrepareTable(int64_t end) {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  blocks_.reserve(BlocksFor(end));
}

size_t KvSequence::NeedLocked(int64_t end, std::span<const int32_t> dropped) const {
  const size_t first = FullResident();
  const size_t blocks = BlocksFor(end) - first;
  if (first == resident_) return blocks;
  // The first is there, and is written in place unless another sequence has it too.
  const BlockId block = blocks_[first];
  const int32_t lost = dropped.empty() ? 0 : dropped[static_cast<size_t>(block)];
  return all_->pool_->references(block) - lost > 1 ? blocks : blocks - 1;
}

absl::StatusOr<KvReservation> KvSequence::Reserve(int64_t end, std::span<BlockId> table) const {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  const size_t wanted = BlocksFor(end);
  if (end <= length_ || wanted > table.size()) {
    return absl::InternalError("a reservation that its block table cannot hold");
  }
  std::copy_n(blocks_.begin(), resident_, table.begin());
  BlockPool& pool = *all_->pool_;
  const size_t first = FullResident();
  const std::span<BlockId> written = table.subspan(first, wanted - first);
  const bool partial = first < resident_;  // the first of them holds positions to keep
  LLMCORE_RETURN_IF_ERROR(partial ? pool.AllocateToWrite(written) : pool.Allocate(written));
  const bool copied = partial && table[first] != blocks_[first];
  KvReservation reservation;
  reservation.all_ = all_.get();
  reservation.table_ = table.first(wanted);
  reservation.end_ = end;
  reservation.first_new_ = partial && !copied ? first + 1 : first;
  reservation.swapped_in_ = blocks_.size() - resident_;  // none if there is a partial one
  if (copied) reservation.copy_ = {blocks_[first], table[first]};
  for (const BlockId block : reservation.table_.subspan(reservation.first_new_)) {
    all_->reserved_[static_cast<size_t>(block)] = 1;
  }
  return reservation;
}

void KvSequence::Commit(KvReservation reservation) {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  const std::span<const BlockId> table = reservation.blocks();
  all_->swapped_.in_blocks += static_cast<int64_t>(reservation.swapped_in_);
  while (blocks_.size() > reservation.first_new_) DropLast();  // blocks that were replaced
  for (const BlockId block : table.subspan(reservation.first_new_)) {
    all_->reserved_[static_cast<size_t>(block)] = 0;
    blocks_.push_back(block);
  }
  resident_ = blocks_.size();
  length_ = reservation.end_;
  reservation.all_ = nullptr;
}

// From the last to the first, as everywhere: block_pool.h.
void KvSequence::DropLast() {
  if (blocks_.size() > resident_) {
    all_->swap_->Release(blocks_.back());
  } else {
    all_->pool_->Release(blocks_.back());
    --resident_;
  }
  blocks_.pop_back();
}

void KvSequence::SetTenant(const CacheTenant& tenant) {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  tenant_ = tenant;
}

void KvSequence::KeepToItself() {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  private_ = true;
}

// Of a block that follows blocks of the index.
PrefixIndex::Key KvSequence::KeyOf(std::span<const int32_t> tokens, size_t index) const {
  const auto size = static_cast<size_t>(block_tokens());
  return {tenant_, index == 0 ? kNoBlock : blocks_[index - 1], tokens.subspan(index * size, size)};
}

// Whether the prefix cache can know the block after those that are resident and full, whose tokens
// these are.
bool KvSequence::CanAdopt(std::span<const int32_t> tokens) const {
  return all_->pool_->prefix_cache() && !private_ && indexed_ == FullResident() &&
         tokens.size() / static_cast<size_t>(block_tokens()) > indexed_;
}

void KvSequence::AdoptPrefix(std::span<const int32_t> tokens) {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  while (CanAdopt(tokens)) {
    const BlockId block = all_->pool_->AcquireIndexed(KeyOf(tokens, indexed_));
    if (block == kNoBlock) return;
    if (indexed_ < blocks_.size()) {  // in place of the same positions, or of some of them
      (indexed_ < resident_ ? all_->pool_.get() : all_->swap_.get())->Release(blocks_[indexed_]);
      blocks_[indexed_] = block;
    } else {
      blocks_.push_back(block);
    }
    ++indexed_;
    resident_ = std::max(resident_, indexed_);
    length_ = std::max(length_, static_cast<int64_t>(indexed_) * block_tokens());
  }
}

void KvSequence::PublishBlocks(std::span<const int32_t> tokens) {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  if (!all_->pool_->prefix_cache() || private_) return;
  for (const size_t full = FullResident(); indexed_ < full; ++indexed_) {
    blocks_[indexed_] = all_->pool_->Publish(KeyOf(tokens, indexed_), blocks_[indexed_]);
  }
}

bool KvSequence::NextBlockEquals(const KvSequence& other, std::span<const int32_t> tokens,
                                 std::span<const int32_t> other_tokens) const {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  if (!CanAdopt(tokens) || !other.CanAdopt(other_tokens)) return false;
  // What is swapped out need not be computed.
  if (indexed_ < FullBlocks() || other.indexed_ < other.FullBlocks()) return false;
  const PrefixIndex::Key next = KeyOf(tokens, indexed_);
  const PrefixIndex::Key theirs = other.KeyOf(other_tokens, other.indexed_);
  return next.parent == theirs.parent &&
         (next.parent != kNoBlock || next.tenant == theirs.tenant) &&
         std::equal(next.tokens.begin(), next.tokens.end(), theirs.tokens.begin(),
                    theirs.tokens.end());
}

void KvSequence::TruncateLocked(int64_t length) {
  if (length >= length_) return;
  length_ = length;
  const size_t kept = BlocksFor(length);
  while (blocks_.size() > kept) DropLast();
  indexed_ = std::min(indexed_, FullBlocks());
  if (length == 0) private_ = false;
}

void KvSequence::GiveUpLocked(size_t kept) {
  const int64_t size = block_tokens();
  // Those up to the first that somebody else holds: without it, what follows is of no use.
  size_t end = kept;
  while (end < resident_ && all_->pool_->references(blocks_[end]) == 1) ++end;
  if (end < resident_ || end - kept > all_->FreePlacesLocked()) {
    // Nor is what was swapped out before, which so leaves its places to what comes before it.
    const size_t before = blocks_.size();
    TruncateLocked(static_cast<int64_t>(resident_) * size);
    end = std::min(end, kept + all_->FreePlacesLocked());
    TruncateLocked(static_cast<int64_t>(end) * size);
    all_->swapped_.dropped_blocks += static_cast<int64_t>(before - blocks_.size());
  }
  while (resident_ > kept) {  // from the last to the first, as in DropLast
    BlockId& block = blocks_[--resident_];
    const BlockId place = all_->SwapOutLocked(block);
    all_->pool_->Release(block);
    block = place;
  }
  indexed_ = std::min(indexed_, resident_);
}

void KvSequence::DropUnfilledLocked() {
  for (size_t i = resident_; i < blocks_.size(); ++i) {
    if (all_->unfilled_[static_cast<size_t>(blocks_[i])] == 0) continue;
    all_->swapped_.dropped_blocks += static_cast<int64_t>(blocks_.size() - i);
    TruncateLocked(static_cast<int64_t>(i) * block_tokens());
    return;
  }
}

void KvSequence::Truncate(int64_t length) {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  TruncateLocked(length);
}

KvSequence KvSequence::Fork() const {
  KvSequence fork(all_);
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  fork.blocks_ = blocks_;
  fork.resident_ = resident_;
  fork.length_ = length_;
  fork.tenant_ = tenant_;
  fork.indexed_ = indexed_;
  fork.private_ = private_;
  fork.last_used_ = last_used_;
  for (const BlockId block : resident()) all_->pool_->Share(block);
  for (const BlockId place : swapped()) all_->swap_->Share(place);
  return fork;
}

void KvSequence::BeginRequest(int64_t priority_steps) {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  if (standing_.ticket == 0 || all_->step_ - began_ >= kStepsOfStanding) {
    began_ = all_->step_;
    standing_.ticket = ++all_->tickets_;
  }
  standing_.turn = began_ - priority_steps;
  waiting_ = true;
}

void KvSequence::EndRequest() {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  waiting_ = false;
  pinned_ = false;
  last_used_ = all_->step_;
  if (!replying_) standing_ = {};
}

void KvSequence::SetReplying(bool replying) {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  replying_ = replying;
  if (!replying && !waiting_) standing_ = {};
}

void KvSequence::SetPinned(bool pinned) {
  const std::lock_guard<std::mutex> lock(all_->mutex_);
  pinned_ = pinned;
}

}  // namespace llmcore::core
