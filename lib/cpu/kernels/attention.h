// Attention of a few rows of one sequence over the paged cache of one KV head. Included by a
// kernel_set only.
//
// The queries are the rows times the query heads of the group, all of which read the same keys.
// Keys are visited in tiles of 64 positions that begin at multiples of 64, whatever the rows:
//
//   scores[query][64]   per tile: sum over d in order, one lane a key      (K: [16 keys] side by
//   side) maximum, sum        online softmax, one update a tile accumulator[d]      += p[key] *
//   V[key][d], keys in order               (V: rows of d)
//
// A query takes exactly the keys that it may see and the same steps whichever other queries are
// present, so prefill and decode give the same bits. Keys outside are never multiplied in, only
// masked: what a reused page still holds cannot reach a result.
#ifndef LLMCORE_LIB_CPU_KERNELS_ATTENTION_H_
#define LLMCORE_LIB_CPU_KERNELS_ATTENTION_H_

#include "lib/cpu/kernels.h"
#include "lib/cpu/kernels/simd.h"

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

struct F32Cache {
  using Element = float;
  static LLMCORE_INLINE F32 LoadElements(const Element* p) { return Load(p); }
};

struct Bf16Cache {
  using Element = uint16_t;
  static LLMCORE_INLINE F32 LoadElements(const Element* p) { return LoadBf16(p); }
};

// A run of positions inside a tile.
struct KeyRange {
  int64_t begin;
  int64_t end;
};

// The state of one call in its scratch memory.
struct AttentionState {
  int64_t queries;
  int64_t width;   // head_dim rounded up to 16
  float* q;        // [queries][width]
  float* sums;     // [queries][width]
  float* scores;   // [queries][64]
  float* maximum;  // [queries]
  float* total;    // [queries]
};

LLMCORE_INLINE AttentionState MakeState(const AttentionArgs& a) {
  AttentionState s;
  s.queries = a.rows * a.group;
  s.width = RoundUp16(a.head_dim);
  s.q = a.scratch;
  s.sums = s.q + s.queries * s.width;
  s.scores = s.sums + s.queries * s.width;
  s.maximum = s.scores + s.queries * kKeyTile;
  s.total = s.maximum + RoundUp16(s.queries);
  for (int64_t i = 0; i < s.queries; ++i) {
    const float* q = a.q + i / a.group * a.q_stride + i % a.group * a.head_dim;
    __builtin_memcpy(s.q + i * s.width, q, static_cast<size_t>(a.head_dim) * sizeof(float));
    s.maximum[i] = -__builtin_inff();
    s.total[i] = 0;
  }
  __builtin_memset(s.sums, 0, static_cast<size_t>(s.queries * s.width) * sizeof(float));
  return s;
}

// The first position that the row may see.
LLMCORE_INLINE int64_t FirstKey(const AttentionArgs& a, int64_t row) {
  const int64_t end = a.position + row + 1;
  return a.window > 0 && end > a.window ? end - a.window : 0;
}

LLMCORE_INLINE KeyRange RangeInTile(const AttentionArgs& a, int64_t query, int64_t tile) {
  const int64_t row = query / a.group;
  const int64_t begin = FirstKey(a, row) - tile;
  const int64_t end = a.position + row + 1 - tile;
  return {begin > 0 ? begin : 0, end < kKeyTile ? end : kKeyTile};
}

// The keys (or values) of the 16 positions from `position` on.
template <typename Cache>
LLMCORE_INLINE const typename Cache::Element* KeyGroup(const AttentionArgs& a, int64_t position) {
  const unsigned char* block =
      a.kv.layer + a.blocks[position / a.kv.block_tokens] * a.kv.block_bytes + a.kv.key_offset;
  const auto* keys = reinterpret_cast<const typename Cache::Element*>(block);
  return keys + position % a.kv.block_tokens * a.head_dim;
}
template <typename Cache>
LLMCORE_INLINE const typename Cache::Element* ValueGroup(const AttentionArgs& a, int64_t position) {
  const unsigned char* block =
      a.kv.layer + a.blocks[position / a.kv.block_tokens] * a.kv.block_bytes + a.kv.value_offset;
  const auto* values = reinterpret_cast<const typename Cache::Element*>(block);
  return values + position % a.kv.block_tokens * a.kv.value_stride;
}

// scores[t][16 g + ...] = q[t] . k for T queries and G groups of 16 keys.
template <typename Cache, int T, int G>
LLMCORE_INLINE void ScoreTile(const float* q, int64_t q_stride, int64_t head_dim,
                              const typename Cache::Element* const* keys, float* scores) {
  constexpr int kVectors = static_cast<int>(kKeyGroup) / kLanes;
  F32 sum[T][G][kVectors];
  LLMCORE_UNROLL
  for (int t = 0; t < T; ++t) {
    LLMCORE_UNROLL
    for (int g = 0; g < G; ++g) {
      LLMCORE_UNROLL
      for (int v = 0; v < kVectors; ++v) sum[t][g][v] = F32{};
    }
  }
  for (int64_t d = 0; d < head_dim; ++d) {
    F32 k[G][kVectors];
    LLMCORE_UNROLL
    for (int g = 0; g < G; ++g) {
      LLMCORE_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        k[g][v] = Cache::LoadElements(keys[g] + d * kKeyGroup + v * kLanes);
      }
    }
    LLMCORE_UNROLL
    for (int t = 0; t < T; ++t) {
      const F32 x = Set(q[t * q_stride + d]);
      LLMCORE_UNROLL
      for (int g = 0; g < G; ++g) {
        LLMCORE_UNROLL
        for (int v = 0; v < kVectors; ++v) sum[t][g][v] = Fma(x, k[g][v], sum[t][g][v]);
      }
    }
  }
  LLMCORE_UNROLL
  for (int t = 0; t < T; ++t) {
    LLMCORE_UNROLL
    for (int g = 0; g < G; ++g) {
      LLMCORE_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        Store(scores + t * kKeyTile + g * kKeyGroup + v * kLanes, sum[t][g][v]);
      }
    }
  }
}

// Queries of one pass: 6 tokens x 4 groups of 512 bits, or one group of narrower vectors.
constexpr int kScoreQueries = kLanes == 4 ? 3 : 6;

// Scores of all queries for the groups of the tile that hold a position in [first, last).
template <typename Cache>
LLMCORE_INLINE void ScoreQueries(const AttentionArgs& a, const AttentionState& s, int64_t tile,
                                 int64_t first, int64_t last) {
  constexpr int kGroups = static_cast<int>(kKeyTile / kKeyGroup);
  const typename Cache::Element* keys[kGroups];
  bool wanted[kGroups];
  bool all = true;
  for (int g = 0; g < kGroups; ++g) {
    const int64_t begin = tile + g * kKeyGroup;
    wanted[g] = begin < last && begin + kKeyGroup > first;
    all = all && wanted[g];
    keys[g] = wanted[g] ? KeyGroup<Cache>(a, begin) : nullptr;
  }
  for (int64_t i = 0; i < s.queries; i += kScoreQueries) {
    const float* q = s.q + i * s.width;
    float* scores = s.scores + i * kKeyTile;
    const int64_t left = s.queries - i;
    WithCount(left < kScoreQueries ? left : kScoreQueries, [&](auto t) {
      if constexpr (kLanes == 16) {
        if (all) return ScoreTile<Cache, t.value, 4>(q, s.width, a.head_dim, keys, scores);
      }
      for (int g = 0; g < kGroups; ++g) {
        if (!wanted[g]) continue;
        ScoreTile<Cache, t.value, 1>(q, s.width, a.head_dim, keys + g, scores + g * kKeyGroup);
      }
    });
  }
}

// Turns the scores of one query into weights relative to the running maximum and rescales what was
// summed before.
LLMCORE_INLINE void UpdateSoftmax(const AttentionState& s, int64_t query, KeyRange range,
                                  float scale) {
  constexpr int kVectors = static_cast<int>(kKeyTile) / kLanes;
  float* scores = s.scores + query * kKeyTile;
  const F32 none = Set(-__builtin_inff());
  const I32 begin = SetI32(static_cast<int32_t>(range.begin));
  const I32 end = SetI32(static_cast<int32_t>(range.end));
  F32 score[kVectors];
  F32 largest = none;
  LLMCORE_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    const I32 key = LaneNumbers() + v * kLanes;
    const I32 seen = (I32)(key >= begin) & (I32)(key < end);
    score[v] = Select(seen, Load(scores + v * kLanes) * Set(scale), none);
    largest = Max(score[v], largest);
  }
  const float tile_maximum = Largest(largest);
  const float old_maximum = s.maximum[query];
  const float maximum = old_maximum > tile_maximum ? old_maximum : tile_maximum;
  F32 sum = {};
  LLMCORE_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    const F32 p = Exp(score[v] - Set(maximum));
    Store(scores + v * kLanes, p);
    sum += p;
  }
  s.maximum[query] = maximum;
  if (maximum == old_maximum) {
    s.total[query] += Sum(sum);
    return;
  }
  const F32 correction = Exp(Set(old_maximum - maximum));
  s.total[query] = s.total[query] * correction[0] + Sum(sum);
  float* sums = s.sums + query * s.width;
  for (int64_t d = 0; d < s.width; d += kLanes) Store(sums + d, Load(sums + d) * correction);
}

// sums[t][d] += p[t][key] * V[key][d] over the keys of the range, for T queries and V vectors of d.
template <typename Cache, int T, int V>
LLMCORE_INLINE void ValueTile(const AttentionArgs& a, int64_t tile, KeyRange range,
                              const float* weights, int64_t d, int64_t width, float* sums) {
  F32 sum[T][V];
  LLMCORE_UNROLL
  for (int t = 0; t < T; ++t) {
    LLMCORE_UNROLL
    for (int v = 0; v < V; ++v) sum[t][v] = Load(sums + t * width + v * kLanes);
  }
  for (int64_t key = range.begin; key < range.end;) {
    const int64_t group = key / kKeyGroup * kKeyGroup;
    const int64_t end = group + kKeyGroup < range.end ? group + kKeyGroup : range.end;
    const auto* values = ValueGroup<Cache>(a, tile + group) + (key - group) * a.kv.value_stride + d;
    for (; key < end; ++key, values += a.kv.value_stride) {
      F32 value[V];
      LLMCORE_UNROLL
      for (int v = 0; v < V; ++v) value[v] = Cache::LoadElements(values + v * kLanes);
      LLMCORE_UNROLL
      for (int t = 0; t < T; ++t) {
        const F32 p = Set(weights[t * kKeyTile + key]);
        LLMCORE_UNROLL
        for (int v = 0; v < V; ++v) sum[t][v] = Fma(p, value[v], sum[t][v]);
      }
    }
  }
  LLMCORE_UNROLL
  for (int t = 0; t < T; ++t) {
    LLMCORE_UNROLL
    for (int v = 0; v < V; ++v) Store(sums + t * width + v * kLanes, sum[t][v]);
  }
}

template <typename Cache>
LLMCORE_INLINE void AddValues(const AttentionArgs& a, const AttentionState& s, int64_t tile) {
  constexpr int kMost = kLanes == 16 ? 4 : 2;
  for (int64_t i = 0; i < s.queries;) {
    const KeyRange range = RangeInTile(a, i, tile);
    int64_t n = 1;
    while (n < kScoreQueries && i + n < s.queries) {
      const KeyRange next = RangeInTile(a, i + n, tile);
      if (next.begin != range.begin || next.end != range.end) break;
      ++n;
    }
    const float* weights = s.scores + i * kKeyTile;
    float* sums = s.sums + i * s.width;
    WithCount(n, [&](auto t) {
      int64_t d = 0;
      for (; d + kMost * kLanes <= s.width; d += kMost * kLanes) {
        ValueTile<Cache, t.value, kMost>(a, tile, range, weights, d, s.width, sums + d);
      }
      for (; d < s.width; d += kLanes) {
        ValueTile<Cache, t.value, 1>(a, tile, range, weights, d, s.width, sums + d);
      }
    });
    i += n;
  }
}

LLMCORE_INLINE void WriteAttention(const AttentionArgs& a, const AttentionState& s) {
  for (int64_t i = 0; i < s.queries; ++i) {
    float* out = a.out + i / a.group * a.out_stride + i % a.group * a.head_dim;
    const F32 factor = Set(1.0f / s.total[i]);
    for (int64_t d = 0; d < a.head_dim; d += kLanes) {
      const F32 v = Load(s.sums + i * s.width + d) * factor;
      if (d + kLanes <= a.head_dim) {
        Store(out + d, v);
      } else {
        StoreFirst(out + d, v, a.head_dim - d);
      }
    }
  }
}

template <typename Cache>
void Attention(const AttentionArgs& a) {
  const AttentionState s = MakeState(a);
  const int64_t first = FirstKey(a, 0);
  const int64_t last = a.position + a.rows;
  for (int64_t tile = first / kKeyTile * kKeyTile; tile < last; tile += kKeyTile) {
    ScoreQueries<Cache>(a, s, tile, first, last);
    for (int64_t i = 0; i < s.queries; ++i) {
      const KeyRange range = RangeInTile(a, i, tile);
      if (range.begin < range.end) UpdateSoftmax(s, i, range, a.scale);
    }
    AddValues<Cache>(a, s, tile);
  }
  WriteAttention(a, s);
}

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_ATTENTION_H_
