#include "lib/base/repeated_mapping.h"

#include <gtest/gtest.h>

#include <cstring>
#include <utility>
#include <vector>

namespace llmcore::core {
namespace {

constexpr size_t kBlock = 65536;

std::vector<std::byte> MakeBlock() {
  std::vector<std::byte> block(kBlock);
  for (size_t i = 0; i < kBlock; ++i) block[i] = static_cast<std::byte>(i * 31 + (i >> 8));
  return block;
}

void ExpectRepeats(const RepeatedMapping& mapping, const std::vector<std::byte>& block) {
  for (size_t offset = 0; offset < mapping.bytes().size(); offset += kBlock) {
    ASSERT_EQ(std::memcmp(mapping.bytes().data() + offset, block.data(), kBlock), 0) << offset;
  }
}

TEST(RepeatedMappingTest, ShowsTheBlockOverAndOver) {
  const std::vector<std::byte> block = MakeBlock();
  for (const uint64_t bytes :
       {uint64_t{1}, uint64_t{kBlock}, uint64_t{kBlock + 1}, uint64_t{17 * kBlock}}) {
    auto mapping = RepeatedMapping::Create(block, bytes);
    ASSERT_TRUE(mapping.ok()) << mapping.status();
    EXPECT_GE(mapping->bytes().size(), bytes);
    EXPECT_LT(mapping->bytes().size(), bytes + kBlock);
    EXPECT_EQ(mapping->bytes().size() % kBlock, 0u);
    ExpectRepeats(*mapping, block);
  }
}

TEST(RepeatedMappingTest, WhatWasReleasedIsThereAgainWhenRead) {
  const std::vector<std::byte> block = MakeBlock();
  auto mapping = RepeatedMapping::Create(block, 4 * kBlock);
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{100}, uint64_t{3 * kBlock}, UINT64_MAX}) {
    mapping->Release(bytes);
    ExpectRepeats(*mapping, block);
  }
  const RepeatedMapping moved = *std::move(mapping);
  EXPECT_EQ(moved.bytes().size(), 4 * kBlock);
  ExpectRepeats(moved, block);
}

TEST(RepeatedMappingTest, TooMuchAddressSpaceIsAnError) {
  EXPECT_FALSE(RepeatedMapping::Create(MakeBlock(), uint64_t{1} << 62).ok());
}

}  // namespace
}  // namespace llmcore::core
