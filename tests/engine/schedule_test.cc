#include "lib/engine/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace llmcore::core {
namespace {

constexpr Demand kDecode{true, 1, 0};

Demand Prompt(int64_t rows) {
  return {false, rows, rows - 1};
}

// Shares whose `demand` is the index in `demands` as they are passed.
std::vector<Share> SharesOf(std::vector<Demand> demands, const StepBudget& budget) {
  for (size_t i = 0; i < demands.size(); ++i) demands[i].request = i;
  std::vector<Share> shares(static_cast<size_t>(budget.sequences));
  shares.resize(Schedule(demands, budget, shares));
  for (Share& share : shares) share.demand = demands[share.demand].request;
  return shares;
}

Demand Since(int64_t turn, Demand demand) {
  demand.turn = turn;
  return demand;
}

TEST(ScheduleTest, DecodesComeBeforePromptsThatWaitedLonger) {
  const auto shares = SharesOf({Prompt(1000), kDecode, kDecode}, {64, 64, 8, 8});
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_EQ(shares[0].demand, 1u);
  EXPECT_EQ(shares[1].demand, 2u);
  EXPECT_EQ(shares[2].demand, 0u);
  EXPECT_EQ(shares[2].rows, 62);
  EXPECT_EQ(shares[2].logit_rows, 0);
}

TEST(ScheduleTest, PromptsShareTheirRowsInOrder) {
  const auto shares = SharesOf({kDecode, Prompt(20), Prompt(30), Prompt(5)}, {512, 40, 8, 8});
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_EQ(shares[1].rows, 20);
  EXPECT_EQ(shares[1].logit_rows, 1);
  EXPECT_EQ(shares[2].rows, 20);
  EXPECT_EQ(shares[2].logit_rows, 0);
}

TEST(ScheduleTest, BriefPromptsComeFirstWhereMoreOfThemWaitThanReplies) {
  const auto come_first = [](std::vector<Demand> demands) {
    return BriefPromptsComeFirst(demands, 64);
  };
  EXPECT_FALSE(come_first({kDecode, Prompt(20)}));
  EXPECT_TRUE(come_first({kDecode, Prompt(20), Prompt(64)}));
  EXPECT_FALSE(come_first({kDecode, Prompt(20), Prompt(65)}));  // no step reads it whole
  EXPECT_FALSE(come_first({kDecode, kDecode, Prompt(20), Prompt(20)}));
  EXPECT_FALSE(come_first({Prompt(1000)}));
  Demand begun = Prompt(20);
  begun.begun = true;  // the end of a long one
  EXPECT_FALSE(come_first({kDecode, Prompt(20), begun}));
  Demand held = Prompt(0);
  EXPECT_FALSE(come_first({kDecode, Prompt(20), held}));

  // Long ones keep the pace meanwhile, wherever they stand.
  StepBudget budget = {64, 63, 8, 8};
  budget.long_rows = 10;
  budget.brief = 64;
  const auto shares = SharesOf({Prompt(1000), begun, Prompt(20), Prompt(25), kDecode}, budget);
  ASSERT_EQ(shares.size(), 4u);
  EXPECT_EQ(shares[0].demand, 4u);
  EXPECT_EQ(shares[1].demand, 0u);
  EXPECT_EQ(shares[1].rows, 10);
  EXPECT_EQ(shares[2].rows, 20);
  EXPECT_EQ(shares[2].logit_rows, 1);
  EXPECT_EQ(shares[3].rows, 25);
}

TEST(ScheduleTest, AStepEndsWhereItsLogitsDo) {
  // All logits of 100 positions, after 10 whose logits nobody wants.
  const auto shares = SharesOf({{false, 110, 10}}, {512, 512, 4, 4});
  ASSERT_EQ(shares.size(), 1u);
  EXPECT_EQ(shares[0].rows, 14);
  EXPECT_EQ(shares[0].logit_rows, 4);
}

TEST(ScheduleTest, ADemandOfNoRowsTakesNoPart) {
  EXPECT_TRUE(SharesOf({{false, 0, 0}, {true, 0, 0}}, {64, 64, 8, 8}).empty());
}

TEST(ScheduleTest, WhoWaitsLongerComesFirst) {
  const auto shares =
      SharesOf({Since(7, kDecode), Since(5, kDecode), Since(5, kDecode)}, {64, 64, 2, 2});
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_EQ(shares[0].demand, 1u);
  EXPECT_EQ(shares[1].demand, 2u);
}

TEST(ScheduleTest, APromptIsNotStarvedByDecodesThatFillEveryStep) {
  const std::vector<Demand> demands = {Since(10, Prompt(40)), Since(14, kDecode),
                                       Since(14, kDecode)};
  EXPECT_EQ(SharesOf(demands, {64, 8, 2, 2})[0].demand, 0u);  // waited for four steps
  EXPECT_EQ(SharesOf({Since(11, Prompt(40)), demands[1], demands[2]}, {64, 8, 2, 2})[1].demand, 2u);
}

// Sessions of two priorities want every step, and a step serves one of them.
TEST(ScheduleTest, APriorityIsAHeadStartAndStarvesNobody) {
  int64_t low_turn = 0;  // as RequestQueue sets it
  std::vector<int64_t> low_steps;
  for (int64_t step = 0; step < 1000; ++step) {
    const auto shares = SharesOf(
        {Since(low_turn, kDecode), Since(step - kStepsPerPriority, kDecode)}, {8, 8, 1, 1});
    ASSERT_EQ(shares.size(), 1u);
    if (shares[0].demand != 0) continue;
    low_steps.push_back(step);
    low_turn = step + 1;
  }
  ASSERT_GE(low_steps.size(), 14u);
  for (size_t i = 1; i < low_steps.size(); ++i) {
    EXPECT_EQ(low_steps[i] - low_steps[i - 1], kStepsPerPriority + 1);
  }
}

TEST(ScheduleTest, RandomSharesKeepEveryLimitAndWasteNoRow) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const auto below = [&random](uint64_t n) { return static_cast<int32_t>(random() % n); };
  for (int round = 0; round < 20000; ++round) {
    StepBudget budget{1 + below(64), 0, 1 + below(12), 0};
    budget.logit_rows = budget.sequences;
    budget.prefill_rows = 1 + below(static_cast<uint64_t>(budget.rows));
    std::vector<Demand> demands;
    for (int i = below(20); i >= 0; --i) {
      const int64_t rows = 1 + below(100);
      demands.push_back(
          below(2) == 0 ? kDecode : Demand{false, rows, below(static_cast<uint64_t>(rows) + 1)});
    }
    const auto shares = SharesOf(demands, budget);
    ASSERT_FALSE(shares.empty());
    int32_t rows = 0;
    int32_t prefill_rows = 0;
    int32_t logits = 0;
    std::vector<size_t> seen;
    size_t decodes = 0;
    for (const Share& share : shares) {
      const Demand& demand = demands[share.demand];
      ASSERT_GE(share.rows, 1);
      ASSERT_LE(share.rows, demand.rows);
      ASSERT_EQ(share.logit_rows, std::max<int64_t>(0, share.rows - demand.silent_rows));
      rows += share.rows;
      if (!demand.decode) prefill_rows += share.rows;
      decodes += demand.decode ? 1 : 0;
      logits += share.logit_rows;
      seen.push_back(share.demand);
    }
    std::sort(seen.begin(), seen.end());
    ASSERT_EQ(std::adjacent_find(seen.begin(), seen.end()), seen.end());
    ASSERT_LE(rows, budget.rows);
    ASSERT_LE(prefill_rows, budget.prefill_rows);
    ASSERT_LE(logits, budget.sequences);
    const auto waiting = static_cast<size_t>(std::count_if(
        demands.begin(), demands.end(), [](const Demand& demand) { return demand.decode; }));
    ASSERT_EQ(decodes, std::min({waiting, static_cast<size_t>(budget.rows),
                                 static_cast<size_t>(budget.sequences)}));
  }
}

TEST(PrefillPacerTest, PromptsAloneTakeWholeSteps) {
  PrefillPacer pacer(512);
  EXPECT_EQ(pacer.rows(0, 0), 512);
  EXPECT_LT(pacer.rows(1, 0), 512);
}

TEST(PrefillPacerTest, MixedStepsSettleBelowTwiceTheTimeOfDecodes) {
  for (const double row_seconds : {0.0002, 0.001, 0.004}) {
    PrefillPacer pacer(512);
    double now = 0;
    const auto step = [&](int32_t rows) {
      const double seconds = 0.02 + row_seconds * (1 + rows);
      now += seconds;
      pacer.Record(1, rows, seconds, now);
      return seconds;
    };
    for (int i = 0; i < 10; ++i) step(0);
    for (int i = 0; i < 40; ++i) step(pacer.rows(1, now));
    const int32_t rows = pacer.rows(1, now);
    const double settled = step(rows);
    EXPECT_LT(settled, 3 * step(0)) << row_seconds;
    if (rows > 8) {
      EXPECT_GT(settled, 1.5 * step(0)) << row_seconds;
    }
  }
}

// The inter-token times of a reply while a prompt of 4,096 tokens is read, by a model of what a row
// costs, also behind a position; and with a disturbed step just before the prompt and now and then.
TEST(PrefillPacerTest, APromptLeavesTheReplyItsPace) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (const double row_seconds : {0.0002, 0.001, 0.0025}) {
    PrefillPacer pacer(512);
    for (int i = 0; i < 100; ++i) pacer.Record(1, 0, 0.02 * (i > 96 ? 4 : 1), 0);
    double slowest = 0;
    for (int32_t position = 0; position < 4096;) {
      const int32_t rows = std::min(pacer.rows(1, 0), 4096 - position);
      const double seconds = 0.02 + row_seconds * rows * (1 + position / 8192.0);
      pacer.Record(1, rows, random() % 200 == 0 ? 2 * seconds : seconds, 0);
      position += rows;
      slowest = std::max(slowest, seconds);  // of what it chose, without what disturbs
    }
    EXPECT_LT(slowest, 3 * 0.02) << row_seconds;
  }
}

TEST(PrefillPacerTest, AStepThatItDidNotAllowTeachesNothing) {
  PrefillPacer pacer(512);
  for (int i = 0; i < 10; ++i) pacer.Record(1, 0, 0.02, 0);
  for (int i = 0; i < 20; ++i) {
    const int32_t rows = pacer.rows(1, 0);
    pacer.Record(1, rows, 0.02 + 0.0002 * rows, 0);
  }
  const int32_t settled = pacer.rows(1, 0);
  EXPECT_GT(settled, 50);
  pacer.Record(4, 500, 1.2, 0);
  EXPECT_EQ(pacer.rows(1, 0), settled);
}

TEST(PrefillPacerTest, AStepThatADecodeMissedByAMomentStaysShort) {
  PrefillPacer pacer(512);
  pacer.Record(1, 0, 0.02, 7.0);
  EXPECT_LT(pacer.rows(0, 7.001), 512);
  pacer.Record(0, 32, 0.01, 7.011);
  EXPECT_LT(pacer.rows(0, 7.012), 512);
  EXPECT_EQ(pacer.rows(0, 7.1), 512);
}

}  // namespace
}  // namespace llmcore::core
