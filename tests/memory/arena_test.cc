#include "lib/memory/arena.h"

#include <gtest/gtest.h>

namespace llmcore::core {
namespace {

TEST(ArenaTest, MeasuringAndCuttingAgree) {
  Arena measured;
  for (const uint64_t bytes : {1, 64, 65, 0, 1000}) ASSERT_EQ(*measured.Take(bytes), nullptr);
  alignas(64) std::byte memory[64 + 64 + 128 + 1024];
  ASSERT_EQ(measured.used(), sizeof(memory));
  Arena cut(memory, sizeof(memory));
  const std::byte* expected = memory;
  for (const uint64_t bytes : {1, 64, 65, 0, 1000}) {
    EXPECT_EQ(*cut.Take(bytes), expected);
    expected += (bytes + 63) / 64 * 64;
  }
  EXPECT_EQ(cut.Take(1).status().code(), absl::StatusCode::kInternal);
}

TEST(ArenaTest, SizesThatOverflowAreRefused) {
  Arena arena;
  EXPECT_FALSE(arena.TakeArray<float>(uint64_t{1} << 62).ok());
  EXPECT_FALSE(arena.Take(~uint64_t{0}).ok());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(arena.Take(uint64_t{1} << 56).ok(), i < 2);
  EXPECT_FALSE(arena.Take(1).ok());
}

}  // namespace
}  // namespace llmcore::core
