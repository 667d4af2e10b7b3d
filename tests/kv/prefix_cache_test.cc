// The prefix cache on its own: what is shared, with whom, until when.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "lib/kv/block_pool.h"
#include "lib/kv/kv_sequence.h"
#include "lib/kv/pool_snapshot.h"

namespace llmcore::core {
namespace {

constexpr int32_t kBlockTokens = 4;

using Tokens = std::vector<int32_t>;

std::shared_ptr<BlockPool> Pool(int32_t blocks) {
  return std::make_shared<BlockPool>(
      BlockPoolShape{.blocks = blocks, .block_tokens = kBlockTokens, .block_bytes = 100}, nullptr);
}

// For a sequence whose blocks nobody takes away.
std::shared_ptr<KvSequences> InPool(std::shared_ptr<BlockPool> pool) {
  return std::make_shared<KvSequences>(std::move(pool), kBlockTokens);
}

// 0, 1, 2, ... from `first` on.
Tokens Range(int32_t first, size_t count) {
  Tokens tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

CacheTenant Tenant(absl::string_view name) {
  return *CacheTenant::From(name);
}

// As the engine reads a prompt: all that is not known is computed. Returns how much that was.
int64_t Read(KvSequence* sequence, const Tokens& tokens) {
  const auto end = static_cast<int64_t>(tokens.size());
  sequence->PrepareTable(end);
  sequence->AdoptPrefix(std::span(tokens).first(tokens.size() - 1));
  const int64_t computed = end - sequence->length();
  std::array<BlockId, 64> table;
  auto reservation = sequence->Reserve(end, table);
  EXPECT_TRUE(reservation.ok()) << reservation.status();
  if (!reservation.ok()) return -1;
  sequence->Commit(*std::move(reservation));
  sequence->PublishBlocks(tokens);
  return computed;
}

int64_t Compute(const std::shared_ptr<BlockPool>& pool, const Tokens& tokens,
                absl::string_view tenant = "") {
  KvSequence sequence(InPool(pool));
  sequence.SetTenant(Tenant(tenant));
  return Read(&sequence, tokens);
}

void ExpectValid(const BlockPool& pool, const std::vector<const KvSequence*>& sequences) {
  const PoolSnapshot snapshot = pool.Snapshot();
  EXPECT_TRUE(CheckPool(snapshot).ok()) << CheckPool(snapshot);
  std::vector<std::span<const BlockId>> tables;
  for (const KvSequence* sequence : sequences) tables.push_back(sequence->blocks());
  const absl::Status references = CheckReferences(snapshot, tables);
  EXPECT_TRUE(references.ok()) << references;
}

TEST(PrefixCacheTest, WhatBeginsAlikeSharesBlocks) {
  const auto pool = Pool(20);
  KvSequence first(InPool(pool));
  EXPECT_EQ(Read(&first, Range(0, 18)), 18);
  KvSequence second(InPool(pool));
  Tokens other = Range(0, 18);
  other[9] = 99;  // in the third block
  EXPECT_EQ(Read(&second, other), 10);
  EXPECT_EQ(second.blocks()[0], first.blocks()[0]);
  EXPECT_EQ(second.blocks()[1], first.blocks()[1]);
  EXPECT_NE(second.blocks()[2], first.blocks()[2]);
  EXPECT_EQ(pool->free_blocks(), 20 - 5 - 3);
  ExpectValid(*pool, {&first, &second});
  EXPECT_EQ(pool->statistics().hit_tokens, 8);
}

TEST(PrefixCacheTest, TheSameTokensElsewhereAreNotTheSame) {
  const auto pool = Pool(20);
  EXPECT_EQ(Compute(pool, Range(0, 12)), 12);
  Tokens shifted = Range(100, 4);
  const Tokens tail = Range(0, 8);
  shifted.insert(shifted.end(), tail.begin(), tail.end());
  EXPECT_EQ(Compute(pool, shifted), 12);
  EXPECT_EQ(Compute(pool, Range(4, 8)), 8);
}

TEST(PrefixCacheTest, BlocksOutliveTheirSequence) {
  const auto pool = Pool(20);
  EXPECT_EQ(Compute(pool, Range(0, 17)), 17);
  EXPECT_EQ(pool->free_blocks(), 20);
  EXPECT_EQ(pool->cached_blocks(), 4);
  ExpectValid(*pool, {});
  EXPECT_EQ(Compute(pool, Range(0, 17)), 1);
  // The last token is never adopted: its logits are what the prompt is read for.
  EXPECT_EQ(Compute(pool, Range(0, 16)), 4);
  EXPECT_EQ(pool->cached_blocks(), 4);
}

TEST(PrefixCacheTest, TenantsNeverShare) {
  const auto pool = Pool(40);
  EXPECT_EQ(Compute(pool, Range(0, 17), "a"), 17);
  EXPECT_EQ(Compute(pool, Range(0, 17), "b"), 17);
  EXPECT_EQ(Compute(pool, Range(0, 17)), 17);
  EXPECT_EQ(Compute(pool, Range(0, 17), std::string("a\0", 2)), 17);
  EXPECT_EQ(Compute(pool, Range(0, 17), "a"), 1);
  EXPECT_EQ(Compute(pool, Range(0, 17), "b"), 1);
  ExpectValid(*pool, {});
  EXPECT_TRUE(CacheTenant::From(std::string(64, 'x')).ok());
  EXPECT_EQ(CacheTenant::From(std::string(65, 'x')).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(PrefixCacheTest, AForkHasItsTenant) {
  const auto pool = Pool(40);
  KvSequence first(InPool(pool));
  first.SetTenant(Tenant("a"));
  KvSequence fork = first.Fork();
  EXPECT_EQ(Read(&fork, Range(0, 9)), 9);
  EXPECT_EQ(Compute(pool, Range(0, 9)), 9);
  EXPECT_EQ(Compute(pool, Range(0, 9), "a"), 1);
}

TEST(PrefixCacheTest, APartOfABlockGivesWayToTheWhole) {
  const auto pool = Pool(20);
  EXPECT_EQ(Compute(pool, Range(0, 17)), 17);
  KvSequence sequence(InPool(pool));
  Tokens start = Range(0, 6);
  EXPECT_EQ(Read(&sequence, start), 2);
  EXPECT_EQ(Read(&sequence, Range(0, 13)), 1);  // not 13 - 6
  ExpectValid(*pool, {&sequence});
  EXPECT_EQ(pool->free_blocks(), 20 - 4);
}

TEST(PrefixCacheTest, WhatTwoComputedAtTheSameTimeIsKeptOnce) {
  const auto pool = Pool(20);
  KvSequence first(InPool(pool));
  KvSequence second(InPool(pool));
  const Tokens tokens = Range(0, 8);
  std::array<BlockId, 8> table;
  std::array<BlockId, 8> other;
  first.PrepareTable(8);
  second.PrepareTable(8);
  auto one = first.Reserve(8, table);
  auto two = second.Reserve(8, other);
  ASSERT_TRUE(one.ok() && two.ok());
  first.Commit(*std::move(one));
  first.PublishBlocks(tokens);
  second.Commit(*std::move(two));
  EXPECT_EQ(pool->free_blocks(), 16);
  second.PublishBlocks(tokens);
  EXPECT_EQ(pool->free_blocks(), 18);
  EXPECT_TRUE(std::equal(first.blocks().begin(), first.blocks().end(), second.blocks().begin()));
  ExpectValid(*pool, {&first, &second});
}

TEST(PrefixCacheTest, TheLeastRecentlyUsedGoesFirstAndItsEndBeforeItsStart) {
  const auto pool = Pool(8);
  Compute(pool, Range(0, 12));    // 3 blocks
  Compute(pool, Range(100, 12));  // 3 blocks
  Compute(pool, Range(0, 9));     // uses 2 of the first again
  EXPECT_EQ(pool->cached_blocks(), 6);
  // Of 8 blocks 2 are free. 5 take the last block of the first prompt, then two of the second.
  Compute(pool, Range(1000, 17));
  EXPECT_EQ(pool->statistics().evicted_blocks, 3);
  ExpectValid(*pool, {});
  EXPECT_EQ(Compute(pool, Range(0, 9)), 1);
  EXPECT_EQ(Compute(pool, Range(100, 9)), 5);  // only its first block is left
}

TEST(PrefixCacheTest, AWriteIntoACachedBlockLeavesItCached) {
  const auto pool = Pool(8);
  KvSequence sequence(InPool(pool));
  Read(&sequence, Range(0, 8));
  sequence.Truncate(6);
  Tokens other = Range(0, 6);
  other.push_back(99);
  EXPECT_EQ(Read(&sequence, other), 1);
  EXPECT_EQ(Compute(pool, Range(0, 9)), 1);
  ExpectValid(*pool, {&sequence});
}

TEST(PrefixCacheTest, ACacheThatHasNoRoomForACopyGivesTheBlockUp) {
  const auto pool = Pool(4);
  KvSequence sequence(InPool(pool));
  Read(&sequence, Range(0, 16));
  for (const int64_t length : {15, 6, 1}) {  // also where its cached children are in the way
    sequence.Truncate(length);
    Tokens other = Range(0, static_cast<size_t>(length));
    while (other.size() < 16) other.push_back(static_cast<int32_t>(1000 + length));
    EXPECT_EQ(Read(&sequence, other), 16 - length);
    ExpectValid(*pool, {&sequence});
    EXPECT_EQ(pool->free_blocks(), 0);
  }
  KvSequence fork = sequence.Fork();
  fork.Truncate(15);
  std::array<BlockId, 4> table;
  EXPECT_EQ(fork.Reserve(16, table).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(PrefixCacheTest, WhatWasNotComputedHereIsNotShared) {
  const auto pool = Pool(20);
  KvSequence restored(InPool(pool));
  restored.PrepareTable(10);
  std::array<BlockId, 8> table;
  restored.Commit(*restored.Reserve(10, table));
  restored.KeepToItself();
  EXPECT_EQ(Read(&restored, Range(0, 20)), 10);
  EXPECT_EQ(Compute(pool, Range(0, 20)), 20);
  restored.Truncate(0);
  EXPECT_EQ(Read(&restored, Range(0, 20)), 4);
}

TEST(PrefixCacheTest, ItCanBeOff) {
  const auto pool = std::make_shared<BlockPool>(20, 100);
  EXPECT_EQ(Compute(pool, Range(0, 17)), 17);
  EXPECT_EQ(Compute(pool, Range(0, 17)), 17);
  EXPECT_EQ(pool->cached_blocks(), 0);
  EXPECT_FALSE(pool->statistics().enabled);
  EXPECT_LT(BlockPool::HostBytesPerBlock({.block_tokens = 32, .prefix_cache = false}),
            BlockPool::HostBytesPerBlock({.block_tokens = 32, .prefix_cache = true}));
}

TEST(PrefixCacheTest, ANextBlockIsComparedInFull) {
  const auto pool = Pool(20);
  KvSequence a(InPool(pool));
  KvSequence b(InPool(pool));
  const Tokens tokens = Range(0, 12);
  EXPECT_TRUE(a.NextBlockEquals(b, tokens, tokens));
  Tokens other = tokens;
  other[3] = 99;
  EXPECT_FALSE(a.NextBlockEquals(b, tokens, other));
  EXPECT_FALSE(a.NextBlockEquals(b, std::span(tokens).first(3), tokens));
  Read(&a, Range(0, 5));
  EXPECT_FALSE(a.NextBlockEquals(b, tokens, tokens));  // it is a block ahead
  Read(&b, Range(0, 6));
  EXPECT_TRUE(a.NextBlockEquals(b, tokens, tokens));
  KvSequence stranger(InPool(pool));
  KvSequence newcomer(InPool(pool));
  stranger.SetTenant(Tenant("a"));
  EXPECT_FALSE(stranger.NextBlockEquals(newcomer, tokens, tokens));
}

// Each rule of CheckPool and CheckReferences, broken.
TEST(PoolSnapshotTest, WhatIsBrokenIsFound) {
  const auto pool = Pool(12);
  Compute(pool, Range(0, 12));
  KvSequence holder(InPool(pool));
  Read(&holder, Range(0, 10));
  const PoolSnapshot good = pool->Snapshot();
  ASSERT_TRUE(CheckPool(good).ok()) << CheckPool(good);
  const auto at = [](PoolSnapshot& s, BlockId id) -> PoolSnapshot::Block& {
    return s.blocks[static_cast<size_t>(id)];
  };
  const BlockId root = holder.blocks()[0];
  const BlockId inner = holder.blocks()[1];
  const BlockId leaf = good.cached.at(0);
  const BlockId unused = good.free.at(0);
  const std::vector<std::pair<const char*, std::function<void(PoolSnapshot&)>>> faults = {
      {"lost", [&](PoolSnapshot& s) { s.free.pop_back(); }},
      {"twice", [&](PoolSnapshot& s) { s.free.push_back(s.free[0]); }},
      {"in use", [&](PoolSnapshot& s) { at(s, unused).references = 1; }},
      {"no block", [&](PoolSnapshot& s) { s.free[0] = 77; }},
      {"released too often",
       [&](PoolSnapshot& s) {
         at(s, unused).references = -1;
         s.free.erase(s.free.begin());
       }},
      {"not indexed", [&](PoolSnapshot& s) { at(s, leaf).indexed = false; }},
      {"free, and indexed",
       [&](PoolSnapshot& s) {
         s.free.push_back(leaf);
         s.cached.clear();
       }},
      {"does not lead", [&](PoolSnapshot& s) { at(s, root).found = false; }},
      {"parent is not indexed", [&](PoolSnapshot& s) { at(s, leaf).parent = unused; }},
      {"another block has its key",
       [&](PoolSnapshot& s) {
         at(s, inner).parent = kNoBlock;
         at(s, inner).tokens = at(s, root).tokens;
       }},
      {"its parent is not",
       [&](PoolSnapshot& s) {
         at(s, root).references = 0;
         s.cached.push_back(root);
       }},
      {"own ancestor", [&](PoolSnapshot& s) { at(s, root).parent = inner; }},
      {"miscounted", [&](PoolSnapshot& s) { at(s, root).children = 2; }},
      {"after its parent",
       [&](PoolSnapshot& s) {
         at(s, inner).references = 0;
         at(s, root).references = 0;
         s.cached = {inner, leaf, root};
       }},
  };
  for (const auto& [message, fault] : faults) {
    PoolSnapshot broken = good;
    fault(broken);
    const absl::Status status = CheckPool(broken);
    EXPECT_FALSE(status.ok()) << message;
    EXPECT_NE(std::string(status.message()).find(message), std::string::npos)
        << message << ": " << status;
  }
  EXPECT_TRUE(CheckReferences(good, std::vector{holder.blocks()}).ok());
  EXPECT_FALSE(CheckReferences(good, {}).ok());
  EXPECT_FALSE(CheckReferences(good, std::vector{holder.blocks(), holder.blocks()}).ok());
}

TEST(PrefixCacheTest, BlocksThatAreSwappedOutAreTakenFromTheIndexWhereItHasThem) {
  const auto pool = Pool(8);
  const auto all = std::make_shared<KvSequences>(
      pool, kBlockTokens, std::make_unique<BlockPool>(/*blocks=*/8, /*block_bytes=*/100));
  const Tokens tokens = Range(0, 40);
  KvSequence sequence(all);
  EXPECT_EQ(Read(&sequence, Range(0, 18)), 18);
  {
    KvSequence other(all);
    other.BeginRequest(0);
    ASSERT_TRUE(all->MakeRoom(other, 7 * kBlockTokens, /*urgent=*/false));
    all->SettleSwapOut(/*copied=*/true);
  }
  EXPECT_EQ(sequence.length(), 18);
  EXPECT_EQ(sequence.blocks().size(), 1u);
  EXPECT_EQ(all->swap_statistics().free_blocks, 4);
  // Of the four blocks that nobody has taken since, three are known.
  sequence.AdoptPrefix(std::span(tokens).first(12));
  EXPECT_EQ(sequence.length(), 18);
  EXPECT_EQ(sequence.blocks().size(), 3u);
  EXPECT_EQ(all->swap_statistics().free_blocks, 6);
  ASSERT_TRUE(all->CheckInvariants().ok()) << all->CheckInvariants();
  EXPECT_EQ(Read(&sequence, Range(0, 20)), 2);
  EXPECT_EQ(sequence.blocks().size(), 5u);
  EXPECT_EQ(all->swap_statistics().free_blocks, 8);
  EXPECT_EQ(all->swap_statistics().in_blocks, 1);
  ASSERT_TRUE(all->CheckInvariants().ok()) << all->CheckInvariants();

  // One of which only some positions were there becomes whole.
  sequence.Truncate(18);
  {
    KvSequence other(all);
    other.BeginRequest(0);
    ASSERT_TRUE(all->MakeRoom(other, 4 * kBlockTokens, /*urgent=*/false));
    all->SettleSwapOut(/*copied=*/true);
  }
  ASSERT_EQ(sequence.swapped_blocks().size(), 1u);
  sequence.AdoptPrefix(std::span(tokens).first(20));
  EXPECT_EQ(sequence.length(), 20);
  EXPECT_TRUE(sequence.swapped_blocks().empty());
  EXPECT_EQ(all->swap_statistics().free_blocks, 8);
  ASSERT_TRUE(all->CheckInvariants().ok()) << all->CheckInvariants();
}

}  // namespace
}  // namespace llmcore::core
