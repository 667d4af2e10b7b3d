#include "lib/kv/kv_sequences.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/kv/kv_sequence.h"

namespace llmcore::core {

KvSequences::KvSequences(std::shared_ptr<BlockPool> pool, int32_t block_tokens,
                         std::unique_ptr<BlockPool> swap)
    : pool_(std::move(pool)),
      block_tokens_(block_tokens),
      swap_(std::move(swap)),
      reserved_(static_cast<size_t>(pool_->blocks()), 0),
      would_release_(static_cast<size_t>(pool_->blocks()), 0) {
  if (swap_ == nullptr) return;
  swapped_.blocks = swap_->blocks();
  const auto places = static_cast<size_t>(swapped_.blocks);
  out_blocks_.reserve(places);
  out_places_.reserve(places);
  unfilled_.resize(places, 0);
}

void KvSequences::AddLocked(KvSequence* sequence) {
  holders_.reserve(sequences_.size() + 1);
  sequence->index_ = sequences_.size();
  sequences_.push_back(sequence);
}

void KvSequences::RemoveLocked(KvSequence* sequence) {
  sequences_[sequence->index_] = sequences_.back();
  sequences_[sequence->index_]->index_ = sequence->index_;
  sequences_.pop_back();
}

int64_t KvSequences::NextStep() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ++step_;
}

bool KvSequences::MakeRoom(const KvSequence& claimant, int64_t end, bool urgent) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto fits = [&] {
    return claimant.NeedLocked(end, {}) <= static_cast<size_t>(pool_->free_blocks());
  };
  if (fits()) return true;
  holders_.clear();
  for (const KvSequence* sequence : sequences_) {
    if (sequence == &claimant || sequence->pinned_ || sequence->resident_ == 0) continue;
    holders_.push_back({sequence->index_, sequence->waiting_, sequence->replying_,
                        sequence->last_used_, sequence->standing_});
  }
  const size_t victims = ChooseVictims(holders_, {claimant.standing_, step_, urgent});
  if (!SufficesLocked(victims, claimant, end)) return false;
  for (size_t i = 0; i < victims && !fits(); ++i) {
    KvSequence& victim = *sequences_[holders_[i].sequence];
    victim.GiveUpLocked(KeptLocked(victim, claimant, end));
    if (!victim.waiting_) victim.standing_ = {};  // lest it takes them back at once
  }
  return true;
}

// How many of its resident blocks the victim can keep when it gives up those from the end on that
// the claimant still lacks.
size_t KvSequences::KeptLocked(const KvSequence& victim, const KvSequence& claimant, int64_t end) {
  size_t freed = static_cast<size_t>(pool_->free_blocks());
  size_t kept = victim.resident_;
  while (kept > 0 && claimant.NeedLocked(end, would_release_) > freed) {
    const BlockId block = victim.blocks_[--kept];
    const int32_t released = ++would_release_[static_cast<size_t>(block)];
    if (released == pool_->references(block)) ++freed;
  }
  for (const BlockId block : victim.resident().subspan(kept)) {
    would_release_[static_cast<size_t>(block)] = 0;
  }
  return kept;
}

size_t KvSequences::FreePlacesLocked() const {
  if (swap_ == nullptr) return 0;
  return std::min(static_cast<size_t>(swap_->free_blocks()),
                  out_places_.capacity() - out_places_.size());
}

// The place that `block` is to be copied to. There is a free one.
BlockId KvSequences::SwapOutLocked(BlockId block) {
  BlockId place = kNoBlock;
  swap_->Allocate({&place, 1}).IgnoreError();  // it is free, and nobody else takes places
  unfilled_[static_cast<size_t>(place)] = 1;
  out_blocks_.push_back(block);
  out_places_.push_back(place);
  return place;
}

void KvSequences::SettleSwapOut(bool copied) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (out_places_.empty()) return;
  if (copied) {
    swapped_.out_blocks += static_cast<int64_t>(out_places_.size());
  } else {
    for (KvSequence* const sequence : sequences_) sequence->DropUnfilledLocked();
  }
  for (const BlockId place : out_places_) unfilled_[static_cast<size_t>(place)] = 0;
  out_blocks_.clear();
  out_places_.clear();
}

SwapStatistics KvSequences::swap_statistics() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  SwapStatistics statistics = swapped_;
  if (swap_ != nullptr) statistics.free_blocks = swap_->free_blocks();
  return statistics;
}

// Whether the claimant would find its blocks if the first `victims` of the holders had none.
bool KvSequences::SufficesLocked(size_t victims, const KvSequence& claimant, int64_t end) {
  size_t freed = static_cast<size_t>(pool_->free_blocks());
  for (size_t i = 0; i < victims; ++i) {
    for (const BlockId block : sequences_[holders_[i].sequence]->resident()) {
      const int32_t released = ++would_release_[static_cast<size_t>(block)];
      if (released == pool_->references(block)) ++freed;
    }
  }
  const bool suffices = claimant.NeedLocked(end, would_release_) <= freed;
  for (size_t i = 0; i < victims; ++i) {
    for (const BlockId block : sequences_[holders_[i].sequence]->resident()) {
      would_release_[static_cast<size_t>(block)] = 0;
    }
  }
  return suffices;
}

absl::Status KvSequences::CheckInvariants() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::span<const BlockId>> tables;
  std::vector<std::span<const BlockId>> swapped;
  for (const KvSequence* sequence : sequences_) {
    if (sequence->blocks_.size() != sequence->BlocksFor(sequence->length_)) {
      return absl::InternalError(absl::StrCat("a sequence has ", sequence->blocks_.size(),
                                              " KV blocks for ", sequence->length_, " positions"));
    }
    if (sequence->resident_ > sequence->blocks_.size() ||
        sequence->indexed_ > sequence->resident_) {
      return absl::InternalError(absl::StrCat("a sequence has ", sequence->blocks_.size(),
                                              " KV blocks, of which ", sequence->resident_,
                                              " resident and ", sequence->indexed_, " indexed"));
    }
    tables.push_back(sequence->resident());
    swapped.push_back(sequence->swapped());
  }
  std::vector<BlockId> reserved;
  for (size_t block = 0; block < reserved_.size(); ++block) {
    if (reserved_[block] != 0) reserved.push_back(static_cast<BlockId>(block));
  }
  tables.emplace_back(reserved);
  const PoolSnapshot pool = pool_->Snapshot();
  LLMCORE_RETURN_IF_ERROR(CheckPool(pool));
  LLMCORE_RETURN_IF_ERROR(CheckReferences(pool, tables));
  if (swap_ == nullptr) return absl::OkStatus();
  const PoolSnapshot places = swap_->Snapshot();
  LLMCORE_RETURN_IF_ERROR(Annotate(CheckPool(places), "swapped out"));
  return Annotate(CheckReferences(places, swapped), "swapped out");
}

}  // namespace llmcore::core
