// Layouts of the CUDA backend: packed weights and KV blocks, for host and device.
//
// Packed weights. Rows (outputs) and columns are cut into tiles of 16 x 128, filled up with zeros;
// the tiles of 16 rows follow each other. A gated weight alternates tiles of gate rows and of up
// rows of the same outputs. A tile is stored in fragment order: the 16 bytes that a lane loads are
// what it gives to mma.m16n8k16 as operand A, so that weights go from memory to registers and meet
// no shared memory.
//
// The mma multiplies 8 steps of 16 columns. Which column stands at which k of a step is free, as
// long as the activations agree: lane 4g + t holds rows g and g + 8 at columns 16 s + 4 t + j,
// j = 0..3, of step s. So the activations of a lane are 16 consecutive bytes of f32.
//
//   register of (row, j)  r = j / 2 * 2 + row / 8, half j % 2
//   f32     [8 s][2 = r / 2][32 lanes][2 = r % 2][2 halves] f32
//   bf16,
//   f16     [8 s][32 lanes][4 r][2 halves]
//   int8    [4 = s / 2][32 lanes][2 = s % 2][4 r][2 halves] s8, then [16 rows] bf16 scale
//   int4    [2 = s / 4][32 lanes][4 = s % 4] u32, then [16 rows] bf16 scale
//             u32: 8 codes + 8 in nibbles; the code of register r, half h is nibble
//             4 h + 2 (r % 2) + r / 2, so that (u32 >> 4 n) & 0x000F000F is one register and a
//             byte belongs to one row.
//   int4-   as int4 with codes as they are, 0 to 15, then [16 rows] f16 scale, [16 rows] u8 zero
//   zeros
//
// KV blocks of one layer: [keys, values][kv_heads][block_tokens][head_dim], each token padded with
// zeros to 16 bytes. int8 is a byte a code, int4 two in a byte, the even element in the low nibble;
// behind the codes of a block stand [keys, values][kv_heads][block_tokens] words of f16 scale (low
// half) and f16 zero, one a token and head: x = (code - zero) * scale.
#ifndef LLMCORE_CUDA_LAYOUT_H_
#define LLMCORE_CUDA_LAYOUT_H_

#include <cstdint>

// Host sources are compiled without nvcc, which alone knows these words.
#if defined(__CUDACC__)
#define LLMCORE_HOST_DEVICE __host__ __device__
#else
#define LLMCORE_HOST_DEVICE
#endif

namespace llmcore::cuda {

constexpr int kTileRows = 16;
constexpr int kGroup = 128;  // columns of a tile, and those that share a scale
constexpr int kSteps = kGroup / 16;

// Formats of weights as kernels know them.
enum class Storage : int { kF32, kBf16, kF16, kInt8, kInt4, kInt4Zeros };

LLMCORE_HOST_DEVICE constexpr int64_t TileBytes(Storage storage) {
  switch (storage) {
    case Storage::kF32:
      return int64_t{kTileRows} * kGroup * 4;
    case Storage::kBf16:
    case Storage::kF16:
      return int64_t{kTileRows} * kGroup * 2;
    case Storage::kInt8:
      return int64_t{kTileRows} * kGroup + kTileRows * 2;
    case Storage::kInt4:
      return int64_t{kTileRows} * kGroup / 2 + kTileRows * 2;
    case Storage::kInt4Zeros:
      return int64_t{kTileRows} * kGroup / 2 + kTileRows * 3;
  }
  return 0;
}

// Bytes from the start of a tile to its scales, of formats that have them; zeros follow.
LLMCORE_HOST_DEVICE constexpr int64_t ScalesInTile(Storage storage) {
  return storage == Storage::kInt8 ? int64_t{kTileRows} * kGroup : int64_t{kTileRows} * kGroup / 2;
}

LLMCORE_HOST_DEVICE constexpr int64_t Groups(int64_t columns) {
  return (columns + kGroup - 1) / kGroup;
}

// Bytes from the start of a tile to the value at (row, column), both inside of it; for int4 to the
// byte that holds it.
LLMCORE_HOST_DEVICE constexpr int OffsetInTile(Storage storage, int row, int column) {
  const int s = column / 16;
  const int lane = row % 8 * 4 + column % 16 / 4;
  const int j = column % 4;
  const int r = j / 2 * 2 + row / 8;
  switch (storage) {
    case Storage::kF32:
      return (((s * 2 + r / 2) * 32 + lane) * 2 + r % 2) * 8 + j % 2 * 4;
    case Storage::kBf16:
    case Storage::kF16:
      return ((s * 32 + lane) * 4 + r) * 4 + j % 2 * 2;
    case Storage::kInt8:
      return ((s / 2 * 32 + lane) * 2 + s % 2) * 8 + r * 2 + j % 2;
    case Storage::kInt4:
    case Storage::kInt4Zeros:
      return ((s / 4 * 32 + lane) * 4 + s % 4) * 4 + j % 2 * 2 + row / 8;
  }
  return 0;
}

// Whether an int4 code stands in the upper half of its byte.
LLMCORE_HOST_DEVICE constexpr bool IsUpperNibble(int column) {
  return column % 4 / 2 == 1;
}

// KV cache as kernels see it. Plain: travels as a kernel argument.
struct KvView {
  unsigned char* layer;  // block 0 of the layer
  int64_t block_bytes;
  int32_t block_tokens;
  int32_t kv_heads;
  int32_t head_dim;
  int32_t token_bytes;        // a multiple of 16
  int64_t parameters_offset;  // in a block: of the scales and zeros of a quantized format
};

// A batch in device memory.
struct BatchView {
  const int32_t* first_row;       // [sequences + 1]
  const int32_t* first_position;  // [sequences]
  const int32_t* first_tile;      // [sequences + 1]: tiles of attention rows before a sequence
  const int32_t* block_table;     // [sequences][stride]
  int32_t sequences;
  int32_t stride;
  int32_t rows;
  int32_t tiles;
  int32_t splits;  // of attention that no sequence has more of
  // [tiles][head groups of all KV heads]: splits of attention that are done, 0 between launches. Of
  // batches that are split.
  int32_t* done;
};

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_LAYOUT_H_
