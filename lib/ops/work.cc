#include "lib/ops/work.h"

#include <algorithm>

namespace llmcore::core {
namespace {

uint64_t Count(int64_t a, int64_t b = 1) {
  return static_cast<uint64_t>(a) * static_cast<uint64_t>(b);
}

uint64_t Bytes(const Matrix& matrix) {
  return Count(matrix.rows, matrix.columns) * sizeof(float);
}

// Keys and values of `positions` positions of one layer.
uint64_t KvBytes(const Backend& backend, const KvShape& shape, int64_t positions) {
  return backend.KvBlockBytes(shape) * Count(positions) / Count(shape.block_tokens);
}

OperationWork LinearWork(const Backend& backend, OperationKind kind, const Matrix& in,
                         const PackedWeight& weight, const Matrix& out) {
  OperationWork work;
  work.kind = kind;
  work.rows = in.rows;
  work.inputs = weight.shape.columns;
  work.outputs = weight.shape.rows;
  work.bytes = backend.PackedWeightBytes(weight.shape) + Bytes(in) + Bytes(out);
  work.ops = 2 * Count(in.rows) * Count(weight.shape.rows, weight.shape.columns);
  return work;
}

OperationWork CopyWork(const Backend& backend, OperationKind kind, const KvShape& shape,
                       size_t blocks) {
  OperationWork work;
  work.kind = kind;
  work.rows = static_cast<int64_t>(blocks) * shape.block_tokens;
  work.bytes = 2 * backend.KvBlockBytes(shape) * Count(shape.layers) * blocks;
  return work;
}

}  // namespace

OperationWork WorkOf(const Backend& backend, const EmbedParams& params) {
  OperationWork work;
  work.kind = OperationKind::kEmbed;
  work.rows = params.out.rows;
  const WeightShape& table = params.table.shape;
  if (table.rows > 0) {
    work.bytes = backend.PackedWeightBytes(table) / Count(table.rows) * Count(params.out.rows);
  }
  work.bytes += Bytes(params.out);
  return work;
}

OperationWork WorkOf(const Backend&, const NormParams& params) {
  OperationWork work;
  work.kind = OperationKind::kNorm;
  work.rows = params.in.rows;
  work.bytes = Bytes(params.in) + Bytes(params.out);
  work.ops = 4 * Count(params.in.rows, params.in.columns);  // square and sum; scale and weight
  return work;
}

OperationWork WorkOf(const Backend& backend, const LinearParams& params) {
  OperationWork work =
      LinearWork(backend, OperationKind::kLinear, params.in, params.weight, params.out);
  if (params.residual != nullptr) work.bytes += Bytes(params.out);
  return work;
}

OperationWork WorkOf(const Backend& backend, const LinearGatedParams& params) {
  return LinearWork(backend, OperationKind::kLinearGated, params.in, params.weight, params.out);
}

OperationWork WorkOf(const Backend& backend, const RopeAppendParams& params) {
  const KvShape& shape = params.cache.shape;
  const int64_t rotated = (int64_t{params.heads} + shape.kv_heads) * shape.head_dim;  // a row
  OperationWork work;
  work.kind = OperationKind::kRopeAppend;
  work.rows = params.qkv.rows;
  work.bytes = Bytes(params.qkv) +
               Count(params.qkv.rows, int64_t{params.heads} * shape.head_dim) * sizeof(float) +
               KvBytes(backend, shape, params.qkv.rows);
  work.ops = 3 * Count(params.qkv.rows, rotated);  // two products and their sum
  return work;
}

OperationWork WorkOf(const Backend& backend, const AttentionParams& params) {
  OperationWork work;
  work.kind = OperationKind::kAttention;
  work.rows = params.out.rows;
  int64_t positions = 0;  // read, of all sequences
  int64_t pairs = 0;      // of a row and a position that it sees
  const Batch& batch = params.batch;
  for (size_t s = 0; s < batch.first_position.size(); ++s) {
    const int64_t count = batch.first_row[s + 1] - batch.first_row[s];
    if (count == 0) continue;
    const int64_t first = batch.first_position[s];
    const int64_t end = first + count;
    const int64_t window = params.window > 0 ? params.window : end;
    positions += end - std::max<int64_t>(first + 1 - window, 0);
    // Rows at positions below `window` see all before them, the others `window`.
    const int64_t growing = std::clamp<int64_t>(window - first, 0, count);
    pairs += growing * first + growing * (growing + 1) / 2 + (count - growing) * window;
  }
  work.bytes = 2 * Bytes(params.out) + KvBytes(backend, params.cache.shape, positions);
  work.ops = 4 * Count(pairs, params.out.columns);  // q k^T and p v
  return work;
}

OperationWork WorkOf(const Backend&, const GatherRowsParams& params) {
  OperationWork work;
  work.kind = OperationKind::kGatherRows;
  work.rows = params.out.rows;
  work.bytes = 2 * Bytes(params.out);
  return work;
}

OperationWork WorkOf(const Backend& backend, const CopyBlocksParams& params) {
  return CopyWork(backend, OperationKind::kCopyBlocks, params.cache.shape, params.from.size());
}

OperationWork WorkOf(const Backend& backend, const SwapBlocksParams& params) {
  return CopyWork(backend, OperationKind::kSwapBlocks, params.cache.shape, params.blocks.size());
}

OperationWork WorkOf(const Backend&, const SampleParams& params) {
  OperationWork work;
  work.kind = OperationKind::kSample;
  work.rows = params.logits.rows;
  work.bytes = Bytes(params.logits);
  return work;
}

}  // namespace llmcore::core
