// Which blocks of the KV cache hold which tokens: what the prefix cache finds blocks by.
//
// A full block is known by the block before it, its parent, and by the tokens of its positions; the
// first block of a sequence has a tenant in place of a parent. As a parent is one block that is
// known in the same way, equal keys mean equal tokens from the first on. Keys are compared in full:
// a hash only says where to look.
#ifndef LLMCORE_LIB_KV_PREFIX_INDEX_H_
#define LLMCORE_LIB_KV_PREFIX_INDEX_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::core {

using BlockId = int32_t;
inline constexpr BlockId kNoBlock = -1;

// Whose sequences may share blocks without knowing of each other. Sequences of different tenants
// never do: how fast a prompt is read would tell one what another has asked.
class CacheTenant {
 public:
  static constexpr size_t kMaxBytes = 64;

  CacheTenant() = default;  // the empty name
  // INVALID_ARGUMENT when `name` has more than kMaxBytes; any bytes will do.
  static absl::StatusOr<CacheTenant> From(absl::string_view name);

  absl::string_view name() const { return {bytes_.data(), size_}; }
  bool operator==(const CacheTenant&) const = default;

 private:
  std::array<char, kMaxBytes> bytes_{};
  uint8_t size_ = 0;
};

// Not thread-safe. Allocates nothing.
class PrefixIndex {
 public:
  struct Key {
    const CacheTenant& tenant;  // means nothing where there is a parent
    BlockId parent = kNoBlock;
    std::span<const int32_t> tokens;  // [block_tokens]
  };

  // Bytes of a node, which is at an address that is a multiple of 8.
  static uint64_t NodeBytes(int32_t block_tokens);

  // Of no blocks.
  PrefixIndex() = default;
  // Of `blocks` blocks, in nodes that begin every `stride` bytes from `nodes` on and outlive it.
  PrefixIndex(std::byte* nodes, uint64_t stride, int32_t blocks, int32_t block_tokens);

  BlockId Find(const Key& key) const;  // kNoBlock: none
  // Adds a block that is not indexed, under a key that is not either.
  void Insert(const Key& key, BlockId block);
  // Takes out a block that has no children.
  void Remove(BlockId block);

  bool Contains(BlockId block) const { return blocks_ > 0 && NodeOf(block).indexed; }
  int32_t children(BlockId block) const { return NodeOf(block).children; }
  // Of a block that is indexed.
  Key KeyOf(BlockId block) const;
  int32_t size() const { return size_; }
  bool enabled() const { return blocks_ > 0; }

 private:
  struct Node {
    size_t hash = 0;
    BlockId parent = kNoBlock;
    int32_t children = 0;
    BlockId bucket = kNoBlock;  // the first block of the bucket that has this node's number
    BlockId next = kNoBlock;    // in the block's own bucket
    bool indexed = false;
    CacheTenant tenant;
    // The tokens follow.
  };
  static constexpr uint64_t kTokens = (sizeof(Node) + 3) / 4 * 4;  // where

  static size_t Hash(const Key& key);
  Node& NodeOf(BlockId block) const {
    return *reinterpret_cast<Node*>(nodes_ + static_cast<uint64_t>(block) * stride_);
  }
  int32_t* TokensOf(BlockId block) const {
    return reinterpret_cast<int32_t*>(nodes_ + static_cast<uint64_t>(block) * stride_ + kTokens);
  }
  BlockId& Bucket(size_t hash) const {
    return NodeOf(static_cast<BlockId>(hash % static_cast<size_t>(blocks_))).bucket;
  }
  bool Matches(const Key& key, size_t hash, BlockId block) const;

  std::byte* nodes_ = nullptr;
  uint64_t stride_ = 0;
  int32_t blocks_ = 0;
  int32_t block_tokens_ = 0;
  int32_t size_ = 0;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_KV_PREFIX_INDEX_H_
