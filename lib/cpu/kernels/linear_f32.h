// Linear layers with f32 activations, for every weight format. Included by a kernel_set only.
//
//                    64 weight rows (a panel)
//                 v0     v1     v2     v3          vectors of kLanes rows
//   token 0     [sum]  [sum]  [sum]  [sum]
//   token 1     [sum]  [sum]  [sum]  [sum]         a tile: T tokens x V vectors, all sums in
//     ...                                          registers over the 64 columns of a block
//   token 5     [sum]  [sum]  [sum]  [sum]
//
// Up to kTokenTile tokens read the panel once, and each weight becomes f32 in a register. With more
// of them a block is first written to scratch as f32 (16 KB, stays in cache) unless it is f32
// already, and all tiles pass over it. Either way a sum runs over the same products in the same
// order, and a weight in any format gives the bits that its dequantized values give in f32.
#ifndef LLMCORE_LIB_CPU_KERNELS_LINEAR_F32_H_
#define LLMCORE_LIB_CPU_KERNELS_LINEAR_F32_H_

#include "lib/cpu/kernels.h"
#include "lib/cpu/kernels/simd.h"

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

LLMCORE_INLINE F32 WeightScale(const unsigned char* block, int vector) {
  return LoadBf16(reinterpret_cast<const uint16_t*>(block) + vector * kLanes);
}

// The scales of kLanes rows, and where there are zero points those.
struct ScalesAndZeros {
  F32 scale;
  F32 zero;
};

// The zero points of a block, which stand behind its scales.
LLMCORE_INLINE I32 WeightZeros(const unsigned char* block, int vector) {
  return LoadBytes(block + kScaleBytes + vector * kLanes);
}

// Each format as groups of kColumns columns: a group holds for each of 64 rows a Raw element, from
// which Column takes the weights of one column as f32. Codes says where the groups of the block of
// 64 columns from `column` on are, LoadScale brings its scales, in kScaleVectors registers.
struct F32Panel {
  static constexpr int kColumns = 1;
  static constexpr int kGroupBytes = 4 * kPanelRows;
  static constexpr int kSpare = 0;
  static constexpr int kScaleVectors = 0;
  using Scale = F32;
  static LLMCORE_INLINE Scale LoadScale(const unsigned char*, int64_t, int) { return Scale{}; }
  using Raw = F32;
  static const unsigned char* Codes(const unsigned char* panel, int64_t column) {
    return panel + column * kGroupBytes;
  }
  static LLMCORE_INLINE Raw LoadRaw(const unsigned char* group, int v) {
    return LoadAs<Raw>(group + v * (4 * kLanes));
  }
  static LLMCORE_INLINE F32 Column(Raw raw, F32, int) { return raw; }
};

struct F16Panel {
  static constexpr int kColumns = 1;
  static constexpr int kGroupBytes = 2 * kPanelRows;
  static constexpr int kSpare = 0;
  static constexpr int kScaleVectors = 0;
  using Scale = F32;
  static LLMCORE_INLINE Scale LoadScale(const unsigned char*, int64_t, int) { return Scale{}; }
  using Raw = F32;
  static const unsigned char* Codes(const unsigned char* panel, int64_t column) {
    return panel + column * kGroupBytes;
  }
  static LLMCORE_INLINE Raw LoadRaw(const unsigned char* group, int v) {
    return LoadF16(reinterpret_cast<const uint16_t*>(group) + v * kLanes);
  }
  static LLMCORE_INLINE F32 Column(Raw raw, F32, int) { return raw; }
};

// Pairs of columns: the even one in the low half of each 32 bits.
struct Bf16Panel {
  static constexpr int kColumns = 2;
  static constexpr int kGroupBytes = 4 * kPanelRows;
  static constexpr int kSpare = 1;
  static constexpr int kScaleVectors = 0;
  using Scale = F32;
  static LLMCORE_INLINE Scale LoadScale(const unsigned char*, int64_t, int) { return Scale{}; }
  using Raw = U32;
  static const unsigned char* Codes(const unsigned char* panel, int64_t column) {
    return panel + column / 2 * kGroupBytes;
  }
  static LLMCORE_INLINE Raw LoadRaw(const unsigned char* group, int v) {
    return LoadAs<Raw>(group + v * (4 * kLanes));
  }
  static LLMCORE_INLINE F32 Column(Raw raw, F32, int j) {
    return j == 0 ? (F32)(raw << 16) : (F32)(raw & 0xFFFF0000u);
  }
};

// What formats of codes share: blocks of scales and codes, groups of `Columns` columns in 32 bits a
// row.
template <int64_t BlockBytes, int64_t CodesOffset, int Columns>
struct CodesPanel {
  static constexpr int kColumns = Columns;
  static constexpr int kGroupBytes = 4 * kPanelRows;
  static constexpr int kScaleVectors = 1;
  using Raw = U32;
  using Scale = F32;
  static const unsigned char* Scales(const unsigned char* panel, int64_t column) {
    return panel + column / kBlock * BlockBytes;
  }
  static const unsigned char* Codes(const unsigned char* panel, int64_t column) {
    return Scales(panel, column) + CodesOffset + column % kBlock / Columns * kGroupBytes;
  }
  static LLMCORE_INLINE Scale LoadScale(const unsigned char* panel, int64_t column, int v) {
    return WeightScale(Scales(panel, column), v);
  }
  static LLMCORE_INLINE Raw LoadRaw(const unsigned char* group, int v) {
    return LoadAs<Raw>(group + v * (4 * kLanes));
  }
};

struct Int8Panel : CodesPanel<kInt8BlockBytes, kScaleBytes, 4> {
  static constexpr int kSpare = 3;
  static LLMCORE_INLINE F32 Column(Raw raw, F32 scale, int j) {
    return ToF32((I32)((raw >> (8 * j)) & 255u) - 128) * scale;
  }
};

struct Int4Panel : CodesPanel<kInt4BlockBytes, kScaleBytes, 8> {
  static constexpr int kSpare = 6;
  static LLMCORE_INLINE F32 Column(Raw raw, F32 scale, int j) {
    const int shift = j < 4 ? 8 * j : 8 * (j - 4) + 4;
    return RoundToBf16(ToF32((I32)((raw >> shift) & 15u) - 8) * scale);
  }
};

struct Int4ZerosPanel : CodesPanel<kInt4ZerosBlockBytes, kScaleBytes + kPanelRows, 8> {
  static constexpr int kSpare = 2;
  static constexpr int kScaleVectors = 2;
  using Scale = ScalesAndZeros;
  static LLMCORE_INLINE Scale LoadScale(const unsigned char* panel, int64_t column, int v) {
    const unsigned char* block = Scales(panel, column);
    return {LoadF16(reinterpret_cast<const uint16_t*>(block) + v * kLanes),
            ToF32(WeightZeros(block, v))};
  }
  static LLMCORE_INLINE F32 Column(Raw raw, const Scale& scale, int j) {
    const int shift = j < 4 ? 8 * j : 8 * (j - 4) + 4;
    return (ToF32((I32)((raw >> shift) & 15u)) - scale.zero) * scale.scale;
  }
};

template <int T, int V>
struct Sums {
  F32 at[T][V];
  LLMCORE_INLINE Sums() {
    LLMCORE_UNROLL
    for (int t = 0; t < T; ++t) {
      LLMCORE_UNROLL
      for (int v = 0; v < V; ++v) at[t][v] = F32{};
    }
  }
  LLMCORE_INLINE void AddTo(float* sums) const {
    LLMCORE_UNROLL
    for (int t = 0; t < T; ++t) {
      LLMCORE_UNROLL
      for (int v = 0; v < V; ++v) {
        float* out = sums + t * kPanelRows + v * kLanes;
        Store(out, Load(out) + at[t][v]);
      }
    }
  }
};

// ---- Up to kTokenTile rows: straight from the panel ------------------------------------------

// Bytes that a pass over a panel asks for ahead of its loads: with few tokens the panel comes from
// memory, and the hardware prefetcher stops at each 4 KB page.
constexpr int kStreamAhead = 4096;

// Vectors of a tile of T tokens: its sums, the weights, what they are made from (but that a pair of
// bf16 is as well read twice), one activation and kSpare constants must fit in the registers.
template <typename Panel, int T>
constexpr int StreamVectors() {
  constexpr int kRegisters = kLanes == 16 ? 32 : 16;
  constexpr int kSources = (Panel::kColumns > 2 ? 1 : 0) + Panel::kScaleVectors;
  int vectors = 4;
  while (vectors > 1 && vectors * (T + 1 + kSources) + 1 + Panel::kSpare > kRegisters) vectors /= 2;
  return vectors;
}

template <typename Panel, int T, int V>
LLMCORE_INLINE void StreamTile(const unsigned char* panel, int64_t column, int64_t n, int vector,
                               const float* in, int64_t in_stride, float* out) {
  constexpr int kStep = Panel::kGroupBytes * V / kPanelVectors;  // bytes of a group that are read
  const unsigned char* group = Panel::Codes(panel, column);
  typename Panel::Scale scales[V];
  LLMCORE_UNROLL
  for (int v = 0; v < V; ++v) scales[v] = Panel::LoadScale(panel, column, vector + v);
  Sums<T, V> sums;
  float last[T * Panel::kColumns];
  for (int64_t k = 0; k < n; k += Panel::kColumns) {
    if (Panel::kColumns > 1 && k + Panel::kColumns > n) {
      // The weights of a group that goes beyond n are zero there; so shall be what they meet.
      for (int64_t i = 0; i < T * Panel::kColumns; ++i) {
        const int64_t j = i % Panel::kColumns;
        last[i] = k + j < n ? in[i / Panel::kColumns * in_stride + j] : 0.0f;
      }
      in = last;
      in_stride = Panel::kColumns;
    }
    LLMCORE_UNROLL
    for (int line = 0; line < kStep; line += 64) {
      __builtin_prefetch(group + vector / V * kStep + line + kStreamAhead);
    }
    typename Panel::Raw raw[V];
    LLMCORE_UNROLL
    for (int v = 0; v < V; ++v) raw[v] = Panel::LoadRaw(group, vector + v);
    LLMCORE_UNROLL
    for (int j = 0; j < Panel::kColumns; ++j) {
      F32 w[V];
      LLMCORE_UNROLL
      for (int v = 0; v < V; ++v) w[v] = Panel::Column(raw[v], scales[v], j);
      LLMCORE_UNROLL
      for (int t = 0; t < T; ++t) {
        const F32 x = Set(in[t * in_stride + j]);
        LLMCORE_UNROLL
        for (int v = 0; v < V; ++v) sums.at[t][v] = Fma(x, w[v], sums.at[t][v]);
      }
    }
    group += Panel::kGroupBytes;
    in += Panel::kColumns;
  }
  sums.AddTo(out + vector * kLanes);
}

template <typename Panel, int T>
void StreamPanel(const LinearF32Args& a) {
  constexpr int kVectors = StreamVectors<Panel, T>();
  for (int64_t column = 0; column < a.columns; column += kF32Block) {
    const int64_t n = a.columns - column < kF32Block ? a.columns - column : kF32Block;
    for (int v = 0; v < kPanelVectors; v += kVectors) {
      StreamTile<Panel, T, kVectors>(a.panel, column, n, v, a.in + column, a.in_stride, a.out);
    }
  }
}

// ---- More rows: a block at a time, in scratch ------------------------------------------------

// Vectors of rows that a tile of T tokens holds: T * V sums, V weights and one activation fit in 32
// registers of 512 bits, or in 16 of the narrower sets.
template <int T>
constexpr int TileVectors() {
  if (kLanes == 16) return 4;
  return T == 1 ? 8 : T == 2 ? 4 : 2;
}

// sums[t][v] += the block's sum; weights [n][64], in [T] rows of stride in_stride.
template <int T, int V>
LLMCORE_INLINE void BlockTile(const float* weights, const float* in, int64_t in_stride, int64_t n,
                              float* out) {
  Sums<T, V> sums;
  for (int64_t k = 0; k < n; ++k) {
    F32 w[V];
    LLMCORE_UNROLL
    for (int v = 0; v < V; ++v) w[v] = Load(weights + k * kPanelRows + v * kLanes);
    LLMCORE_UNROLL
    for (int t = 0; t < T; ++t) {
      const F32 x = Set(in[t * in_stride + k]);
      LLMCORE_UNROLL
      for (int v = 0; v < V; ++v) sums.at[t][v] = Fma(x, w[v], sums.at[t][v]);
    }
  }
  sums.AddTo(out);
}

template <int T>
void BlockTokens(const float* weights, const float* in, int64_t in_stride, int64_t n, float* out) {
  constexpr int kVectors = TileVectors<T>();
  for (int v = 0; v < kPanelVectors; v += kVectors) {
    BlockTile<T, kVectors>(weights + v * kLanes, in, in_stride, n, out + v * kLanes);
  }
}

// All tokens over one block of the weight.
void BlockRows(const float* weights, const float* in, int64_t in_stride, int64_t n, int64_t rows,
               float* out) {
  for (int64_t row = 0; row < rows; row += kTokenTile) {
    WithCount(rows - row, [&](auto tokens) {
      BlockTokens<tokens.value>(weights, in + row * in_stride, in_stride, n,
                                out + row * kPanelRows);
    });
  }
}

// The columns [column, column + n) of a panel as f32 [n][64], in scratch unless they are f32. The
// last group may write columns beyond n, for which scratch has room.
template <typename Panel>
LLMCORE_INLINE const float* UnpackBlock(const unsigned char* panel, int64_t column, int64_t n,
                                        float* scratch) {
  const unsigned char* codes = Panel::Codes(panel, column);
  if constexpr (Panel::kColumns == 1 && Panel::kGroupBytes == 4 * kPanelRows) {
    return reinterpret_cast<const float*>(codes);
  } else {
    for (int v = 0; v < kPanelVectors; ++v) {
      const typename Panel::Scale scale = Panel::LoadScale(panel, column, v);
      for (int64_t k = 0; k < n; k += Panel::kColumns) {
        const auto raw = Panel::LoadRaw(codes + k / Panel::kColumns * Panel::kGroupBytes, v);
        float* out = scratch + k * kPanelRows + v * kLanes;
        LLMCORE_UNROLL
        for (int j = 0; j < Panel::kColumns; ++j) {
          Store(out + j * kPanelRows, Panel::Column(raw, scale, j));
        }
      }
    }
    return scratch;
  }
}

template <typename Panel>
void LinearF32(const LinearF32Args& a) {
  for (int64_t i = 0; i < a.rows * kPanelRows; i += kLanes) Store(a.out + i, F32{});
  if (a.rows <= kTokenTile) {
    WithCount(a.rows, [&](auto tokens) { StreamPanel<Panel, tokens.value>(a); });
    return;
  }
  for (int64_t column = 0; column < a.columns; column += kF32Block) {
    const int64_t n = a.columns - column < kF32Block ? a.columns - column : kF32Block;
    const float* weights = UnpackBlock<Panel>(a.panel, column, n, a.scratch);
    BlockRows(weights, a.in + column, a.in_stride, n, a.rows, a.out);
  }
}

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_LINEAR_F32_H_
