// What attention over one chunk of keys comes to for a query, how the chunks of a row are joined,
// and which keys a row sees. Included by a kernel_set only.
//
// A record is [head_dim rounded up to 16] weighted sums of values, [16] lanes of the sum of
// weights, [16] lanes of what the zeros of quantized values took part with, and the maximum that
// all of them are relative to.
#ifndef LLMCORE_LIB_CPU_KERNELS_ATTENTION_RECORD_H_
#define LLMCORE_LIB_CPU_KERNELS_ATTENTION_RECORD_H_

#include "lib/cpu/kernels.h"
#include "lib/cpu/kernels/simd.h"

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

// After the sums.
constexpr int64_t kRecordOffset = 16;
constexpr int64_t kRecordMaximum = 32;

// A run of positions inside a tile.
struct KeyRange {
  int64_t begin;
  int64_t end;
};

// The first position that the row may see.
LLMCORE_INLINE int64_t FirstKey(const AttentionArgs& a, int64_t row) {
  const int64_t end = a.position + row + 1;
  return a.window > 0 && end > a.window ? end - a.window : 0;
}

LLMCORE_INLINE KeyRange RangeInTile(const AttentionArgs& a, int64_t row, int64_t tile) {
  const int64_t begin = FirstKey(a, row) - tile;
  const int64_t end = a.position + row + 1 - tile;
  return {begin > 0 ? begin : 0, end < kKeyTile ? end : kKeyTile};
}

LLMCORE_INLINE void ClearRecord(float* record, int64_t width) {
  __builtin_memset(record, 0, static_cast<size_t>(width + kRecordMaximum) * sizeof(float));
  record[width + kRecordMaximum] = -__builtin_inff();
}

// Joins the record of a chunk to those of the chunks before, of which a row sees as many as lie
// between its first key and its own position.
LLMCORE_INLINE void MergeRecord(const AttentionArgs& a, int64_t row, int64_t chunk,
                                const float* record, float* merged) {
  const int64_t first = FirstKey(a, row) / kKeyChunk;
  if (chunk < first || chunk * kKeyChunk > a.position + row) return;
  const int64_t width = RoundUp16(a.head_dim);
  if (chunk == first) {
    __builtin_memcpy(merged, record,
                     static_cast<size_t>(AttentionRecordFloats(a.head_dim)) * sizeof(float));
    return;
  }
  const float before = merged[width + kRecordMaximum];
  const float now = record[width + kRecordMaximum];
  const float maximum = before > now ? before : now;
  const F32 keep = Exp2<5>(Set(before - maximum));
  const F32 take = Exp2<5>(Set(now - maximum));
  for (int64_t d = 0; d < width + kRecordMaximum; d += kLanes) {
    Store(merged + d, Fma(Load(record + d), take, Load(merged + d) * keep));
  }
  merged[width + kRecordMaximum] = maximum;
}

LLMCORE_INLINE void WriteRecord(const AttentionArgs& a, int64_t query, const float* record) {
  const int64_t width = RoundUp16(a.head_dim);
  float* out = a.out + query / a.group * a.out_stride + query % a.group * a.head_dim;
  const F32 factor = Set(1.0f / Sum(Load(record + width)));
  const F32 offset = Set(Sum(Load(record + width + kRecordOffset)));
  for (int64_t d = 0; d < a.head_dim; d += kLanes) {
    const F32 v = (Load(record + d) - offset) * factor;
    if (d + kLanes <= a.head_dim) {
      Store(out + d, v);
    } else {
      StoreFirst(out + d, v, a.head_dim - d);
    }
  }
}

// a.records holds those of all chunks of the row: [chunk - a.chunk][group].
void MergeChunks(const AttentionArgs& a) {
  const int64_t floats = AttentionRecordFloats(a.head_dim);
  for (int64_t i = 0; i < a.group; ++i) {
    for (int64_t chunk = a.chunk; chunk * kKeyChunk <= a.position; ++chunk) {
      const float* record = a.records + ((chunk - a.chunk) * a.group + i) * floats;
      MergeRecord(a, 0, chunk, record, a.scratch);
    }
    WriteRecord(a, i, a.scratch);
  }
}

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_ATTENTION_RECORD_H_
