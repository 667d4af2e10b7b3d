#ifndef LLMCORE_CUDA_KERNELS_ATTENTION_H_
#define LLMCORE_CUDA_KERNELS_ATTENTION_H_

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "cuda/kernels/kv_cache.h"
#include "cuda/layout.h"

namespace llmcore::cuda {

// Positions of one softmax update, aligned to absolute positions: the lanes of a warp.
constexpr int kKeyTile = 32;
// Positions that are summed apart and then merged in order, whether one block does all of them or
// each has its own. Long enough that merging costs nothing beside reading 512 keys.
constexpr int kSplitPositions = 512;
constexpr int kTilesASplit = kSplitPositions / kKeyTile;
// Rows of a step up to which splits go to different blocks: beyond, rows and heads are enough.
constexpr int kSplitRows = 64;

constexpr int kAttentionThreads = 128;
constexpr int kAttentionItems = 8;  // four dimensions of a query each: the accumulators of a thread
constexpr int kMostQueries = 32;

// What a block has of a step, by the shape of the model alone.
struct AttentionTile {
  AttentionTile(int group, int head_dim) {
    const int quads = (head_dim + 3) / 4;
    const int queries = std::clamp(kAttentionThreads * kAttentionItems / quads, 1, kMostQueries);
    heads = std::min(group, queries);
    rows = std::clamp(queries / heads, 1, 16);
    head_groups = (group + heads - 1) / heads;
  }
  int heads;        // query heads of one KV head
  int rows;         // consecutive rows of one sequence
  int head_groups;  // blocks that the query heads of a KV head take
};

// What attention wants to know of a step beside its batch.
struct AttentionGrid {
  AttentionGrid(int heads, int kv_heads, int head_dim, int kv_block_tokens)
      : tile(heads / kv_heads, head_dim),
        head_blocks(kv_heads * tile.head_groups),
        block_tokens(kv_block_tokens) {}
  // Blocks whose splits are merged by the last of them; none where there is nothing to split.
  int32_t Mergers(int32_t rows, int32_t tiles) const {
    return rows <= kSplitRows ? tiles * head_blocks : 0;
  }
  AttentionTile tile;
  int head_blocks;
  int block_tokens;
};

// Splits for sequences of at most so many positions: a power of two, so that a growing sequence
// seldom has other launches. Those behind its end have nothing to do.
constexpr int32_t SplitsOf(int64_t positions) {
  int32_t splits = 1;
  while (splits * int64_t{kSplitPositions} < positions) splits *= 2;
  return splits;
}

// The largest head that the accumulators of a block can hold.
constexpr int kMostHeadDim = kAttentionThreads * kAttentionItems * 4;

struct AttentionKernelParams {
  const float* q;  // [rows, q_stride]
  int64_t q_stride;
  float* out;  // [rows, heads * head_dim]
  int32_t heads;
  int32_t group;  // query heads of a KV head
  int32_t tile_heads;
  int32_t tile_rows;
  int32_t head_groups;
  float scale;
  int32_t window;  // 0: none
  KvStorage storage;
  KvView kv;
  BatchView batch;
  // Splits: 1 block a tile of rows that merges its own, or that many which write
  // [splits][rows][heads][2 + head_dim] to `partial`: maximum, sum, accumulators; the last of them
  // to be done merges all.
  int32_t splits;
  float* partial;
  int32_t stages;  // of keys and values in shared memory, 1 or 2
};

constexpr int64_t PartialFloats(int64_t splits, int64_t rows, int64_t heads, int64_t head_dim) {
  return splits * rows * heads * (2 + head_dim);
}

size_t AttentionSharedBytes(const AttentionKernelParams& params);
cudaError_t LaunchAttention(const AttentionKernelParams& params, cudaStream_t stream);

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_ATTENTION_H_
