// RopeAppend, Attention and CopyBlocks: everything that touches the KV cache.
#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "lib/cpu/cpu_backend.h"
#include "lib/cpu/kernels.h"
#include "lib/cpu/kv_layout.h"
#include "lib/cpu/workspace.h"
#include "lib/tensor/float16.h"

namespace llmcore::cpu {
namespace {

using core::Batch;
using core::KvFormat;
using core::KvShape;

absl::Status CheckKvFormat(KvFormat format) {
  if (format == KvFormat::kF32 || format == KvFormat::kBf16) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat("a KV cache in ", core::KvFormatName(format), " on the CPU"));
}

// The sequence that owns a row of the step.
int64_t SequenceOf(const Batch& batch, int64_t row) {
  const auto after = std::upper_bound(batch.first_row.begin(), batch.first_row.end(), row);
  return after - batch.first_row.begin() - 1;
}

int64_t PositionOf(const Batch& batch, int64_t sequence, int64_t row) {
  const auto s = static_cast<size_t>(sequence);
  return batch.first_position[s] + (row - batch.first_row[s]);
}

const int32_t* BlocksOf(const Batch& batch, int64_t sequence) {
  return batch.block_table.data() + sequence * batch.block_table_stride;
}

// The key and value of one head at one slot of a block.
template <typename Element, typename Convert>
void WriteHead(const float* key, const float* value, int64_t head_dim, int64_t slot,
               unsigned char* keys, unsigned char* values, int64_t value_stride, Convert convert) {
  auto* k =
      reinterpret_cast<Element*>(keys) + slot / kKeyGroup * kKeyGroup * head_dim + slot % kKeyGroup;
  auto* v = reinterpret_cast<Element*>(values) + slot * value_stride;
  for (int64_t d = 0; d < head_dim; ++d) k[d * kKeyGroup] = convert(key[d]);
  for (int64_t d = 0; d < head_dim; ++d) v[d] = convert(value[d]);
  for (int64_t d = head_dim; d < value_stride; ++d) v[d] = Element{0};
}

}  // namespace

absl::Status CpuBackend::RopeAppend(const core::StepContext& context,
                                    const core::RopeAppendParams& p) {
  const KvShape& shape = p.cache.shape;
  LLMCORE_RETURN_IF_ERROR(CheckKvFormat(shape.format));
  const KvLayout layout(shape);
  const int64_t head_dim = shape.head_dim;
  unsigned char* blocks = LayerBlocks(p.cache, layout.block_bytes, p.layer);

  const auto rotate = [&](float* head, const float* norm, int64_t row) {
    kernels_.rope({.in = head,
                   .norm = norm,
                   .epsilon = p.norm_epsilon,
                   .cos_sin = p.cos_sin != nullptr ? p.cos_sin + row * head_dim : nullptr,
                   .head_dim = head_dim,
                   .out = head});
  };
  const auto append = [&](int64_t row) {
    float* q = p.qkv.data + row * p.qkv.columns;
    float* k = q + p.heads * head_dim;
    const float* v = k + shape.kv_heads * head_dim;
    const int64_t sequence = SequenceOf(p.batch, row);
    const int64_t position = PositionOf(p.batch, sequence, row);
    const int64_t slot = position % shape.block_tokens;
    unsigned char* block =
        blocks + BlocksOf(p.batch, sequence)[position / shape.block_tokens] * layout.block_bytes;
    for (int64_t head = 0; head < p.heads; ++head) rotate(q + head * head_dim, p.q_norm, row);
    for (int64_t head = 0; head < shape.kv_heads; ++head) {
      float* key = k + head * head_dim;
      const float* value = v + head * head_dim;
      rotate(key, p.k_norm, row);
      unsigned char* keys = block + layout.KeyOffset(head);
      unsigned char* values = block + layout.ValueOffset(head);
      if (shape.format == KvFormat::kF32) {
        WriteHead<float>(key, value, head_dim, slot, keys, values, layout.value_stride,
                         [](float x) { return x; });
      } else {
        WriteHead<uint16_t>(key, value, head_dim, slot, keys, values, layout.value_stride,
                            core::F32ToBf16);
      }
    }
  };
  constexpr int64_t kRowsPerTurn = 4;
  return pool_->ParallelFor(p.qkv.rows, kRowsPerTurn, context.cancel,
                            [&](int64_t begin, int64_t end, int) {
                              for (int64_t row = begin; row < end; ++row) append(row);
                            });
}

// A piece is a few rows of the step times the query heads of one KV head; the rows of a piece that
// belong to one sequence read its keys together.
absl::Status CpuBackend::Attention(const core::StepContext& context,
                                   const core::AttentionParams& p) {
  const KvShape& shape = p.cache.shape;
  LLMCORE_RETURN_IF_ERROR(CheckKvFormat(shape.format));
  if (p.out.rows == 0 || shape.kv_heads == 0) return absl::OkStatus();
  const KvLayout layout(shape);
  const int64_t head_dim = shape.head_dim;
  const int64_t group = p.heads / shape.kv_heads;
  const int64_t rows_per_piece = std::max<int64_t>(1, kAttentionQueries / group);
  const int64_t tiles = (p.out.rows + rows_per_piece - 1) / rows_per_piece;
  LLMCORE_ASSIGN_OR_RETURN(
      const Workspace workspace,
      Workspace::Cut(context.workspace, 0, AttentionThreadBytes(rows_per_piece * group, head_dim),
                     pool_->threads()));
  const unsigned char* blocks = LayerBlocks(p.cache, layout.block_bytes, p.layer);
  const auto kernel =
      shape.format == KvFormat::kF32 ? kernels_.attention_f32 : kernels_.attention_bf16;

  const auto attend = [&](int64_t piece, int thread) {
    const int64_t head = piece % shape.kv_heads;
    const int64_t last = std::min(p.out.rows, (piece / shape.kv_heads + 1) * rows_per_piece);
    for (int64_t row = piece / shape.kv_heads * rows_per_piece; row < last;) {
      const int64_t sequence = SequenceOf(p.batch, row);
      const int64_t end =
          std::min<int64_t>(last, p.batch.first_row[static_cast<size_t>(sequence) + 1]);
      kernel({.q = p.qkv.data + row * p.qkv.columns + head * group * head_dim,
              .q_stride = p.qkv.columns,
              .rows = end - row,
              .group = group,
              .head_dim = head_dim,
              .position = PositionOf(p.batch, sequence, row),
              .scale = p.scale,
              .window = p.window,
              .kv = {.layer = blocks,
                     .block_bytes = layout.block_bytes,
                     .block_tokens = shape.block_tokens,
                     .key_offset = layout.KeyOffset(head),
                     .value_offset = layout.ValueOffset(head),
                     .value_stride = layout.value_stride},
              .blocks = BlocksOf(p.batch, sequence),
              .out = p.out.data + row * p.out.columns + head * group * head_dim,
              .out_stride = p.out.columns,
              .scratch = workspace.thread(thread)});
      row = end;
    }
  };
  return pool_->ParallelFor(tiles * shape.kv_heads, 1, context.cancel,
                            [&](int64_t begin, int64_t end, int thread) {
                              for (int64_t piece = begin; piece < end; ++piece) {
                                attend(piece, thread);
                              }
                            });
}

absl::Status CpuBackend::CopyBlocks(const core::StepContext& context,
                                    const core::CopyBlocksParams& p) {
  const auto bytes = static_cast<int64_t>(KvBlockBytes(p.cache.shape));
  if (bytes == 0) return absl::OkStatus();
  const auto pairs = static_cast<int64_t>(std::min(p.from.size(), p.to.size()));
  return pool_->ParallelFor(
      pairs * p.cache.shape.layers, 1, context.cancel, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) {
          unsigned char* layer = LayerBlocks(p.cache, bytes, i / pairs);
          const auto pair = static_cast<size_t>(i % pairs);
          std::memcpy(layer + p.to[pair] * bytes, layer + p.from[pair] * bytes,
                      static_cast<size_t>(bytes));
        }
      });
}

}  // namespace llmcore::cpu
