// The state of a block pool as plain values, and what has to hold for it: for tests and debug
// builds.
#ifndef LLMCORE_LIB_KV_POOL_SNAPSHOT_H_
#define LLMCORE_LIB_KV_POOL_SNAPSHOT_H_

#include <cstdint>
#include <span>
#include <vector>

#include "lib/base/status.h"
#include "lib/kv/prefix_index.h"

namespace llmcore::core {

struct PoolSnapshot {
  struct Block {
    int32_t references = 0;
    bool indexed = false;
    // Of blocks that are indexed:
    bool found = false;  // by a search for its own key
    int32_t children = 0;
    BlockId parent = kNoBlock;
    CacheTenant tenant;
    std::vector<int32_t> tokens;
  };
  std::vector<Block> blocks;  // by id
  std::vector<BlockId> free;
  std::vector<BlockId> cached;  // the least recently used first
};

// INTERNAL with the first rule that is broken: each block is in use, cached or free, and nothing of
// it twice; indexed blocks have keys that nobody else has and that find them, and parents that are
// indexed and in use if they are; cached blocks follow their children.
absl::Status CheckPool(const PoolSnapshot& pool);

// INTERNAL unless the references of each block are as many as there are tables that hold it. A
// table is the blocks of a sequence, or those that a reservation took for it.
absl::Status CheckReferences(const PoolSnapshot& pool,
                             std::span<const std::span<const BlockId>> tables);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_KV_POOL_SNAPSHOT_H_
