// From the formats and shapes of lib/backend to those of the kernels.
#ifndef LLMCORE_CUDA_SHAPES_H_
#define LLMCORE_CUDA_SHAPES_H_

#include <cstdint>
#include <limits>

#include "cuda/kernels/attention.h"
#include "cuda/kernels/kv_cache.h"
#include "cuda/layout.h"
#include "lib/backend/backend.h"
#include "lib/base/checked.h"

namespace llmcore::cuda {

inline Storage StorageOf(core::WeightFormat format) {
  switch (format) {
    case core::WeightFormat::kBf16:
      return Storage::kBf16;
    case core::WeightFormat::kF16:
      return Storage::kF16;
    case core::WeightFormat::kInt8:
      return Storage::kInt8;
    case core::WeightFormat::kInt4:
      return Storage::kInt4;
    case core::WeightFormat::kInt4Zeros:
      return Storage::kInt4Zeros;
    case core::WeightFormat::kAuto:
    case core::WeightFormat::kF32:
      break;
  }
  return Storage::kF32;
}

// Tiles of 16 rows of a plain weight, or of one half of a gated one.
inline int64_t RowTiles(int64_t rows) {
  return (rows + kTileRows - 1) / kTileRows;
}

// All tiles of a weight; the largest uint64_t where that does not fit, or where a kernel could not
// count its columns.
inline uint64_t WeightBytes(const core::WeightShape& shape) {
  constexpr uint64_t kTooLarge = std::numeric_limits<uint64_t>::max();
  constexpr int64_t kMost = (int64_t{1} << 31) - kGroup;
  if (shape.rows < 0 || shape.columns < 0 || shape.rows > kMost || shape.columns > kMost) {
    return kTooLarge;
  }
  const bool gated = shape.kind == core::WeightKind::kGated;
  const int64_t tiles = gated ? 2 * RowTiles(shape.rows / 2) : RowTiles(shape.rows);
  const int64_t row_bytes = Groups(shape.columns) * TileBytes(StorageOf(shape.format));
  return core::CheckedMultiply(static_cast<uint64_t>(tiles), static_cast<uint64_t>(row_bytes))
      .value_or(kTooLarge);
}

inline KvStorage KvStorageOf(core::KvFormat format) {
  switch (format) {
    case core::KvFormat::kBf16:
      return KvStorage::kBf16;
    case core::KvFormat::kF16:
      return KvStorage::kF16;
    case core::KvFormat::kInt8:
      return KvStorage::kInt8;
    case core::KvFormat::kInt4:
      return KvStorage::kInt4;
    case core::KvFormat::kAuto:
    case core::KvFormat::kF32:
      break;
  }
  return KvStorage::kF32;
}

inline int32_t TokenBytes(const core::KvShape& shape) {
  return (shape.head_dim * ElementBits(KvStorageOf(shape.format)) + 127) / 128 * 16;
}

// Tokens of a block, counted once for each head of the keys and of the values.
inline int64_t TokensOfHeads(const core::KvShape& shape) {
  return int64_t{2} * shape.kv_heads * shape.block_tokens;
}

inline int64_t BlockBytes(const core::KvShape& shape) {
  const int64_t parameters = IsQuantized(KvStorageOf(shape.format)) ? kKvParameterBytes : 0;
  return TokensOfHeads(shape) * (TokenBytes(shape) + parameters);
}

inline AttentionGrid GridOf(const core::KvShape& shape, int32_t heads) {
  return AttentionGrid(heads, shape.kv_heads, shape.head_dim, shape.block_tokens);
}

inline KvView ViewOf(const core::KvCache& cache, int32_t layer) {
  const int64_t block_bytes = BlockBytes(cache.shape);
  return {static_cast<unsigned char*>(cache.data) + layer * cache.blocks * block_bytes,
          block_bytes,
          cache.shape.block_tokens,
          cache.shape.kv_heads,
          cache.shape.head_dim,
          TokenBytes(cache.shape),
          TokensOfHeads(cache.shape) * TokenBytes(cache.shape)};
}

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_SHAPES_H_
