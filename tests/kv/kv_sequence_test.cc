#include "lib/kv/kv_sequence.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>
#include <vector>

namespace llmcore::core {
namespace {

constexpr int32_t kBlockTokens = 16;

// `places`: for blocks that are swapped out.
std::shared_ptr<KvSequences> Sequences(int32_t blocks, int32_t places = 0) {
  return std::make_shared<KvSequences>(
      std::make_shared<BlockPool>(blocks, /*block_bytes=*/100), kBlockTokens,
      places == 0 ? nullptr : std::make_unique<BlockPool>(places, /*block_bytes=*/100));
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
  const auto all = Sequences(10);
  {
    KvSequence sequence(all);
    Extend(&sequence, 1);
    EXPECT_EQ(sequence.blocks().size(), 1u);
    Extend(&sequence, 16);
    EXPECT_EQ(sequence.blocks().size(), 1u);
    Extend(&sequence, 33);
    EXPECT_EQ(sequence.blocks().size(), 3u);
    sequence.Truncate(16);
    EXPECT_EQ(sequence.blocks().size(), 1u);
    sequence.Truncate(0);
    EXPECT_EQ(all->pool().free_blocks(), 10);
    Extend(&sequence, 40);
  }
  EXPECT_EQ(all->pool().free_blocks(), 10);
}

TEST(KvSequenceTest, AFailedReservationChangesNothing) {
  const auto all = Sequences(3);
  KvSequence sequence(all);
  Extend(&sequence, 20);
  const std::vector<BlockId> before(sequence.blocks().begin(), sequence.blocks().end());
  Table table;
  const absl::Status status = sequence.Reserve(100, table).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(BytesNeeded(status), 400u);  // 7 blocks, of which it has 2 and 1 is free
  EXPECT_EQ(std::vector<BlockId>(sequence.blocks().begin(), sequence.blocks().end()), before);
  EXPECT_EQ(sequence.length(), 20);
  EXPECT_EQ(all->pool().free_blocks(), 1);
}

TEST(KvSequenceTest, AForkCopiesOnlyTheBlockThatIsWritten) {
  const auto all = Sequences(10);
  KvSequence first(all);
  Extend(&first, 40);
  KvSequence second = first.Fork();
  EXPECT_EQ(all->pool().free_blocks(), 7);
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
  EXPECT_EQ(all->pool().free_blocks(), 6);
  // The first now owns its last block alone: it writes in place.
  const auto reservation = first.Reserve(41, table);
  ASSERT_TRUE(reservation.ok());
  EXPECT_LT(reservation->copy().from, 0);
  EXPECT_EQ(all->pool().free_blocks(), 6);
}

TEST(KvSequenceTest, ADroppedReservationLeavesNoTrace) {
  const auto all = Sequences(10);
  KvSequence first(all);
  Extend(&first, 20);
  KvSequence second = first.Fork();
  {
    Table table;
    const auto reservation = second.Reserve(60, table);
    ASSERT_TRUE(reservation.ok());
    EXPECT_EQ(all->pool().free_blocks(), 5);
    // Its sequence may go on meanwhile.
    second.Truncate(10);
  }
  EXPECT_EQ(second.blocks().size(), 1u);
  EXPECT_EQ(second.blocks()[0], first.blocks()[0]);
  EXPECT_EQ(all->pool().free_blocks(), 8);
  EXPECT_EQ(all->pool().references(first.blocks()[0]), 2);
  EXPECT_EQ(all->pool().references(first.blocks()[1]), 1);
}

// Takes the blocks of a sequence for another, which has none.
void Take(const std::shared_ptr<KvSequences>& all, int32_t blocks) {
  KvSequence other(all);
  other.BeginRequest(0);
  ASSERT_TRUE(all->MakeRoom(other, int64_t{blocks} * kBlockTokens, /*urgent=*/false));
}

TEST(KvSequenceTest, BlocksThatAreTakenGoToTheHostAndComeBack) {
  const auto all = Sequences(4, 3);
  KvSequence sequence(all);
  Extend(&sequence, 60);
  const std::vector<BlockId> before(sequence.blocks().begin(), sequence.blocks().end());
  Take(all, 2);
  EXPECT_EQ(sequence.length(), 60);
  EXPECT_EQ(sequence.blocks().size(), 2u);
  ASSERT_EQ(sequence.swapped_blocks().size(), 2u);
  // From the last to the first.
  EXPECT_EQ(std::vector<BlockId>(all->swap_out_blocks().begin(), all->swap_out_blocks().end()),
            (std::vector<BlockId>{before[3], before[2]}));
  EXPECT_EQ(all->swap_out_places()[0], sequence.swapped_blocks()[1]);
  EXPECT_EQ(all->swap_out_places()[1], sequence.swapped_blocks()[0]);
  all->SettleSwapOut(/*copied=*/true);
  EXPECT_TRUE(all->swap_out_blocks().empty());
  EXPECT_EQ(all->swap_statistics().out_blocks, 2);
  EXPECT_EQ(all->swap_statistics().free_blocks, 1);
  ASSERT_TRUE(all->CheckInvariants().ok()) << all->CheckInvariants();
  {
    Table table;
    auto reservation = sequence.Reserve(61, table);
    ASSERT_TRUE(reservation.ok()) << reservation.status();
    EXPECT_EQ(reservation->swapped_in().size(), 2u);
    EXPECT_EQ(reservation->swapped_in()[0], reservation->blocks()[2]);
    EXPECT_LT(reservation->copy().from, 0);
  }
  EXPECT_EQ(sequence.swapped_blocks().size(), 2u);  // as it was
  Extend(&sequence, 61);
  EXPECT_EQ(sequence.blocks().size(), 4u);
  EXPECT_TRUE(sequence.swapped_blocks().empty());
  EXPECT_EQ(all->swap_statistics().in_blocks, 2);
  EXPECT_EQ(all->swap_statistics().free_blocks, 3);
  EXPECT_EQ(all->swap_statistics().dropped_blocks, 0);
}

TEST(KvSequenceTest, TheFirstOfTheBlocksThatAreTakenGetThePlaces) {
  const auto all = Sequences(6, 2);
  KvSequence sequence(all);
  Extend(&sequence, 6 * kBlockTokens);
  Take(all, 3);  // blocks 3 to 5, of which 5 finds no place
  EXPECT_EQ(sequence.length(), 5 * kBlockTokens);
  EXPECT_EQ(sequence.swapped_blocks().size(), 2u);
  EXPECT_EQ(all->swap_statistics().dropped_blocks, 1);
  all->SettleSwapOut(/*copied=*/true);
  Take(all, 5);  // 1 and 2 come before those that have the places
  EXPECT_EQ(sequence.length(), 3 * kBlockTokens);
  EXPECT_EQ(sequence.blocks().size(), 1u);
  EXPECT_EQ(sequence.swapped_blocks().size(), 2u);
  EXPECT_EQ(all->swap_statistics().dropped_blocks, 3);
  EXPECT_EQ(all->swap_statistics().free_blocks, 0);
  all->SettleSwapOut(/*copied=*/true);
  ASSERT_TRUE(all->CheckInvariants().ok()) << all->CheckInvariants();
}

TEST(KvSequenceTest, BlocksThatWereNotCopiedAreComputedAgain) {
  const auto all = Sequences(4, 4);
  KvSequence sequence(all);
  Extend(&sequence, 60);
  Take(all, 1);
  all->SettleSwapOut(/*copied=*/true);
  Take(all, 3);
  KvSequence fork = sequence.Fork();
  all->SettleSwapOut(/*copied=*/false);
  for (const KvSequence* const one : {&sequence, &fork}) {
    EXPECT_EQ(one->length(), kBlockTokens);
    EXPECT_EQ(one->blocks().size(), 1u);
    EXPECT_TRUE(one->swapped_blocks().empty());
  }
  EXPECT_EQ(all->swap_statistics().free_blocks, 4);
  ASSERT_TRUE(all->CheckInvariants().ok()) << all->CheckInvariants();
}

TEST(KvSequenceTest, BlocksThatOthersHoldAreNotSwappedOut) {
  const auto all = Sequences(6, 6);
  KvSequence first(all);
  Extend(&first, 40);
  KvSequence second = first.Fork();
  Extend(&second, 60);  // shares two blocks, has two
  // Of the one that comes first, what is shared is lost, and so what follows it.
  Take(all, 6);
  EXPECT_EQ(first.length(), 0);
  EXPECT_EQ(second.length(), 60);
  EXPECT_EQ(second.swapped_blocks().size(), 4u);
  EXPECT_EQ(all->swap_statistics().dropped_blocks, 3);
  all->SettleSwapOut(/*copied=*/true);
  ASSERT_TRUE(all->CheckInvariants().ok()) << all->CheckInvariants();
}

TEST(KvSequenceTest, PlacesAreGivenBack) {
  const auto all = Sequences(4, 4);
  const auto free_places = [&] { return all->swap_statistics().free_blocks; };
  {
    KvSequence sequence(all);
    Extend(&sequence, 60);
    Take(all, 4);
    all->SettleSwapOut(/*copied=*/true);
    EXPECT_EQ(free_places(), 0);
    KvSequence fork = sequence.Fork();
    EXPECT_EQ(free_places(), 0);
    sequence.Truncate(40);
    EXPECT_EQ(sequence.length(), 40);
    EXPECT_EQ(sequence.swapped_blocks().size(), 3u);
    EXPECT_EQ(free_places(), 0);  // the fork has it
    fork.Truncate(33);
    EXPECT_EQ(free_places(), 1);
    fork.Truncate(32);
    EXPECT_EQ(free_places(), 1);
    sequence.Truncate(0);
    EXPECT_EQ(free_places(), 2);
    Extend(&fork, 33);  // brings its blocks back
    EXPECT_EQ(free_places(), 4);
    Take(all, 4);
    all->SettleSwapOut(/*copied=*/true);
    EXPECT_EQ(free_places(), 1);
  }
  EXPECT_EQ(free_places(), 4);
  EXPECT_EQ(all->pool().free_blocks(), 4);
}

// Sanitizers, which builds with assertions have, make everything ten times slower.
#ifdef NDEBUG
constexpr int kOperations = 100000;
#else
constexpr int kOperations = 10000;
#endif

// A sequence, and what a reference without blocks says that it holds.
struct Modelled {
  KvSequence kv;
  std::vector<int> content;  // by position: the operation that wrote it
  bool waiting = false;
  bool pinned = false;
};

// Random operations against that reference, and a memory that stores what was written by block,
// and likewise by place in the host's memory: whatever the order, a sequence reads back what it
// wrote, but for an end that it lost to another.
class RandomOperations {
 public:
  RandomOperations(uint64_t seed, int32_t places) : random_(seed), all_(Sequences(24, places)) {
    Add(KvSequence(all_));
  }

  void Run(int operation) {
    const size_t i = Below(sequences_.size());
    Modelled& one = sequences_[i];
    switch (Below(9)) {
      case 0:
      case 1:
      case 2:
        return Write(&one, operation);
      case 3: {
        if (one.pinned) return;
        const size_t length = Below(one.content.size() + 1);
        one.kv.Truncate(static_cast<int64_t>(length));
        one.content.resize(length);
        return;
      }
      case 4:
        if (sequences_.size() < 6) Add(one.kv.Fork(), one.content);
        return;
      case 5:
        if (sequences_.size() > 1 && i + 1 == sequences_.size()) sequences_.pop_back();
        return;
      case 6:
        one.waiting = !one.waiting;
        if (one.waiting) {
          one.kv.BeginRequest(static_cast<int64_t>(Below(3)) * 64 - 64);
        } else {
          one.kv.EndRequest();
          one.pinned = false;
        }
        return;
      case 7:
        one.pinned = !one.pinned;
        one.kv.SetPinned(one.pinned);
        return;
      default:
        one.kv.SetReplying(Below(2) == 0);
        all_->NextStep();
    }
  }

  void Check(int operation) {
    const absl::Status invariants = all_->CheckInvariants();
    ASSERT_TRUE(invariants.ok()) << "operation " << operation << ": " << invariants;
    for (size_t s = 0; s < sequences_.size(); ++s) {
      const Modelled& one = sequences_[s];
      ASSERT_EQ(static_cast<size_t>(one.kv.length()), one.content.size()) << "sequence " << s;
      std::vector<const std::vector<int>*> stored;
      for (const BlockId block : one.kv.blocks()) stored.push_back(&memory_[block]);
      for (const BlockId place : one.kv.swapped_blocks()) stored.push_back(&host_[place]);
      for (size_t p = 0; p < one.content.size(); ++p) {
        ASSERT_EQ((*stored[p / kBlockTokens])[p % kBlockTokens], one.content[p])
            << "operation " << operation << ", sequence " << s << ", position " << p;
      }
    }
  }

  void EndAll() { sequences_.clear(); }
  int32_t free_blocks() const { return all_->pool().free_blocks(); }
  SwapStatistics swap() const { return all_->swap_statistics(); }
  int preemptions() const { return preemptions_; }

 private:
  size_t Below(uint64_t n) { return static_cast<size_t>(random_() % n); }
  void Add(KvSequence kv, std::vector<int> content = {}) {
    sequences_.push_back({std::move(kv), std::move(content)});
  }

  void Write(Modelled* one, int operation) {
    const auto length = static_cast<int64_t>(one->content.size());
    const int64_t end = length + 1 + static_cast<int64_t>(Below(40));
    if (Below(2) == 0) MakeRoom(one, end);
    std::vector<BlockId> table(one->kv.BlocksFor(end));
    auto reservation = one->kv.Reserve(end, table);
    if (!reservation.ok()) return;
    const std::span<const BlockId> places = one->kv.swapped_blocks();
    ASSERT_EQ(places.size(), reservation->swapped_in().size());
    for (size_t i = 0; i < places.size(); ++i) {
      memory_[reservation->swapped_in()[i]] = host_[places[i]];
    }
    const BlockCopy copy = reservation->copy();
    if (copy.from >= 0) memory_[copy.to] = memory_[copy.from];
    for (int64_t p = length; p < end; ++p) {
      auto& block = memory_[reservation->blocks()[static_cast<size_t>(p / kBlockTokens)]];
      block.resize(kBlockTokens);
      block[static_cast<size_t>(p % kBlockTokens)] = operation;
    }
    if (Below(5) == 0) return;  // the step failed after it wrote
    one->content.resize(static_cast<size_t>(end), operation);
    one->kv.Commit(*std::move(reservation));
  }

  void MakeRoom(Modelled* claimant, int64_t end) {
    const bool made = all_->MakeRoom(claimant->kv, end, Below(2) == 0);
    const bool copied = Below(4) != 0;  // or else the step failed before
    for (size_t i = 0; copied && i < all_->swap_out_blocks().size(); ++i) {
      host_[all_->swap_out_places()[i]] = memory_[all_->swap_out_blocks()[i]];
    }
    const bool swapped = !all_->swap_out_blocks().empty();
    all_->SettleSwapOut(copied);
    ASSERT_TRUE(made || !swapped);
    for (Modelled& other : sequences_) {
      const auto length = static_cast<size_t>(other.kv.length());
      if (length == other.content.size()) continue;
      ++preemptions_;
      ASSERT_TRUE(made);
      ASSERT_FALSE(other.pinned);
      ASSERT_NE(&other, claimant);
      ASSERT_LT(length, other.content.size());
      other.content.resize(length);
    }
    if (!made) return;
    std::vector<BlockId> table(claimant->kv.BlocksFor(end));
    ASSERT_TRUE(claimant->kv.Reserve(end, table).ok());  // as promised; given back at once
  }

  std::mt19937_64 random_;
  const std::shared_ptr<KvSequences> all_;
  std::vector<Modelled> sequences_;
  std::map<BlockId, std::vector<int>> memory_;
  std::map<BlockId, std::vector<int>> host_;
  int preemptions_ = 0;
};

TEST(KvSequenceTest, SequencesKeepTheirContentWhateverTheOthersDo) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  for (const int32_t places : {0, 3, 12}) {
    SCOPED_TRACE(testing::Message() << places << " places in the host's memory");
    RandomOperations operations(seed, places);
    for (int operation = 0; operation < kOperations; ++operation) {
      operations.Run(operation);
      operations.Check(operation);
      if (HasFatalFailure()) return;
    }
    EXPECT_GT(operations.preemptions(), kOperations / 1000);
    if (places > 0) {
      EXPECT_GT(operations.swap().out_blocks, kOperations / 1000);
      EXPECT_GT(operations.swap().in_blocks, kOperations / 1000);
    }
    operations.EndAll();
    EXPECT_EQ(operations.free_blocks(), 24);
    EXPECT_EQ(operations.swap().free_blocks, places);
  }
}

}  // namespace
}  // namespace llmcore::core
