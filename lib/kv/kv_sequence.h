// The KV cache of one sequence: a block table, and how many positions of it are computed.
#ifndef LLMCORE_LIB_KV_KV_SEQUENCE_H_
#define LLMCORE_LIB_KV_KV_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "lib/base/status.h"
#include "lib/kv/block_pool.h"

namespace llmcore::core {

// Blocks that a write has to copy first, because another sequence shares them.
struct BlockCopy {
  BlockId from;
  BlockId to;
};

// Used by one thread at a time. Several sequences may share blocks of one pool.
class KvSequence {
 public:
  KvSequence(std::shared_ptr<BlockPool> pool, int32_t block_tokens)
      : pool_(std::move(pool)), block_tokens_(block_tokens) {}
  KvSequence(KvSequence&&) = default;
  KvSequence& operator=(KvSequence&&) = delete;
  ~KvSequence();

  std::span<const BlockId> blocks() const { return blocks_; }
  int64_t length() const { return length_; }  // computed positions
  int32_t block_tokens() const { return block_tokens_; }

  // Prepares writes to positions [length, end): allocates blocks, and replaces a shared block that
  // holds position `length` by a new one. The caller copies what `copy` names (its `from` is < 0
  // when there is nothing to copy), writes, and then calls Commit(end); or Rollback(), which leaves
  // everything as it was before Reserve. On failure everything is as it was.
  absl::Status Reserve(int64_t end, BlockCopy* copy);
  void Commit(int64_t end);
  void Rollback();

  // Keeps the first `length` positions (no effect if there are fewer) and frees the blocks behind.
  void Truncate(int64_t length);

  // A sequence with the same blocks, all shared.
  KvSequence Fork() const;

 private:
  std::shared_ptr<BlockPool> pool_;
  const int32_t block_tokens_;
  std::vector<BlockId> blocks_;
  int64_t length_ = 0;
  // Between Reserve and Commit or Rollback.
  size_t blocks_before_ = 0;
  BlockCopy pending_copy_{-1, -1};
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_KV_KV_SEQUENCE_H_
