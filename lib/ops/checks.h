// Preconditions that several operations share.
#ifndef LLMCORE_LIB_OPS_CHECKS_H_
#define LLMCORE_LIB_OPS_CHECKS_H_

#include <cmath>
#include <span>

#include "absl/strings/str_cat.h"
#include "lib/backend/backend.h"
#include "lib/base/status.h"

namespace llmcore::core {

inline absl::Status ShapeError(absl::string_view operation, absl::string_view what) {
  return absl::InternalError(absl::StrCat(operation, ": ", what));
}

// Leaves the enclosing operation with INTERNAL unless the shapes agree.
#define LLMCORE_CHECK_SHAPE(operation, condition) \
  do {                                            \
    if (!(condition)) [[unlikely]]                \
      return ShapeError(operation, #condition);   \
  } while (false)

// Every run lies inside its block table, and every block inside the cache.
inline absl::Status CheckBatch(absl::string_view operation, const Batch& batch,
                               const KvCache& cache, int32_t layer, int64_t rows) {
  LLMCORE_CHECK_SHAPE(operation, layer >= 0 && layer < cache.shape.layers);
  LLMCORE_CHECK_SHAPE(operation, batch.rows() == rows);
  LLMCORE_CHECK_SHAPE(
      operation, rows == 0 || batch.first_row.size() == static_cast<size_t>(batch.sequences()) + 1);
  for (int32_t s = 0; s < batch.sequences(); ++s) {
    const auto i = static_cast<size_t>(s);
    const int32_t count = batch.first_row[i + 1] - batch.first_row[i];
    const int64_t end = int64_t{batch.first_position[i]} + count;
    LLMCORE_CHECK_SHAPE(operation, count >= 0 && batch.first_position[i] >= 0);
    const int64_t blocks = (end + cache.shape.block_tokens - 1) / cache.shape.block_tokens;
    LLMCORE_CHECK_SHAPE(operation, blocks <= batch.block_table_stride);
    const size_t row = i * static_cast<size_t>(batch.block_table_stride);
    LLMCORE_CHECK_SHAPE(operation, row + static_cast<size_t>(blocks) <= batch.block_table.size());
    for (int64_t b = 0; b < blocks; ++b) {
      const int32_t block = batch.block_table[row + static_cast<size_t>(b)];
      LLMCORE_CHECK_SHAPE(operation, block >= 0 && block < cache.blocks);
    }
  }
  return absl::OkStatus();
}

inline absl::Status CheckTokens(std::span<const int32_t> tokens, int64_t vocabulary) {
  for (const int32_t token : tokens) {
    if (token < 0 || token >= vocabulary) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", token, " is outside the vocabulary of ", vocabulary, " entries"));
    }
  }
  return absl::OkStatus();
}

// Of `count` that there are.
inline absl::Status CheckRows(absl::string_view operation, std::span<const int32_t> rows,
                              int64_t count) {
  for (const int32_t row : rows) LLMCORE_CHECK_SHAPE(operation, row >= 0 && row < count);
  return absl::OkStatus();
}

inline absl::Status CheckDraws(absl::string_view operation, std::span<const TokenDraw> draws) {
  for (const TokenDraw& draw : draws) {
    LLMCORE_CHECK_SHAPE(operation, draw.temperature >= 0 && std::isfinite(draw.temperature));
    LLMCORE_CHECK_SHAPE(operation, draw.top_k >= 0);
    LLMCORE_CHECK_SHAPE(operation, draw.top_p >= 0 && draw.top_p <= 1);
    LLMCORE_CHECK_SHAPE(operation, draw.least_score <= 0);
    LLMCORE_CHECK_SHAPE(operation, draw.uniform >= 0 && draw.uniform < 1);
  }
  return absl::OkStatus();
}

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_OPS_CHECKS_H_
