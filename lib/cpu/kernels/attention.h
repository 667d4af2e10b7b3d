// Attention of a few rows of one sequence over the paged cache of one KV head. Included by a
// kernel_set only.
//
// The queries are the rows times the query heads of the group, all of which read the same keys.
// Keys are visited in tiles of 64 positions, and tiles in chunks of 512, which begin at multiples
// of 64 and 512 whatever the rows:
//
//   scores[query][64]    per tile: sum over d in order, one lane a key
//   maximum, weights     online softmax, one update a tile
//   record[query][d]     += weight[key] * V[key][d], keys in order
//   merged[query][d]     records of the chunks, joined in order
//
// A query takes exactly the keys that it may see and the same steps whichever other queries are
// present, and whether its chunks were computed here one after the other or by several threads
// (AttentionArgs::records): prefill and decode give the same bits on any number of threads. Keys
// outside are never multiplied in, only masked: what a reused page still holds cannot reach a
// result.
#ifndef LLMCORE_LIB_CPU_KERNELS_ATTENTION_H_
#define LLMCORE_LIB_CPU_KERNELS_ATTENTION_H_

#include "lib/cpu/kernels.h"
#include "lib/cpu/kernels/attention_record.h"
#include "lib/cpu/kernels/kv_formats.h"
#include "lib/cpu/kernels/simd_pairs.h"

// Inner loops are functions of their own: each has the registers to itself.
#define LLMCORE_NOINLINE __attribute__((noinline))

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

// Queries of one pass over keys and values: 4 x 4 vectors are more sums than a multiplication takes
// cycles, and leave registers for what unpacking needs.
constexpr int kQueryBatch = kLanes == 4 ? 2 : 4;
constexpr int kTileGroups = static_cast<int>(kKeyTile / kKeyGroup);
constexpr int kTileVectors = static_cast<int>(kKeyTile) / kLanes;
constexpr int kGroupVectors = static_cast<int>(kKeyGroup) / kLanes;

// The state of one call in its scratch memory.
struct AttentionState {
  int64_t queries;
  int64_t width;       // head_dim rounded up to 16
  int64_t record;      // floats of a record
  int32_t* q;          // [queries][width] words
  float* q_scale;      // [queries], with codes: what one is worth
  float* q_sum;        // [queries], with codes: their sum
  int32_t* scores;     // [kQueryBatch][64]: scores, then words of weights
  float* factor;       // [kQueryBatch], with codes: what a code of a weight is worth
  float* key_scale;    // [64] of the tile
  float* key_zero;     // [64]
  float* value_scale;  // [64]
  float* value_zero;   // [64]
  float* records;      // [queries] records of the chunk
  float* merged;       // [queries] records of the chunks before
};

// Where the 16-key groups of a tile are. A group that no query sees has the address of another one.
struct TileGroups {
  const unsigned char* keys[kTileGroups];
  const unsigned char* values[kTileGroups];
  const unsigned char* key_parameters[kTileGroups];
  const unsigned char* value_parameters[kTileGroups];
};

// One query in the words of the format: times `factor`, so that a score is a power of two.
template <typename Kv>
LLMCORE_INLINE void PrepareQuery(const float* in, int64_t head_dim, float factor, int32_t* q,
                                 float* scale, float* sum) {
  __builtin_memset(q, 0, static_cast<size_t>(RoundUp16(head_dim)) * 4);
  const auto load = [&](int64_t i) {
    const F32 v = i + kLanes <= head_dim ? Load(in + i) : LoadFirst(in + i, head_dim - i);
    return v * Set(factor);
  };
  if constexpr (kQuantized<Kv>) {
    F32 largest = {};
    F32 poison = {};  // NaN once a value is NaN or infinite
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      largest = Max(Abs(load(i)), largest);
      poison += load(i) - load(i);
    }
    // Sums of codes times codes stay below 2^31.
    const float most = head_dim <= 256 ? 32767.0f : 8388608.0f / static_cast<float>(head_dim);
    const float absmax = Largest(largest);
    const bool zero = absmax < 0x1p-100f;
    *scale = absmax / most + Sum(poison);
    const F32 inverse = Set(zero ? 0.0f : most / absmax);
    I32 total = {};
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      const I32 codes = RoundToI32(load(i) * inverse);
      total += codes;
      StoreI16(reinterpret_cast<uint16_t*>(q) + i, codes);
    }
    *sum = static_cast<float>(Sum(total));
  } else if constexpr (Kv::kPairs) {
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      StoreBf16(reinterpret_cast<uint16_t*>(q) + i, load(i));
    }
  } else {
    for (int64_t i = 0; i < head_dim; i += kLanes) {
      Store(reinterpret_cast<float*>(q) + i, load(i));
    }
  }
}

template <typename Kv>
LLMCORE_INLINE AttentionState MakeState(const AttentionArgs& a) {
  AttentionState s;
  s.queries = a.rows * a.group;
  s.width = RoundUp16(a.head_dim);
  s.record = AttentionRecordFloats(a.head_dim);
  s.q = reinterpret_cast<int32_t*>(a.scratch);
  s.scores = s.q + s.queries * s.width;
  s.key_scale = reinterpret_cast<float*>(s.scores + 4 * kKeyTile);
  s.key_zero = s.key_scale + kKeyTile;
  s.value_scale = s.key_zero + kKeyTile;
  s.value_zero = s.value_scale + kKeyTile;
  s.factor = s.value_zero + kKeyTile;
  s.q_scale = s.factor + 16;
  s.q_sum = s.q_scale + RoundUp16(s.queries);
  s.merged = s.q_sum + RoundUp16(s.queries);
  s.records = a.records != nullptr ? a.records : s.merged + s.queries * s.record;
  for (int64_t i = 0; i < s.queries; ++i) {
    PrepareQuery<Kv>(a.q + i / a.group * a.q_stride + i % a.group * a.head_dim, a.head_dim,
                     a.scale * kLog2E, s.q + i * s.width, s.q_scale + i, s.q_sum + i);
  }
  return s;
}

LLMCORE_INLINE TileGroups FindGroups(const AttentionArgs& a, int64_t tile, int64_t first,
                                     int64_t last) {
  TileGroups groups;
  // Any group of the tile that is seen stands in for those that are not.
  const int64_t seen = first > tile ? first / kKeyGroup * kKeyGroup : tile;
  for (int g = 0; g < kTileGroups; ++g) {
    int64_t position = tile + g * kKeyGroup;
    if (position < seen || position >= last) position = seen;
    const int64_t slot = position % a.kv.block_tokens;
    const unsigned char* block =
        a.kv.layer + a.blocks[position / a.kv.block_tokens] * a.kv.block_bytes;
    groups.keys[g] = block + a.kv.key_offset + slot / kKeyGroup * a.kv.key_group_bytes;
    groups.values[g] = block + a.kv.value_offset + slot / kKeyGroup * a.kv.value_group_bytes;
    const int64_t parameters = slot / kKeyGroup * kKvParameterBytes;
    groups.key_parameters[g] = block + a.kv.key_parameters + parameters;
    groups.value_parameters[g] = block + a.kv.value_parameters + parameters;
  }
  return groups;
}

// Scales and zeros of the tile in f32.
LLMCORE_INLINE void LoadParameters(const TileGroups& groups, const AttentionState& s) {
  const auto load = [](const unsigned char* from, int64_t first, float* scale, float* zero) {
    const auto* p = reinterpret_cast<const uint16_t*>(from);
    for (int64_t i = 0; i < kKeyGroup; i += kLanes) {
      Store(scale + first + i, LoadF16(p + i));
      Store(zero + first + i, LoadF16(p + kKeyGroup + i));
    }
  };
  for (int g = 0; g < kTileGroups; ++g) {
    load(groups.key_parameters[g], g * kKeyGroup, s.key_scale, s.key_zero);
    load(groups.value_parameters[g], g * kKeyGroup, s.value_scale, s.value_zero);
  }
}

// scores[t][16 g + ...] = q[t] . k for T queries and G groups of 16 keys; what lies at the same
// place of the next tile is fetched meanwhile.
template <typename Kv, int T, int G>
LLMCORE_NOINLINE void ScoreTile(const int32_t* q, int64_t q_stride, int64_t units,
                                const unsigned char* const* keys, const unsigned char* const* next,
                                int32_t* scores) {
  using Sum = typename Kv::Sum;
  Sum sum[T][G][kGroupVectors];
  LLMCORE_UNROLL
  for (int t = 0; t < T; ++t) {
    LLMCORE_UNROLL
    for (int g = 0; g < G; ++g) {
      LLMCORE_UNROLL
      for (int v = 0; v < kGroupVectors; ++v) sum[t][g][v] = Sum{};
    }
  }
  for (int64_t u = 0; u < units; ++u) {
    const int64_t at = u * kKeyGroup * Kv::kLaneBytes;
    I32 lanes[G][kGroupVectors];
    LLMCORE_UNROLL
    for (int g = 0; g < G; ++g) {
      Prefetch(next[g] + at);
      LLMCORE_UNROLL
      for (int v = 0; v < kGroupVectors; ++v) {
        lanes[g][v] = Kv::Load(keys[g] + at + v * kLanes * Kv::kLaneBytes);
      }
    }
    ForParts<Kv>([&](auto part) {
      I32 k[G][kGroupVectors];
      LLMCORE_UNROLL
      for (int g = 0; g < G; ++g) {
        LLMCORE_UNROLL
        for (int v = 0; v < kGroupVectors; ++v) {
          k[g][v] = Kv::template Part<part.value>(lanes[g][v]);
        }
      }
      LLMCORE_UNROLL
      for (int t = 0; t < T; ++t) {
        const I32 x = SetI32(q[t * q_stride + u * Kv::kParts + part.value]);
        LLMCORE_UNROLL
        for (int g = 0; g < G; ++g) {
          LLMCORE_UNROLL
          for (int v = 0; v < kGroupVectors; ++v) {
            sum[t][g][v] = Kv::Dot(sum[t][g][v], x, k[g][v]);
          }
        }
      }
    });
  }
  LLMCORE_UNROLL
  for (int t = 0; t < T; ++t) {
    LLMCORE_UNROLL
    for (int g = 0; g < G; ++g) {
      LLMCORE_UNROLL
      for (int v = 0; v < kGroupVectors; ++v) {
        StoreAs(scores + t * kKeyTile + g * kKeyGroup + v * kLanes, sum[t][g][v]);
      }
    }
  }
}

// A vector of scores, as exponents of 2.
template <typename Kv>
LLMCORE_INLINE F32 Score(const AttentionState& s, const int32_t* scores, int64_t key,
                         int64_t query) {
  if constexpr (kQuantized<Kv>) {
    const F32 dot = ToF32(LoadAs<I32>(scores + key));
    const F32 centred = Fma(Load(s.key_zero + key), Set(-s.q_sum[query]), dot);
    return centred * (Load(s.key_scale + key) * Set(s.q_scale[query]));
  } else {
    return LoadAs<F32>(scores + key);
  }
}

// Weights of one query to the words that ValueTile multiplies with.
template <typename Kv, bool kWhole>
LLMCORE_INLINE void StoreWeights(const AttentionState& s, const F32* weights, const I32* seen,
                                 int32_t* words, float* factor, float* offsets) {
  if constexpr (kQuantized<Kv>) {
    F32 scaled[kTileVectors];
    F32 largest = {};
    LLMCORE_UNROLL
    for (int v = 0; v < kTileVectors; ++v) {
      scaled[v] = weights[v] * Load(s.value_scale + v * kLanes);
      if (!kWhole) scaled[v] = Select(seen[v], scaled[v], F32{});
      largest = Max(scaled[v], largest);
    }
    const float most = Largest(largest);
    const bool zero = most < 0x1p-100f;
    *factor = most * (1.0f / 32767.0f);
    const F32 inverse = Set(zero ? 0.0f : 32767.0f / most);
    F32 offset = Load(offsets);
    LLMCORE_UNROLL
    for (int v = 0; v < kTileVectors; ++v) {
      const F32 code = RoundHalfEven(scaled[v] * inverse);
      StoreI16(reinterpret_cast<uint16_t*>(words) + v * kLanes, RoundToI32(code));
      F32 value_zero = Load(s.value_zero + v * kLanes);
      if (!kWhole) value_zero = Select(seen[v], value_zero, F32{});
      offset = Fma(code * Set(*factor), value_zero, offset);
    }
    Store(offsets, offset);
  } else {
    LLMCORE_UNROLL
    for (int v = 0; v < kTileVectors; ++v) {
      if constexpr (Kv::kPairs) {
        StoreBf16(reinterpret_cast<uint16_t*>(words) + v * kLanes, weights[v]);
      } else {
        StoreAs(words + v * kLanes, weights[v]);
      }
    }
  }
}

// Turns the scores of one query into weights relative to the running maximum and rescales what was
// summed before.
template <typename Kv, bool kWhole>
LLMCORE_NOINLINE void UpdateSoftmax(const AttentionState& s, int64_t query, KeyRange range,
                                    int32_t* scores, float* factor) {
  const F32 none = Set(-__builtin_inff());
  const I32 begin = SetI32(static_cast<int32_t>(range.begin));
  const I32 end = SetI32(static_cast<int32_t>(range.end));
  F32 score[kTileVectors];
  I32 seen[kTileVectors];
  F32 largest = none;
  LLMCORE_UNROLL
  for (int v = 0; v < kTileVectors; ++v) {
    score[v] = Score<Kv>(s, scores, v * kLanes, query);
    if (!kWhole) {
      const I32 key = LaneNumbers() + v * kLanes;
      seen[v] = (I32)(key >= begin) & (I32)(key < end);
      score[v] = Select(seen[v], score[v], none);
    }
    largest = Max(score[v], largest);
  }
  float* record = s.records + query * s.record;
  const float tile_maximum = Largest(largest);
  const float old_maximum = record[s.width + kRecordMaximum];
  const float maximum = old_maximum > tile_maximum ? old_maximum : tile_maximum;
  if (maximum != old_maximum) {
    record[s.width + kRecordMaximum] = maximum;
    const F32 correction = Exp2<Kv::kExpDegree>(Set(old_maximum - maximum));
    for (int64_t d = 0; d < s.width + kRecordMaximum; d += kLanes) {
      Store(record + d, Load(record + d) * correction);
    }
  }
  F32 total = Load(record + s.width);
  F32 weights[kTileVectors];
  LLMCORE_UNROLL
  for (int v = 0; v < kTileVectors; ++v) {
    weights[v] = Exp2<Kv::kExpDegree>(score[v] - Set(maximum));
    if (!kWhole) weights[v] = Select(seen[v], weights[v], F32{});
    total += weights[v];
  }
  Store(record + s.width, total);
  StoreWeights<Kv, kWhole>(s, weights, seen, scores, factor, record + s.width + kRecordOffset);
}

// records[t][d] += weights[t][key] * V[key][d] over the keys of the range, for T queries and V
// vectors of d.
template <typename Kv, int T, int V, bool kWhole>
LLMCORE_NOINLINE void ValueTile(const AttentionState& s, const unsigned char* const* values,
                                const unsigned char* const* next, KeyRange range, int64_t d,
                                float* records) {
  using Sum = typename Kv::Sum;
  constexpr int kGroupUnits = static_cast<int>(kKeyGroup) / Kv::kUnit;
  constexpr bool kCodes = kQuantized<Kv>;
  Sum sum[T][V];
  LLMCORE_UNROLL
  for (int t = 0; t < T; ++t) {
    LLMCORE_UNROLL
    for (int v = 0; v < V; ++v) {
      sum[t][v] = kCodes ? Sum{} : (Sum)Load(records + t * s.record + v * kLanes);
    }
  }
  const int64_t unit_bytes = s.width * Kv::kLaneBytes;
  for (int g = 0; g < kTileGroups; ++g) {
    int64_t unit = 0;
    int64_t end = kGroupUnits;
    if (!kWhole) {
      const int64_t first = range.begin - g * kKeyGroup;
      const int64_t last = range.end - g * kKeyGroup;
      if (first >= kKeyGroup || last <= 0) continue;
      if (first > 0) unit = first / Kv::kUnit;
      if (last < kKeyGroup) end = (last + Kv::kUnit - 1) / Kv::kUnit;
    }
    const unsigned char* from = values[g] + d * Kv::kLaneBytes + unit * unit_bytes;
    const unsigned char* ahead = next[g] + d * Kv::kLaneBytes + unit * unit_bytes;
    const int32_t* words = s.scores + (g * kGroupUnits + unit) * Kv::kParts;
    for (; unit < end; ++unit) {
      I32 lanes[V];
      LLMCORE_UNROLL
      for (int v = 0; v < V; ++v) {
        if (v * kLanes * Kv::kLaneBytes % 64 == 0) Prefetch(ahead + v * kLanes * Kv::kLaneBytes);
        lanes[v] = Kv::Load(from + v * kLanes * Kv::kLaneBytes);
        if constexpr (!kWhole && !kCodes && Kv::kUnit == 2) {
          // Half of a pair outside the range may hold anything, NaN too.
          const int64_t key = g * kKeyGroup + unit * Kv::kUnit;
          if (key < range.begin) lanes[v] &= SetI32(-0x10000);
          if (key + 1 >= range.end) lanes[v] &= SetI32(0xFFFF);
        }
      }
      from += unit_bytes;
      ahead += unit_bytes;
      ForParts<Kv>([&](auto part) {
        I32 value[V];
        LLMCORE_UNROLL
        for (int v = 0; v < V; ++v) value[v] = Kv::template Part<part.value>(lanes[v]);
        LLMCORE_UNROLL
        for (int t = 0; t < T; ++t) {
          const I32 weight = SetI32(words[t * kKeyTile + part.value]);
          LLMCORE_UNROLL
          for (int v = 0; v < V; ++v) sum[t][v] = Kv::Dot(sum[t][v], weight, value[v]);
        }
      });
      words += Kv::kParts;
    }
  }
  LLMCORE_UNROLL
  for (int t = 0; t < T; ++t) {
    LLMCORE_UNROLL
    for (int v = 0; v < V; ++v) {
      float* record = records + t * s.record + v * kLanes;
      if constexpr (kCodes) {
        Store(record, Fma(ToF32(sum[t][v]), Set(s.factor[t]), Load(record)));
      } else {
        Store(record, sum[t][v]);
      }
    }
  }
}

// T queries from `query` on, all of which see the same keys of the tile.
template <typename Kv, int T, bool kWhole>
LLMCORE_INLINE void AttendBatch(const AttentionArgs& a, const AttentionState& s,
                                const TileGroups& groups, const TileGroups& next, int64_t query,
                                KeyRange range) {
  const int32_t* q = s.q + query * s.width;
  const int64_t units = Words<Kv>(a.head_dim) / Kv::kParts;
  if constexpr (kWhole && kLanes == 16) {
    ScoreTile<Kv, T, kTileGroups>(q, s.width, units, groups.keys, next.keys, s.scores);
  } else {
    for (int g = 0; g < kTileGroups; ++g) {
      if (range.begin >= (g + 1) * kKeyGroup || range.end <= g * kKeyGroup) continue;
      ScoreTile<Kv, T, 1>(q, s.width, units, groups.keys + g, next.keys + g,
                          s.scores + g * kKeyGroup);
    }
  }
  for (int t = 0; t < T; ++t) {
    UpdateSoftmax<Kv, kWhole>(s, query + t, range, s.scores + t * kKeyTile, s.factor + t);
  }
  constexpr int kMost = kLanes == 16 ? 4 : 2;
  float* records = s.records + query * s.record;
  int64_t d = 0;
  for (; d + kMost * kLanes <= s.width; d += kMost * kLanes) {
    ValueTile<Kv, T, kMost, kWhole>(s, groups.values, next.values, range, d, records + d);
  }
  for (; d < s.width; d += kLanes) {
    ValueTile<Kv, T, 1, kWhole>(s, groups.values, next.values, range, d, records + d);
  }
}

template <typename Kv, bool kWhole>
LLMCORE_INLINE void AttendQueries(const AttentionArgs& a, const AttentionState& s,
                                  const TileGroups& groups, const TileGroups& next, int64_t query,
                                  int64_t end, KeyRange range) {
  for (; query + kQueryBatch <= end; query += kQueryBatch) {
    AttendBatch<Kv, kQueryBatch, kWhole>(a, s, groups, next, query, range);
  }
  if constexpr (kQueryBatch > 2) {
    if (query + 2 <= end) {
      AttendBatch<Kv, 2, kWhole>(a, s, groups, next, query, range);
      query += 2;
    }
  }
  if (query < end) AttendBatch<Kv, 1, kWhole>(a, s, groups, next, query, range);
}

// A tile of keys, of which [first, last) is seen by some query.
template <typename Kv>
LLMCORE_NOINLINE void AttendTile(const AttentionArgs& a, const AttentionState& s, int64_t tile,
                                 int64_t first, int64_t last) {
  const TileGroups groups = FindGroups(a, tile, first, last);
  const int64_t following = tile + kKeyTile;
  const TileGroups next = following < last ? FindGroups(a, following, first, last) : groups;
  if constexpr (kQuantized<Kv>) LoadParameters(groups, s);
  const KeyRange first_row = RangeInTile(a, 0, tile);
  const KeyRange last_row = RangeInTile(a, a.rows - 1, tile);
  if (first_row.end == kKeyTile && last_row.begin == 0) {
    return AttendQueries<Kv, true>(a, s, groups, next, 0, s.queries, {0, kKeyTile});
  }
  for (int64_t row = 0; row < a.rows; ++row) {
    const KeyRange range = RangeInTile(a, row, tile);
    if (range.begin >= range.end) continue;
    AttendQueries<Kv, false>(a, s, groups, next, row * a.group, (row + 1) * a.group, range);
  }
}

template <typename Kv>
LLMCORE_INLINE void AttendChunk(const AttentionArgs& a, const AttentionState& s, int64_t chunk) {
  for (int64_t i = 0; i < s.queries; ++i) ClearRecord(s.records + i * s.record, s.width);
  const int64_t first = FirstKey(a, 0);
  const int64_t last = a.position + a.rows;
  const int64_t begin = chunk * kKeyChunk;
  const int64_t end = begin + kKeyChunk < last ? begin + kKeyChunk : last;
  int64_t tile = first > begin ? first / kKeyTile * kKeyTile : begin;
  for (; tile < end; tile += kKeyTile) AttendTile<Kv>(a, s, tile, first, last);
}

template <typename Kv>
void Attention(const AttentionArgs& a) {
  const AttentionState s = MakeState<Kv>(a);
  if (a.records != nullptr) return AttendChunk<Kv>(a, s, a.chunk);
  const int64_t last = a.position + a.rows;
  for (int64_t chunk = FirstKey(a, 0) / kKeyChunk; chunk * kKeyChunk < last; ++chunk) {
    AttendChunk<Kv>(a, s, chunk);
    for (int64_t i = 0; i < s.queries; ++i) {
      MergeRecord(a, i / a.group, chunk, s.records + i * s.record, s.merged + i * s.record);
    }
  }
  for (int64_t i = 0; i < s.queries; ++i) WriteRecord(a, i, s.merged + i * s.record);
}

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_ATTENTION_H_
