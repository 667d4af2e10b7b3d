#include "lib/base/index_table.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace llmcore::core {
namespace {

TEST(IndexTableTest, FindsWhatWasInsertedAndNothingElse) {
  std::mt19937_64 random(1);
  for (const size_t count : {1u, 2u, 3u, 100u, 5000u}) {
    IndexTable table(count);
    std::vector<uint64_t> hashes(count);
    for (size_t i = 0; i < count; ++i) {
      hashes[i] = random();
      table.Insert(hashes[i], static_cast<uint32_t>(i));
    }
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(table.Find(hashes[i], [i](uint32_t index) { return index == i; }), i);
      EXPECT_EQ(table.Find(hashes[i], [](uint32_t) { return false; }), IndexTable::kNone);
      EXPECT_EQ(table.Find(random(), [count](uint32_t index) { return index >= count; }),
                IndexTable::kNone);
    }
  }
}

TEST(IndexTableTest, EqualHashesAreToldApartByTheirItems) {
  for (const uint64_t hash : {uint64_t{0}, ~uint64_t{0}}) {  // the first slot, and the last
    IndexTable table(50);
    for (uint32_t i = 0; i < 50; ++i) table.Insert(hash, i);
    for (uint32_t i = 0; i < 50; ++i) {
      EXPECT_EQ(table.Find(hash, [i](uint32_t index) { return index == i; }), i);
    }
  }
}

TEST(IndexTableTest, OneWithoutRoomIsEmpty) {
  const IndexTable table;
  EXPECT_EQ(table.Find(7, [](uint32_t) { return true; }), IndexTable::kNone);
}

}  // namespace
}  // namespace llmcore::core
