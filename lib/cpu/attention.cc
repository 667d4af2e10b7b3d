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

// Index of a KV format in a kernel table.
size_t KernelOf(KvFormat format) {
  static_assert(static_cast<int>(KvFormat::kF32) == 1 && static_cast<int>(KvFormat::kBf16) == 2 &&
                static_cast<int>(KvFormat::kF16) == 3 && static_cast<int>(KvFormat::kInt8) == 4 &&
                static_cast<int>(KvFormat::kInt4) == kKvFormats);
  return static_cast<size_t>(format) - 1;
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

// The first row at or after `row` whose position begins a group of 16, or whose run it begins.
int64_t NextGroup(const Batch& batch, int64_t row) {
  const int64_t rows = batch.rows();
  if (row >= rows) return rows;
  const int64_t sequence = SequenceOf(batch, row);
  const auto s = static_cast<size_t>(sequence);
  if (row == batch.first_row[s]) return row;
  const int64_t in_group = PositionOf(batch, sequence, row) % kKeyGroup;
  if (in_group == 0) return row;
  return std::min<int64_t>(row + kKeyGroup - in_group, batch.first_row[s + 1]);
}

// One call of Attention. A piece is a few rows of the step times the query heads of one KV head;
// the rows of a piece that belong to one sequence read its keys together.
class AttentionCall {
 public:
  AttentionCall(const core::AttentionParams& params, const KernelTable& kernels, int threads)
      : p_(params),
        kernels_(kernels),
        layout_(params.cache.shape),
        blocks_(LayerBlocks(params.cache, layout_.block_bytes, params.layer)),
        kv_heads_(params.cache.shape.kv_heads),
        head_dim_(params.cache.shape.head_dim),
        group_(params.heads / kv_heads_),
        least_pieces_(threads == 1 ? 1 : int64_t{kPiecesPerThread} * threads) {
    // A row alone where each is a sequence of its own; else as many as make the most of a tile of
    // keys, unless threads would go without.
    const int64_t most = std::max<int64_t>(1, kAttentionQueries / group_);
    const bool decode = p_.out.rows == p_.batch.sequences();
    rows_ = decode ? 1 : std::clamp<int64_t>(p_.out.rows * kv_heads_ / least_pieces_, 1, most);
    for (int64_t row = 0; rows_ == 1 && row < p_.out.rows; ++row) {
      chunks_ = std::max(chunks_, LastChunk(row) - FirstChunk(row) + 1);
    }
  }

  int64_t pieces() const { return (p_.out.rows + rows_ - 1) / rows_ * kv_heads_; }
  uint64_t thread_bytes() const { return AttentionThreadBytes(rows_ * group_, head_dim_); }

  void Attend(int64_t piece, float* scratch) const {
    const int64_t first = piece / kv_heads_ * rows_;
    const int64_t last = std::min(p_.out.rows, first + rows_);
    for (int64_t row = first; row < last;) {
      const auto sequence = static_cast<size_t>(SequenceOf(p_.batch, row));
      const int64_t end = std::min<int64_t>(last, p_.batch.first_row[sequence + 1]);
      kernel()(Args(piece % kv_heads_, row, end - row, scratch));
      row = end;
    }
  }

  // Single rows whose pieces are too few for the threads can be cut into their chunks of keys,
  // which the kernel would otherwise take one after the other.
  bool ShouldSplit() const { return rows_ == 1 && pieces() < least_pieces_ && chunks_ > 1; }
  int64_t chunk_pieces() const { return pieces() * chunks_; }
  uint64_t record_bytes() const {
    return static_cast<uint64_t>(pieces()) * AttentionRecordBytes(chunks_, group_, head_dim_);
  }

  void AttendChunk(int64_t piece, float* scratch, unsigned char* records) const {
    const int64_t row = piece / chunks_ / kv_heads_;
    const int64_t chunk = FirstChunk(row) + piece % chunks_;
    if (chunk > LastChunk(row)) return;
    AttentionArgs args = Args(piece / chunks_ % kv_heads_, row, 1, scratch);
    args.chunk = chunk;
    args.records = RecordsOf(piece / chunks_, records) +
                   piece % chunks_ * group_ * AttentionRecordFloats(head_dim_);
    kernel()(args);
  }

  void Merge(int64_t piece, float* scratch, unsigned char* records) const {
    const int64_t row = piece / kv_heads_;
    AttentionArgs args = Args(piece % kv_heads_, row, 1, scratch);
    args.chunk = FirstChunk(row);
    args.records = RecordsOf(piece, records);
    kernels_.merge_chunks(args);
  }

 private:
  // So many that a thread which is late holds up the others by a fraction of the whole.
  static constexpr int kPiecesPerThread = 4;

  void (*kernel() const)(const AttentionArgs&) {
    return kernels_.attention[KernelOf(p_.cache.shape.format)];
  }

  int64_t Position(int64_t row) const {
    return PositionOf(p_.batch, SequenceOf(p_.batch, row), row);
  }
  int64_t FirstChunk(int64_t row) const {
    const int64_t end = Position(row) + 1;
    return p_.window > 0 && end > p_.window ? (end - p_.window) / kKeyChunk : 0;
  }
  int64_t LastChunk(int64_t row) const { return Position(row) / kKeyChunk; }

  float* RecordsOf(int64_t piece, unsigned char* records) const {
    return reinterpret_cast<float*>(records + static_cast<uint64_t>(piece) *
                                                  AttentionRecordBytes(chunks_, group_, head_dim_));
  }

  AttentionArgs Args(int64_t head, int64_t row, int64_t rows, float* scratch) const {
    const int64_t first_query = head * group_ * head_dim_;
    return {.q = p_.qkv.data + row * p_.qkv.columns + first_query,
            .q_stride = p_.qkv.columns,
            .rows = rows,
            .group = group_,
            .head_dim = head_dim_,
            .position = Position(row),
            .scale = p_.scale,
            .window = p_.window,
            .kv = layout_.Head(blocks_, head),
            .blocks = BlocksOf(p_.batch, SequenceOf(p_.batch, row)),
            .out = p_.out.data + row * p_.out.columns + first_query,
            .out_stride = p_.out.columns,
            .scratch = scratch,
            .chunk = 0,
            .records = nullptr};
  }

  const core::AttentionParams& p_;
  const KernelTable& kernels_;
  KvLayout layout_;
  const unsigned char* blocks_;
  int64_t kv_heads_;
  int64_t head_dim_;
  int64_t group_;         // query heads of a KV head
  int64_t least_pieces_;  // that keep all threads busy to the end
  int64_t rows_ = 1;      // of a piece
  int64_t chunks_ = 0;    // of keys that a row sees, at most; where rows_ is 1
};

}  // namespace

absl::Status CpuBackend::RopeAppend(const core::StepContext& context,
                                    const core::RopeAppendParams& p) {
  const KvShape& shape = p.cache.shape;
  if (p.qkv.rows == 0 || shape.kv_heads == 0) return absl::OkStatus();
  const KvLayout layout(shape);
  const int64_t head_dim = shape.head_dim;
  LLMCORE_ASSIGN_OR_RETURN(
      const Workspace workspace,
      Workspace::Cut(context.workspace, 0, AttentionThreadBytes(1, head_dim), pool_->threads()));
  unsigned char* blocks = LayerBlocks(p.cache, layout.block_bytes, p.layer);
  const auto append_head = kernels_.append[KernelOf(shape.format)];

  const auto rotate = [&](float* head, const float* norm, int64_t row) {
    kernels_.rope({.in = head,
                   .norm = norm,
                   .epsilon = p.norm_epsilon,
                   .cos_sin = p.cos_sin != nullptr ? p.cos_sin + row * head_dim : nullptr,
                   .head_dim = head_dim,
                   .out = head});
  };
  const auto append = [&](int64_t row, int thread) {
    float* q = p.qkv.data + row * p.qkv.columns;
    float* k = q + p.heads * head_dim;
    const float* v = k + shape.kv_heads * head_dim;
    const int64_t sequence = SequenceOf(p.batch, row);
    const int64_t position = PositionOf(p.batch, sequence, row);
    unsigned char* block =
        blocks + BlocksOf(p.batch, sequence)[position / shape.block_tokens] * layout.block_bytes;
    for (int64_t head = 0; head < p.heads; ++head) rotate(q + head * head_dim, p.q_norm, row);
    for (int64_t head = 0; head < shape.kv_heads; ++head) {
      rotate(k + head * head_dim, p.k_norm, row);
      append_head({.key = k + head * head_dim,
                   .value = v + head * head_dim,
                   .head_dim = head_dim,
                   .slot = position % shape.block_tokens,
                   .block = block,
                   .kv = layout.Head(blocks, head),
                   .scratch = reinterpret_cast<uint32_t*>(workspace.thread(thread))});
    }
  };
  // Tokens of one group of keys share bytes of the cache, so one thread writes them all: a turn
  // takes the groups that begin in it.
  const int64_t rows_per_turn =
      std::clamp<int64_t>(p.qkv.rows / (int64_t{4} * pool_->threads()), 1, kKeyGroup);
  return pool_->ParallelFor(p.qkv.rows, rows_per_turn, context.cancel,
                            [&](int64_t begin, int64_t end, int thread) {
                              const int64_t last = NextGroup(p.batch, end);
                              for (int64_t row = NextGroup(p.batch, begin); row < last; ++row) {
                                append(row, thread);
                              }
                            });
}

absl::Status CpuBackend::Attention(const core::StepContext& context,
                                   const core::AttentionParams& p) {
  if (p.out.rows == 0 || p.cache.shape.kv_heads == 0) return absl::OkStatus();
  const int threads = pool_->threads();
  const AttentionCall call(p, kernels_, threads);
  // Many rows of long contexts may have no room for their chunks; some threads then go without.
  const uint64_t room = context.workspace.size();
  const uint64_t split_bytes =
      call.record_bytes() + call.thread_bytes() * static_cast<uint64_t>(threads);
  const bool split = call.ShouldSplit() && split_bytes <= room;
  LLMCORE_ASSIGN_OR_RETURN(const Workspace workspace,
                           Workspace::Cut(context.workspace, split ? call.record_bytes() : 0,
                                          call.thread_bytes(), threads));
  const auto for_pieces = [&](int64_t count, auto work) {
    return pool_->ParallelFor(count, 1, context.cancel,
                              [&](int64_t begin, int64_t end, int thread) {
                                for (int64_t piece = begin; piece < end; ++piece) {
                                  work(piece, workspace.thread(thread));
                                }
                              });
  };
  if (!split) {
    return for_pieces(call.pieces(),
                      [&](int64_t piece, float* scratch) { call.Attend(piece, scratch); });
  }
  LLMCORE_RETURN_IF_ERROR(for_pieces(call.chunk_pieces(), [&](int64_t piece, float* scratch) {
    call.AttendChunk(piece, scratch, workspace.shared());
  }));
  return for_pieces(call.pieces(), [&](int64_t piece, float* scratch) {
    call.Merge(piece, scratch, workspace.shared());
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
