#include "lib/kv/block_pool.h"

#include <new>

#include "absl/strings/str_cat.h"
#include "lib/base/checked.h"

namespace llmcore::core {
namespace {

constexpr uint64_t kRecordBytes = 16;
constexpr uint64_t kLine = 64;

}  // namespace

uint64_t BlockPool::HostBytesPerBlock(const BlockPoolShape& shape) {
  static_assert(sizeof(Record) <= kRecordBytes && alignof(Record) <= kRecordBytes);
  return RoundUp(
      kRecordBytes + (shape.prefix_cache ? PrefixIndex::NodeBytes(shape.block_tokens) : 0), kLine);
}

BlockPool::BlockPool(const BlockPoolShape& shape, void* memory)
    : shape_(shape),
      stride_(HostBytesPerBlock(shape)),
      own_memory_(memory == nullptr ? new std::byte[stride_ * static_cast<uint64_t>(shape.blocks)]
                                    : nullptr),
      memory_(memory == nullptr ? own_memory_.get() : static_cast<std::byte*>(memory)) {
  for (BlockId block = 0; block < shape_.blocks; ++block) new (&RecordOf(block)) Record;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (shape_.prefix_cache) {
    index_ = PrefixIndex(memory_ + kRecordBytes, stride_, shape_.blocks, shape_.block_tokens);
  }
  for (BlockId block = shape_.blocks; block > 0; --block) Append(&free_, block - 1);
}

BlockPool::BlockPool(int32_t blocks, uint64_t block_bytes)
    : BlockPool({.blocks = blocks, .block_bytes = block_bytes, .prefix_cache = false}, nullptr) {}

void BlockPool::Append(List* list, BlockId block) {
  Record& record = RecordOf(block);
  record.before = list->last;
  record.after = kNoBlock;
  (list->last == kNoBlock ? list->first : RecordOf(list->last).after) = block;
  list->last = block;
  ++list->size;
}

void BlockPool::Unlink(List* list, BlockId block) {
  Record& record = RecordOf(block);
  (record.before == kNoBlock ? list->first : RecordOf(record.before).after) = record.after;
  (record.after == kNoBlock ? list->last : RecordOf(record.after).before) = record.before;
  record.before = record.after = kNoBlock;
  --list->size;
}

int32_t BlockPool::AvailableLocked() const {
  return free_.size + cached_.size;
}

void BlockPool::TakeLocked(std::span<BlockId> blocks) {
  for (BlockId& block : blocks) {
    if (free_.size > 0) {
      block = free_.last;
      Unlink(&free_, block);
    } else {
      block = cached_.first;
      Unlink(&cached_, block);
      index_.Remove(block);
      ++evictions_;
    }
    RecordOf(block).references = 1;
  }
}

absl::Status BlockPool::FullError(uint64_t wanted) const {
  const auto available = static_cast<uint64_t>(AvailableLocked());
  return ResourceExhaustedError(
      absl::StrCat("the KV cache is full: ", wanted, " blocks are wanted, and ", available,
                   " of its ", shape_.blocks,
                   " are not in use by the sessions of this model (kv_cache_tokens makes it "
                   "larger)"),
      (wanted - available) * shape_.block_bytes);
}

absl::Status BlockPool::Allocate(std::span<BlockId> blocks) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (blocks.size() > static_cast<size_t>(AvailableLocked())) return FullError(blocks.size());
  TakeLocked(blocks);
  return absl::OkStatus();
}

absl::Status BlockPool::AllocateToWrite(std::span<BlockId> blocks) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const BlockId written = blocks[0];
  const auto available = static_cast<size_t>(AvailableLocked());
  const bool sequences_read = RecordOf(written).references > 1;
  const bool index_reads = index_.Contains(written);
  if (!sequences_read && !index_reads) {
    if (blocks.size() - 1 > available) return FullError(blocks.size() - 1);
    TakeLocked(blocks.subspan(1));
    return absl::OkStatus();
  }
  if (blocks.size() <= available) {
    TakeLocked(blocks);
    return absl::OkStatus();
  }
  if (sequences_read || blocks.size() - 1 > available) return FullError(blocks.size());
  // There is room but for a copy that would only serve the cache. This takes all that is cached,
  // the children of the block included.
  TakeLocked(blocks.subspan(1));
  index_.Remove(written);
  ++evictions_;
  return absl::OkStatus();
}

void BlockPool::Share(BlockId block) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++RecordOf(block).references;
}

void BlockPool::Release(BlockId block) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ReleaseLocked(block);
}

void BlockPool::ReleaseLocked(BlockId block) {
  if (--RecordOf(block).references > 0) return;
  Append(index_.Contains(block) ? &cached_ : &free_, block);
}

BlockId BlockPool::AcquireIndexed(const PrefixIndex::Key& key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const BlockId block = index_.Find(key);
  if (block == kNoBlock) return kNoBlock;
  if (RecordOf(block).references++ == 0) Unlink(&cached_, block);
  ++hits_;
  return block;
}

BlockId BlockPool::Publish(const PrefixIndex::Key& key, BlockId block) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!index_.enabled()) return block;
  const BlockId known = index_.Find(key);
  if (known == kNoBlock) {
    index_.Insert(key, block);
    return block;
  }
  if (known == block) return block;
  if (RecordOf(known).references++ == 0) Unlink(&cached_, known);
  ReleaseLocked(block);
  return known;
}

int32_t BlockPool::references(BlockId block) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return RecordOf(block).references;
}

bool BlockPool::indexed(BlockId block) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return index_.Contains(block);
}

int32_t BlockPool::free_blocks() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return AvailableLocked();
}

int32_t BlockPool::cached_blocks() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return cached_.size;
}

PrefixCacheStatistics BlockPool::statistics() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {.enabled = index_.enabled(),
          .hit_tokens = hits_ * shape_.block_tokens,
          .evicted_blocks = evictions_,
          .indexed_blocks = index_.size(),
          .cached_blocks = cached_.size};
}

PoolSnapshot BlockPool::Snapshot() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  PoolSnapshot snapshot;
  snapshot.blocks.resize(static_cast<size_t>(shape_.blocks));
  for (BlockId block = 0; block < shape_.blocks; ++block) {
    PoolSnapshot::Block& to = snapshot.blocks[static_cast<size_t>(block)];
    to.references = RecordOf(block).references;
    if (!index_.Contains(block)) continue;
    const PrefixIndex::Key key = index_.KeyOf(block);
    to.indexed = true;
    to.found = index_.Find(key) == block;
    to.children = index_.children(block);
    to.parent = key.parent;
    to.tenant = key.tenant;
    to.tokens.assign(key.tokens.begin(), key.tokens.end());
  }
  for (BlockId block = free_.first; block != kNoBlock; block = RecordOf(block).after) {
    snapshot.free.push_back(block);
  }
  for (BlockId block = cached_.first; block != kNoBlock; block = RecordOf(block).after) {
    snapshot.cached.push_back(block);
  }
  return snapshot;
}

}  // namespace llmcore::core
