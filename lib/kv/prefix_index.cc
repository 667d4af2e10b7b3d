#include "lib/kv/prefix_index.h"

#include <algorithm>
#include <new>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace llmcore::core {

absl::StatusOr<CacheTenant> CacheTenant::From(absl::string_view name) {
  if (name.size() > kMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the name of a cache tenant has ", name.size(),
                                                   " bytes, more than ", kMaxBytes));
  }
  CacheTenant tenant;
  std::copy(name.begin(), name.end(), tenant.bytes_.begin());
  tenant.size_ = static_cast<uint8_t>(name.size());
  return tenant;
}

uint64_t PrefixIndex::NodeBytes(int32_t block_tokens) {
  return kTokens + static_cast<uint64_t>(block_tokens) * sizeof(int32_t);
}

PrefixIndex::PrefixIndex(std::byte* nodes, uint64_t stride, int32_t blocks, int32_t block_tokens)
    : nodes_(nodes), stride_(stride), blocks_(blocks), block_tokens_(block_tokens) {
  for (BlockId block = 0; block < blocks; ++block) {
    new (&NodeOf(block)) Node;
    std::fill_n(TokensOf(block), block_tokens, 0);
  }
}

size_t PrefixIndex::Hash(const Key& key) {
  const absl::Span<const int32_t> tokens(key.tokens.data(), key.tokens.size());
  return key.parent == kNoBlock ? absl::HashOf(key.tenant.name(), tokens)
                                : absl::HashOf(key.parent, tokens);
}

bool PrefixIndex::Matches(const Key& key, size_t hash, BlockId block) const {
  const Node& node = NodeOf(block);
  return node.hash == hash && node.parent == key.parent &&
         (key.parent != kNoBlock || node.tenant == key.tenant) &&
         std::equal(key.tokens.begin(), key.tokens.end(), TokensOf(block));
}

BlockId PrefixIndex::Find(const Key& key) const {
  if (!enabled()) return kNoBlock;
  const size_t hash = Hash(key);
  BlockId block = Bucket(hash);
  while (block != kNoBlock && !Matches(key, hash, block)) block = NodeOf(block).next;
  return block;
}

void PrefixIndex::Insert(const Key& key, BlockId block) {
  Node& node = NodeOf(block);
  node.hash = Hash(key);
  node.parent = key.parent;
  node.children = 0;
  node.indexed = true;
  node.tenant = key.parent == kNoBlock ? key.tenant : CacheTenant();
  std::copy(key.tokens.begin(), key.tokens.end(), TokensOf(block));
  BlockId& bucket = Bucket(node.hash);
  node.next = bucket;
  bucket = block;
  if (key.parent != kNoBlock) ++NodeOf(key.parent).children;
  ++size_;
}

void PrefixIndex::Remove(BlockId block) {
  Node& node = NodeOf(block);
  BlockId* link = &Bucket(node.hash);
  while (*link != block) link = &NodeOf(*link).next;
  *link = node.next;
  node.next = kNoBlock;
  node.indexed = false;
  if (node.parent != kNoBlock) --NodeOf(node.parent).children;
  node.parent = kNoBlock;
  --size_;
}

PrefixIndex::Key PrefixIndex::KeyOf(BlockId block) const {
  const Node& node = NodeOf(block);
  return {node.tenant, node.parent, {TokensOf(block), static_cast<size_t>(block_tokens_)}};
}

}  // namespace llmcore::core
