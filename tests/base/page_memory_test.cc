#include "lib/base/page_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace llmcore::core {
namespace {

TEST(PageArenaTest, PiecesOfAnySizeAreAlignedAndApart) {
  PageArena arena;
  std::vector<std::pair<char*, size_t>> pieces;
  size_t size = 1;
  for (int i = 0; i < 400; ++i) {
    size = (size * 7 + 3) % (i % 50 == 0 ? 5000000 : 3000);
    char* const piece = arena.Take<char>(size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(piece) % 16, 0u);
    std::memset(piece, i & 0x7F, size);
    pieces.emplace_back(piece, size);
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto [piece, bytes] = pieces[i];
    for (size_t at = 0; at < bytes; at += 97) ASSERT_EQ(piece[at], static_cast<char>(i & 0x7F));
    if (bytes > 0) {
      ASSERT_EQ(piece[bytes - 1], static_cast<char>(i & 0x7F));
    }
  }
}

TEST(PageArenaTest, MoreThanThereIsIsRefused) {
  PageArena arena;
  EXPECT_THROW(arena.Take<uint64_t>(SIZE_MAX / 4), std::bad_alloc);
  EXPECT_THROW(arena.Take<char>(SIZE_MAX - 4), std::bad_alloc);
  EXPECT_NE(arena.Take<char>(10), nullptr);
}

}  // namespace
}  // namespace llmcore::core
