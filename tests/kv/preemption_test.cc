#include "lib/kv/preemption.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "lib/kv/kv_sequence.h"

namespace llmcore::core {
namespace {

constexpr int32_t kBlockTokens = 16;

KvHolder Resting(size_t sequence, int64_t last_used) {
  return {sequence, false, false, last_used, {}};
}
KvHolder Replying(size_t sequence, int64_t last_used, KvStanding standing) {
  return {sequence, false, true, last_used, standing};
}
KvHolder Waiting(size_t sequence, KvStanding standing) {
  return {sequence, true, true, 0, standing};
}

std::vector<size_t> VictimsOf(std::vector<KvHolder> holders, const KvClaim& claim) {
  const size_t count = ChooseVictims(holders, claim);
  std::vector<size_t> names;
  for (size_t i = 0; i < count; ++i) names.push_back(holders[i].sequence);
  return names;
}

TEST(PreemptionTest, TheRestingGiveFirstAndThenTheLastInLine) {
  const std::vector<KvHolder> holders = {Waiting(0, {50, 5}),      Resting(1, 90),
                                         Replying(2, 99, {70, 7}), Resting(3, 80),
                                         Waiting(4, {60, 6}),      Replying(5, 99, {40, 4})};
  EXPECT_EQ(VictimsOf(holders, {{45, 1}, 100, false}), (std::vector<size_t>{3, 1, 2, 4, 0}));
  EXPECT_EQ(VictimsOf(holders, {{65, 1}, 100, false}), (std::vector<size_t>{3, 1, 2}));
}

TEST(PreemptionTest, OnlyWhenNothingElseGoesOnDoReplyersAheadGive) {
  const std::vector<KvHolder> holders = {Replying(0, 99, {40, 4}), Waiting(1, {40, 3}),
                                         Replying(2, 99, {30, 2})};
  EXPECT_TRUE(VictimsOf(holders, {{45, 9}, 100, false}).empty());
  EXPECT_EQ(VictimsOf(holders, {{45, 9}, 100, true}), (std::vector<size_t>{0, 2}));
}

TEST(PreemptionTest, AReplyThatNobodyReadsRests) {
  EXPECT_TRUE(VictimsOf({Replying(0, 68, {1, 1})}, {{45, 9}, 100, false}).empty());
  EXPECT_EQ(VictimsOf({Replying(0, 67, {1, 1})}, {{45, 9}, 100, false}).size(), 1u);
}

// Sequences of one pool of ten blocks.
class MakeRoomTest : public testing::Test {
 protected:
  KvSequence& New(int64_t length) {
    owned_.push_back(std::make_unique<KvSequence>(all_));
    Extend(owned_.back().get(), length);
    return *owned_.back();
  }
  void Extend(KvSequence* sequence, int64_t end) {
    sequence->PrepareTable(end);
    auto reservation = sequence->Reserve(end, table_);
    ASSERT_TRUE(reservation.ok()) << reservation.status();
    sequence->Commit(*std::move(reservation));
  }
  void TearDown() override {
    EXPECT_TRUE(all_->CheckInvariants().ok()) << all_->CheckInvariants();
    owned_.clear();
    EXPECT_EQ(all_->pool().free_blocks(), 10);
  }

  const std::shared_ptr<KvSequences> all_ =
      std::make_shared<KvSequences>(std::make_shared<BlockPool>(10, 100), kBlockTokens);
  std::vector<std::unique_ptr<KvSequence>> owned_;
  std::array<BlockId, 64> table_;
};

TEST_F(MakeRoomTest, TakesFromTheEndAndNoMoreThanItTakes) {
  KvSequence& old = New(90);       // 6 blocks
  KvSequence& claimant = New(64);  // 4 blocks
  claimant.BeginRequest(0);
  ASSERT_TRUE(all_->MakeRoom(claimant, 90, false));
  EXPECT_EQ(old.length(), 64);
  EXPECT_EQ(all_->pool().free_blocks(), 2);
  Extend(&claimant, 90);
  ASSERT_TRUE(all_->MakeRoom(claimant, 160, false));
  EXPECT_EQ(old.length(), 0);
}

TEST_F(MakeRoomTest, TakesNothingWhenAllWouldNotDo) {
  KvSequence& old = New(90);
  KvSequence& claimant = New(64);
  claimant.BeginRequest(0);
  {
    const KvPin pin(&old);
    EXPECT_FALSE(all_->MakeRoom(claimant, 70, true));
  }
  EXPECT_FALSE(all_->MakeRoom(claimant, 161, true));
  EXPECT_EQ(old.length(), 90);
}

TEST_F(MakeRoomTest, ASharedBlockIsFreeWhenAllItsHoldersGaveIt) {
  KvSequence& first = New(150);  // all 10 blocks
  owned_.push_back(std::make_unique<KvSequence>(first.Fork()));
  KvSequence& second = *owned_.back();
  owned_.push_back(std::make_unique<KvSequence>(all_));
  KvSequence& claimant = *owned_.back();
  claimant.BeginRequest(0);
  ASSERT_TRUE(all_->MakeRoom(claimant, 16, false));
  EXPECT_EQ(std::min(first.length(), second.length()), 0);
  EXPECT_EQ(std::max(first.length(), second.length()), 144);
}

// A sequence that fills the pool and shares its last block can write to it only when the fork
// gives it up: no block becomes free thereby, but none is needed any more.
TEST_F(MakeRoomTest, WhatForksShareIsWrittenInPlaceOnceTheyGaveIt) {
  KvSequence& first = New(150);
  owned_.push_back(std::make_unique<KvSequence>(first.Fork()));
  KvSequence& fork = *owned_.back();
  first.BeginRequest(0);
  ASSERT_TRUE(all_->MakeRoom(first, 151, false));
  EXPECT_EQ(fork.length(), 144);
  Extend(&first, 151);
}

TEST_F(MakeRoomTest, TheFirstInLineGetsEverythingThatIsInNobodysHands) {
  KvSequence& first = New(10);
  KvSequence& second = New(60);
  KvSequence& third = New(60);
  first.BeginRequest(0);
  second.BeginRequest(0);
  third.SetReplying(true);
  third.BeginRequest(0);
  third.EndRequest();
  EXPECT_FALSE(all_->MakeRoom(second, 160, false));  // not from the first
  EXPECT_EQ(third.length(), 60);
  ASSERT_TRUE(all_->MakeRoom(first, 160, false));
  EXPECT_EQ(second.length(), 0);
  EXPECT_EQ(third.length(), 0);
}

TEST_F(MakeRoomTest, AReplyKeepsItsPlaceUntilItEndsOrItsTimeIsUp) {
  KvSequence& reply = New(60);
  KvSequence& other = New(90);
  reply.SetReplying(true);
  const auto step_of_reply = [&] {
    reply.BeginRequest(0);
    all_->NextStep();
    reply.EndRequest();
  };
  step_of_reply();
  other.BeginRequest(0);
  step_of_reply();
  EXPECT_FALSE(all_->MakeRoom(other, 120, false));  // it came later
  for (int i = 0; i < 256; ++i) step_of_reply();
  EXPECT_TRUE(all_->MakeRoom(other, 120, false));
  EXPECT_LT(reply.length(), 60);
}

TEST_F(MakeRoomTest, APriorityGoesBeforeAnOlderReply) {
  KvSequence& reply = New(60);
  KvSequence& other = New(90);
  reply.SetReplying(true);
  reply.BeginRequest(0);
  for (int i = 0; i < 63; ++i) all_->NextStep();
  other.BeginRequest(64);
  EXPECT_TRUE(all_->MakeRoom(other, 120, false));
  other.EndRequest();
}

}  // namespace
}  // namespace llmcore::core
