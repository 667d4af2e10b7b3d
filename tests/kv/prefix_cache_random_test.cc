// Random sequences over one pool against a plain model of what the prefix cache has to do.
#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/kv/block_pool.h"
#include "lib/kv/kv_sequence.h"
#include "lib/kv/pool_snapshot.h"

namespace llmcore::core {
namespace {

constexpr int32_t kBlockTokens = 4;
constexpr size_t kSize = kBlockTokens;
constexpr size_t kBlocks = 24;

using Tokens = std::vector<int32_t>;
using Key = std::pair<int, Tokens>;  // tenant, and all tokens up to the end of the block

// What the cache has to do, without hashes, ids or parents: a block is an object, and a key holds
// every token from the first on.
class Model {
 public:
  struct Block {
    Key key;  // no tokens: not indexed
  };
  struct Sequence {
    int tenant = 0;
    Tokens tokens;
    std::vector<std::shared_ptr<Block>> blocks;
  };

  size_t available() const { return kBlocks - InUse(); }
  size_t cached() const { return unused_.size(); }
  std::set<Key> keys() const {
    std::set<Key> all;
    for (const auto& [key, block] : index_) all.insert(key);
    return all;
  }

  Sequence& Add() { return sequences_.emplace_back(); }
  void Fork(const Sequence& of) { sequences_.push_back(of); }
  std::vector<Sequence>& sequences() { return sequences_; }

  void Truncate(Sequence* s, size_t length) {
    s->tokens.resize(length);
    while (s->blocks.size() > (length + kSize - 1) / kSize) DropLast(s);
  }
  void RemoveLast() {
    Truncate(&sequences_.back(), 0);
    sequences_.pop_back();
  }

  // Returns the length after it.
  size_t Adopt(Sequence* s, const Tokens& tokens, size_t limit) {
    size_t full = s->tokens.size() / kSize;
    for (; (full + 1) * kSize <= limit; ++full) {
      const auto found = index_.find(KeyOf(*s, tokens, full));
      if (found == index_.end()) break;
      const std::shared_ptr<Block> block = found->second;
      std::erase(unused_, found->first);
      s->blocks.push_back(block);
      if (full + 1 < s->blocks.size()) {  // in place of some of the same positions
        std::swap(s->blocks[full], s->blocks[full + 1]);
        DropLast(s);
      }
      s->tokens.assign(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>((full + 1) * kSize));
    }
    return s->tokens.size();
  }

  // Extends to `tokens`; false: there is no room. Without `commit` only the pool's side shows.
  bool Extend(Sequence* s, const Tokens& tokens, bool commit) {
    const size_t first = s->tokens.size() / kSize;
    size_t wanted = (tokens.size() + kSize - 1) / kSize - s->blocks.size();
    bool copy = false;
    if (first < s->blocks.size()) {
      const std::shared_ptr<Block>& block = s->blocks[first];
      const bool shared = Holders(block) > 1;
      const bool indexed = !block->key.second.empty();
      copy = shared || indexed;
      if (copy && !shared && wanted == available()) {  // the cache gives way
        Take(wanted);
        index_.erase(block->key);
        block->key = {};
        wanted = 0;
        copy = false;
      }
    }
    if (wanted + (copy ? 1 : 0) > available()) return false;
    Take(wanted + (copy ? 1 : 0));
    if (!commit) return true;
    if (copy) DropLast(s);
    s->tokens = tokens;
    while (s->blocks.size() * kSize < tokens.size()) s->blocks.push_back(std::make_shared<Block>());
    Publish(s);
    return true;
  }

 private:
  static Key KeyOf(const Sequence& s, const Tokens& tokens, size_t block) {
    return {s.tenant,
            Tokens(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>((block + 1) * kSize))};
  }
  int Holders(const std::shared_ptr<Block>& block) const {
    int holders = 0;
    for (const Sequence& s : sequences_) {
      holders += static_cast<int>(std::count(s.blocks.begin(), s.blocks.end(), block));
    }
    return holders;
  }
  size_t InUse() const {
    std::set<const Block*> used;
    for (const Sequence& s : sequences_) {
      for (const auto& block : s.blocks) used.insert(block.get());
    }
    return used.size();
  }
  void DropLast(Sequence* s) {
    const std::shared_ptr<Block> block = s->blocks.back();
    s->blocks.pop_back();
    if (!block->key.second.empty() && Holders(block) == 0) unused_.push_back(block->key);
  }
  // Makes room for `count` new blocks.
  void Take(size_t count) {
    const size_t free = kBlocks - InUse() - unused_.size();
    for (size_t i = free; i < count; ++i) {
      index_.erase(unused_.front());
      unused_.erase(unused_.begin());
    }
  }
  void Publish(Sequence* s) {
    for (size_t i = 0; i < s->tokens.size() / kSize; ++i) {
      const Key key = KeyOf(*s, s->tokens, i);
      const auto [at, added] = index_.emplace(key, s->blocks[i]);
      if (added) {
        s->blocks[i]->key = key;
      } else {
        std::erase(unused_, key);
        s->blocks[i] = at->second;
      }
    }
  }

  std::map<Key, std::shared_ptr<Block>> index_;
  std::vector<Key> unused_;  // held by nobody, the least recently used first
  std::vector<Sequence> sequences_;
};

// What keys and values stand for here: all that they depend on.
using Content = std::pair<int, Tokens>;

std::set<Key> KeysOf(const PoolSnapshot& pool) {
  std::set<Key> keys;
  for (const PoolSnapshot::Block& block : pool.blocks) {
    if (!block.indexed) continue;
    Tokens tokens;
    const PoolSnapshot::Block* at = &block;
    while (true) {
      tokens.insert(tokens.begin(), at->tokens.begin(), at->tokens.end());
      if (at->parent == kNoBlock) break;
      at = &pool.blocks[static_cast<size_t>(at->parent)];
    }
    keys.emplace(at->tenant.name().empty() ? 0 : 1, tokens);
  }
  return keys;
}

class Rig {
 public:
  explicit Rig(uint64_t seed) : random_(seed) { Add(); }

  void Step() {
    const size_t i = Below(real_.size());
    switch (Below(6)) {
      case 0:
      case 1:
      case 2:
        return Extend(i);
      case 3:
        return Truncate(i);
      case 4:
        return Grow(i);
      default:
        return Shrink();
    }
  }

  void Check(bool all) {
    ASSERT_EQ(static_cast<size_t>(pool_->free_blocks()), model_.available());
    ASSERT_EQ(static_cast<size_t>(pool_->cached_blocks()), model_.cached());
    for (size_t s = 0; s < real_.size(); ++s) CheckContent(s);
    if (!all) return;
    const PoolSnapshot snapshot = pool_->Snapshot();
    ASSERT_TRUE(CheckPool(snapshot).ok()) << CheckPool(snapshot);
    std::vector<std::span<const BlockId>> tables;
    for (const auto& sequence : real_) tables.push_back(sequence->blocks());
    const absl::Status references = CheckReferences(snapshot, tables);
    ASSERT_TRUE(references.ok()) << references;
    ASSERT_EQ(KeysOf(snapshot), model_.keys());
  }

  void Clear() {
    while (!real_.empty()) Remove();
    EXPECT_EQ(pool_->free_blocks(), static_cast<int32_t>(kBlocks));
  }
  PrefixCacheStatistics statistics() const { return pool_->statistics(); }

 private:
  size_t Below(uint64_t n) { return static_cast<size_t>(random_() % n); }

  void Add() {
    const bool tenant = Below(4) == 0;
    model_.Add().tenant = tenant ? 1 : 0;
    real_.push_back(
        std::make_unique<KvSequence>(std::make_shared<KvSequences>(pool_, kBlockTokens)));
    if (tenant) real_.back()->SetTenant(*CacheTenant::From("tenant"));
  }
  void Remove() {
    model_.RemoveLast();
    real_.pop_back();
  }

  void Extend(size_t i) {
    KvSequence& sequence = *real_[i];
    Model::Sequence& expected = model_.sequences()[i];
    Tokens tokens = expected.tokens;
    const size_t end = tokens.size() + 1 + Below(24);
    // Few kinds of tokens, so that sequences meet again.
    while (tokens.size() < end) tokens.push_back(static_cast<int32_t>(Below(8) == 0 ? 1 : 0));
    sequence.PrepareTable(static_cast<int64_t>(end));
    if (Below(4) != 0) {
      const size_t limit = Below(end);
      sequence.AdoptPrefix(std::span(tokens).first(limit));
      ASSERT_EQ(static_cast<size_t>(sequence.length()), model_.Adopt(&expected, tokens, limit));
    }
    const size_t length = static_cast<size_t>(sequence.length());
    tokens.resize(length + 1 + Below(end - length));
    const bool fails = Below(6) == 0;
    std::vector<BlockId> table(sequence.BlocksFor(static_cast<int64_t>(tokens.size())));
    auto reservation = sequence.Reserve(static_cast<int64_t>(tokens.size()), table);
    ASSERT_EQ(reservation.ok(), model_.Extend(&expected, tokens, !fails));
    if (!reservation.ok()) return;
    const BlockCopy copy = reservation->copy();
    if (copy.from >= 0) memory_[copy.to] = memory_[copy.from];
    for (size_t p = length; p < tokens.size(); ++p) {
      auto& block = memory_[reservation->blocks()[p / kSize]];
      block.resize(kSize);
      block[p % kSize] = {expected.tenant,
                          Tokens(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(p) + 1)};
    }
    if (fails) return;
    sequence.Commit(*std::move(reservation));
    sequence.PublishBlocks(tokens);
  }

  void Truncate(size_t i) {
    const size_t length = Below(model_.sequences()[i].tokens.size() + 1);
    real_[i]->Truncate(static_cast<int64_t>(length));
    model_.Truncate(&model_.sequences()[i], length);
  }

  void Grow(size_t i) {
    if (real_.size() == 6) return;
    if (Below(2) == 0) return Add();
    real_.push_back(std::make_unique<KvSequence>(real_[i]->Fork()));
    const Model::Sequence forked = model_.sequences()[i];
    model_.Fork(forked);
  }

  void Shrink() {
    if (real_.size() > 1 && Below(2) == 0) Remove();
  }

  void CheckContent(size_t s) {
    const Model::Sequence& expected = model_.sequences()[s];
    ASSERT_EQ(static_cast<size_t>(real_[s]->length()), expected.tokens.size());
    for (size_t p = 0; p < expected.tokens.size(); ++p) {
      const Content& content = memory_[real_[s]->blocks()[p / kSize]][p % kSize];
      ASSERT_TRUE(content.first == expected.tenant && content.second.size() == p + 1 &&
                  std::equal(content.second.begin(), content.second.end(), expected.tokens.begin()))
          << "sequence " << s << ", position " << p;
    }
  }

  std::mt19937_64 random_;
  std::shared_ptr<BlockPool> pool_ = std::make_shared<BlockPool>(
      BlockPoolShape{.blocks = kBlocks, .block_tokens = kBlockTokens, .block_bytes = 100}, nullptr);
  Model model_;
  std::vector<std::unique_ptr<KvSequence>> real_;
  std::map<BlockId, std::vector<Content>> memory_;
};

TEST(PrefixCacheRandomTest, APoolDoesWhatThePlainModelDoes) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Rig rig(seed);
  for (int operation = 0; operation < 100000; ++operation) {
    SCOPED_TRACE(testing::Message() << "operation " << operation);
    rig.Step();
    if (HasFatalFailure()) return;
    rig.Check(operation % 50 == 0);
    if (HasFatalFailure()) return;
  }
  rig.Clear();
  // It was about something.
  EXPECT_GT(rig.statistics().hit_tokens, 10000);
  EXPECT_GT(rig.statistics().evicted_blocks, 1000);
}

}  // namespace
}  // namespace llmcore::core
