#include "lib/kv/kv_sequence.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <vector>

#include "lib/base/checked.h"

namespace llmcore::core {
namespace {

constexpr int32_t kBlockTokens = 16;

std::shared_ptr<BlockPool> Pool(int32_t blocks) {
  return std::make_shared<BlockPool>(blocks, /*block_bytes=*/100);
}

// Room for the block table of a step.
using Table = std::array<BlockId, 64>;

void Extend(KvSequence* sequence, int64_t end) {
  Table table;
  sequence->PrepareTable(end);
  auto reservation = sequence->Reserve(end, table);
  ASSERT_TRUE(reservation.ok()) << reservation.status();
  sequence->Commit(*std::move(reservation));
}

TEST(BlockPoolTest, FreedBlocksAreReusable) {
  BlockPool pool(2, 100);
  std::array<BlockId, 2> blocks;
  std::array<BlockId, 3> too_many;
  const absl::Status full = pool.Allocate(too_many);
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(BytesNeeded(full), 100u);
  EXPECT_EQ(pool.free_blocks(), 2);
  ASSERT_TRUE(pool.Allocate(blocks).ok());
  EXPECT_NE(blocks[0], blocks[1]);
  pool.Share(blocks[0]);
  pool.Release(blocks[0]);
  EXPECT_EQ(pool.free_blocks(), 0);
  pool.Release(blocks[0]);
  std::array<BlockId, 1> again;
  ASSERT_TRUE(pool.Allocate(again).ok());
  EXPECT_EQ(again[0], blocks[0]);
}

TEST(KvSequenceTest, BlocksFollowTheLength) {
  const auto pool = Pool(10);
  {
    KvSequence sequence(pool, kBlockTokens);
    Extend(&sequence, 1);
    EXPECT_EQ(sequence.blocks().size(), 1u);
    Extend(&sequence, 16);
    EXPECT_EQ(sequence.blocks().size(), 1u);
    Extend(&sequence, 33);
    EXPECT_EQ(sequence.blocks().size(), 3u);
    sequence.Truncate(16);
    EXPECT_EQ(sequence.blocks().size(), 1u);
    sequence.Truncate(0);
    EXPECT_EQ(pool->free_blocks(), 10);
    Extend(&sequence, 40);
  }
  EXPECT_EQ(pool->free_blocks(), 10);
}

TEST(KvSequenceTest, AFailedReservationChangesNothing) {
  const auto pool = Pool(3);
  KvSequence sequence(pool, kBlockTokens);
  Extend(&sequence, 20);
  const std::vector<BlockId> before(sequence.blocks().begin(), sequence.blocks().end());
  Table table;
  const absl::Status status = sequence.Reserve(100, table).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(BytesNeeded(status), 400u);  // 7 blocks, of which it has 2 and 1 is free
  EXPECT_EQ(std::vector<BlockId>(sequence.blocks().begin(), sequence.blocks().end()), before);
  EXPECT_EQ(sequence.length(), 20);
  EXPECT_EQ(pool->free_blocks(), 1);
}

TEST(KvSequenceTest, AForkCopiesOnlyTheBlockThatIsWritten) {
  const auto pool = Pool(10);
  KvSequence first(pool, kBlockTokens);
  Extend(&first, 40);
  KvSequence second = first.Fork();
  EXPECT_EQ(pool->free_blocks(), 7);
  Table table;
  {
    auto reservation = second.Reserve(41, table);
    ASSERT_TRUE(reservation.ok());
    EXPECT_EQ(reservation->copy().from, first.blocks()[2]);
    EXPECT_EQ(reservation->copy().to, reservation->blocks()[2]);
    second.Commit(*std::move(reservation));
  }
  EXPECT_NE(second.blocks()[2], first.blocks()[2]);
  EXPECT_EQ(second.blocks()[1], first.blocks()[1]);
  EXPECT_EQ(pool->free_blocks(), 6);
  // The first now owns its last block alone: it writes in place.
  const auto reservation = first.Reserve(41, table);
  ASSERT_TRUE(reservation.ok());
  EXPECT_LT(reservation->copy().from, 0);
  EXPECT_EQ(pool->free_blocks(), 6);
}

TEST(KvSequenceTest, ADroppedReservationLeavesNoTrace) {
  const auto pool = Pool(10);
  KvSequence first(pool, kBlockTokens);
  Extend(&first, 20);
  KvSequence second = first.Fork();
  {
    Table table;
    const auto reservation = second.Reserve(60, table);
    ASSERT_TRUE(reservation.ok());
    EXPECT_EQ(pool->free_blocks(), 5);
    // Its sequence may go on meanwhile.
    second.Truncate(10);
  }
  EXPECT_EQ(second.blocks().size(), 1u);
  EXPECT_EQ(second.blocks()[0], first.blocks()[0]);
  EXPECT_EQ(pool->free_blocks(), 8);
  EXPECT_EQ(pool->references(first.blocks()[0]), 2);
  EXPECT_EQ(pool->references(first.blocks()[1]), 1);
}

// Random operations against a model that stores the token of each position by block: whatever the
// order, a sequence reads back what it wrote.
TEST(KvSequenceTest, SequencesKeepTheirContentWhateverTheOthersDo) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const auto pool = Pool(24);
  std::vector<KvSequence> sequences;
  std::vector<std::vector<int>> expected;
  std::map<BlockId, std::vector<int>> memory;
  sequences.emplace_back(pool, kBlockTokens);
  expected.emplace_back();
  const auto below = [&random](uint64_t n) { return static_cast<size_t>(random() % n); };
  for (int operation = 0; operation < 100000; ++operation) {
    const size_t i = below(sequences.size());
    KvSequence& sequence = sequences[i];
    switch (below(5)) {
      case 0:
      case 1: {
        const int64_t end = sequence.length() + 1 + static_cast<int64_t>(below(40));
        std::vector<BlockId> table(sequence.BlocksFor(end));
        auto reservation = sequence.Reserve(end, table);
        if (!reservation.ok()) break;
        const BlockCopy copy = reservation->copy();
        if (copy.from >= 0) memory[copy.to] = memory[copy.from];
        for (int64_t p = sequence.length(); p < end; ++p) {
          auto& block = memory[reservation->blocks()[static_cast<size_t>(p / kBlockTokens)]];
          block.resize(kBlockTokens);
          block[static_cast<size_t>(p % kBlockTokens)] = operation;
        }
        if (below(5) == 0) break;  // the step failed after it wrote
        expected[i].resize(static_cast<size_t>(end), operation);
        sequence.Commit(*std::move(reservation));
        break;
      }
      case 2: {
        const size_t length = below(static_cast<uint64_t>(sequence.length()) + 1);
        sequence.Truncate(static_cast<int64_t>(length));
        expected[i].resize(length);
        break;
      }
      case 3:
        if (sequences.size() < 6) {
          sequences.push_back(sequence.Fork());
          expected.push_back(expected[i]);
        }
        break;
      default:
        if (sequences.size() > 1 && i + 1 == sequences.size()) {
          sequences.pop_back();
          expected.pop_back();
        }
    }
    for (size_t s = 0; s < sequences.size(); ++s) {
      ASSERT_EQ(static_cast<size_t>(sequences[s].length()), expected[s].size());
      for (size_t p = 0; p < expected[s].size(); ++p) {
        ASSERT_EQ(memory[sequences[s].blocks()[p / kBlockTokens]][p % kBlockTokens], expected[s][p])
            << "operation " << operation << ", sequence " << s << ", position " << p;
      }
    }
  }
  sequences.clear();
  EXPECT_EQ(pool->free_blocks(), 24);
}

}  // namespace
}  // namespace llmcore::core
