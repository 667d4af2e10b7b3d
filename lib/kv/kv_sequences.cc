#include "lib/kv/kv_sequences.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/kv/kv_sequence.h"

namespace llmcore::core {

KvSequences::KvSequences(std::shared_ptr<BlockPool> pool, int32_t block_tokens)
    : pool_(std::move(pool)),
      block_tokens_(block_tokens),
      reserved_(static_cast<size_t>(pool_->blocks()), 0),
      would_release_(static_cast<size_t>(pool_->blocks()), 0) {}

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
    if (sequence == &claimant || sequence->pinned_ || sequence->blocks_.empty()) continue;
    holders_.push_back({sequence->index_, sequence->waiting_, sequence->replying_,
                        sequence->last_used_, sequence->standing_});
  }
  const size_t victims = ChooseVictims(holders_, {claimant.standing_, step_, urgent});
  if (!SufficesLocked(victims, claimant, end)) return false;
  for (size_t i = 0; i < victims; ++i) {
    KvSequence& victim = *sequences_[holders_[i].sequence];
    // From its end, and no more than it takes: what stays need not be computed again.
    while (!victim.blocks_.empty() && !fits()) {
      victim.TruncateLocked(static_cast<int64_t>(victim.blocks_.size() - 1) * block_tokens_);
      if (!victim.waiting_) victim.standing_ = {};  // lest it takes them back at once
    }
  }
  return true;
}

// Whether the claimant would find its blocks if the first `victims` of the holders had none.
bool KvSequences::SufficesLocked(size_t victims, const KvSequence& claimant, int64_t end) {
  size_t freed = static_cast<size_t>(pool_->free_blocks());
  for (size_t i = 0; i < victims; ++i) {
    for (const BlockId block : sequences_[holders_[i].sequence]->blocks_) {
      const int32_t released = ++would_release_[static_cast<size_t>(block)];
      if (released == pool_->references(block)) ++freed;
    }
  }
  const bool suffices = claimant.NeedLocked(end, would_release_) <= freed;
  for (size_t i = 0; i < victims; ++i) {
    for (const BlockId block : sequences_[holders_[i].sequence]->blocks_) {
      would_release_[static_cast<size_t>(block)] = 0;
    }
  }
  return suffices;
}

absl::Status KvSequences::CheckInvariants() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<std::span<const BlockId>> tables;
  for (const KvSequence* sequence : sequences_) {
    if (sequence->blocks_.size() != sequence->BlocksFor(sequence->length_)) {
      return absl::InternalError(absl::StrCat("a sequence has ", sequence->blocks_.size(),
                                              " KV blocks for ", sequence->length_, " positions"));
    }
    tables.emplace_back(sequence->blocks_);
  }
  std::vector<BlockId> reserved;
  for (size_t block = 0; block < reserved_.size(); ++block) {
    if (reserved_[block] != 0) reserved.push_back(static_cast<BlockId>(block));
  }
  tables.emplace_back(reserved);
  const PoolSnapshot pool = pool_->Snapshot();
  LLMCORE_RETURN_IF_ERROR(CheckPool(pool));
  return CheckReferences(pool, tables);
}

}  // namespace llmcore::core
