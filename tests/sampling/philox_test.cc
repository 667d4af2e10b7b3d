#include "lib/sampling/philox.h"

#include <gtest/gtest.h>

#include <set>

namespace llmcore::core {
namespace {

using Counter = std::array<uint32_t, 4>;

// Published with Random123 (kat_vectors, philox4x32 10); the last has the digits of pi.
static_assert(Philox4x32({0, 0, 0, 0}, {0, 0}) ==
              Counter{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8});
static_assert(Philox4x32({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF},
                         {0xFFFFFFFF, 0xFFFFFFFF}) ==
              Counter{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD});
static_assert(Philox4x32({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344},
                         {0xA4093822, 0x299F31D0}) ==
              Counter{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1});

TEST(PhiloxTest, DrawTakesTheFirstTwoWords) {
  EXPECT_EQ(UniformDraw({0, 0, 0}), static_cast<double>(0xE169C58D6627E8D5u >> 11) * 0x1p-53);
}

TEST(PhiloxTest, EveryBitOfTheKeyChangesTheDraw) {
  std::set<double> draws = {UniformDraw({})};
  for (int bit = 0; bit < 64; ++bit) {
    draws.insert(UniformDraw({uint64_t{1} << bit, 0, 0}));
    draws.insert(UniformDraw({0, uint64_t{1} << bit, 0}));
    draws.insert(UniformDraw({0, 0, uint64_t{1} << bit}));
  }
  EXPECT_EQ(draws.size(), 1u + 3 * 64);
  EXPECT_GE(*draws.begin(), 0);
  EXPECT_LT(*draws.rbegin(), 1);
}

}  // namespace
}  // namespace llmcore::core
