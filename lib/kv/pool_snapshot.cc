#include "lib/kv/pool_snapshot.h"

#include <cstddef>
#include <set>
#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"

namespace llmcore::core {
namespace {

using Block = PoolSnapshot::Block;

absl::Status Broken(BlockId block, absl::string_view rule) {
  return absl::InternalError(absl::StrCat("KV block ", block, ": ", rule));
}

bool IsBlock(const PoolSnapshot& pool, BlockId block) {
  return block >= 0 && static_cast<size_t>(block) < pool.blocks.size();
}

absl::Status CheckLists(const PoolSnapshot& pool) {
  std::vector<bool> listed(pool.blocks.size(), false);
  for (const std::vector<BlockId>* list : {&pool.free, &pool.cached}) {
    for (const BlockId id : *list) {
      if (!IsBlock(pool, id)) return Broken(id, "no block has this number");
      const Block& block = pool.blocks[static_cast<size_t>(id)];
      if (listed[static_cast<size_t>(id)]) return Broken(id, "free or cached twice");
      if (block.references != 0) return Broken(id, "free or cached, and in use");
      if (block.indexed != (list == &pool.cached)) {
        return Broken(id, block.indexed ? "free, and indexed" : "cached, and not indexed");
      }
      listed[static_cast<size_t>(id)] = true;
    }
  }
  for (size_t i = 0; i < pool.blocks.size(); ++i) {
    const auto id = static_cast<BlockId>(i);
    if (pool.blocks[i].references < 0) return Broken(id, "released too often");
    if (pool.blocks[i].references == 0 && !listed[i]) return Broken(id, "lost");
  }
  return absl::OkStatus();
}

absl::Status CheckNode(const PoolSnapshot& pool, BlockId id, const Block& block) {
  if (!block.found) return Broken(id, "indexed where its key does not lead");
  if (block.parent == kNoBlock) return absl::OkStatus();
  if (!IsBlock(pool, block.parent) || !pool.blocks[static_cast<size_t>(block.parent)].indexed) {
    return Broken(id, "its parent is not indexed");
  }
  const Block& parent = pool.blocks[static_cast<size_t>(block.parent)];
  if (block.references > 0 && parent.references == 0) {
    return Broken(id, "in use, and its parent is not");
  }
  return absl::OkStatus();
}

absl::Status CheckIndex(const PoolSnapshot& pool) {
  std::vector<int32_t> children(pool.blocks.size(), 0);
  std::set<std::tuple<BlockId, std::string, std::vector<int32_t>>> keys;
  for (size_t i = 0; i < pool.blocks.size(); ++i) {
    const Block& block = pool.blocks[i];
    const auto id = static_cast<BlockId>(i);
    if (!block.indexed) continue;
    LLMCORE_RETURN_IF_ERROR(CheckNode(pool, id, block));
    const std::string tenant(block.parent == kNoBlock ? block.tenant.name() : "");
    if (!keys.emplace(block.parent, tenant, block.tokens).second) {
      return Broken(id, "another block has its key");
    }
    if (block.parent != kNoBlock) ++children[static_cast<size_t>(block.parent)];
    // Parents that lead back to a block would never end.
    BlockId ancestor = block.parent;
    for (size_t steps = 0; ancestor != kNoBlock; ++steps) {
      if (!IsBlock(pool, ancestor)) return Broken(id, "an ancestor is no block");
      if (steps > pool.blocks.size()) return Broken(id, "its own ancestor");
      ancestor = pool.blocks[static_cast<size_t>(ancestor)].parent;
    }
  }
  for (size_t i = 0; i < pool.blocks.size(); ++i) {
    if (pool.blocks[i].indexed && pool.blocks[i].children != children[i]) {
      return Broken(static_cast<BlockId>(i), "its children were miscounted");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOrder(const PoolSnapshot& pool) {
  std::vector<bool> seen(pool.blocks.size(), false);
  for (const BlockId id : pool.cached) {
    const BlockId parent = pool.blocks[static_cast<size_t>(id)].parent;
    if (parent != kNoBlock && seen[static_cast<size_t>(parent)]) {
      return Broken(id, "would be evicted after its parent");
    }
    seen[static_cast<size_t>(id)] = true;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckPool(const PoolSnapshot& pool) {
  LLMCORE_RETURN_IF_ERROR(CheckLists(pool));
  LLMCORE_RETURN_IF_ERROR(CheckIndex(pool));
  return CheckOrder(pool);
}

absl::Status CheckReferences(const PoolSnapshot& pool,
                             std::span<const std::span<const BlockId>> tables) {
  std::vector<int32_t> references(pool.blocks.size(), 0);
  for (const std::span<const BlockId> table : tables) {
    for (const BlockId id : table) {
      if (!IsBlock(pool, id)) return Broken(id, "no block has this number");
      ++references[static_cast<size_t>(id)];
    }
  }
  for (size_t i = 0; i < pool.blocks.size(); ++i) {
    if (pool.blocks[i].references != references[i]) {
      return Broken(static_cast<BlockId>(i),
                    absl::StrCat(pool.blocks[i].references, " references, and ", references[i],
                                 " tables hold it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace llmcore::core
