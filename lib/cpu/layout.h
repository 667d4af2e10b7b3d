// Layouts of the CPU backend: packed weights, quantized activations and KV blocks. Constants only,
// since kernel objects compiled for other instruction sets include this.
//
// Packed weights. The rows (outputs) of a weight are cut into panels of 64; a panel holds all
// columns and is one sequential stream, whatever the number of threads. Missing rows of the last
// panel are zero. A gated weight alternates panels of gate rows and of up rows of the same outputs.
//
//   f32    [columns][64 rows] f32
//   f16    [columns][64 rows] f16
//   bf16   [columns / 2, rounded up][64 rows][2 columns] bf16
//   int8   blocks of 128 columns, the last one padded with zero values:
//            [64 rows] bf16 scale
//            [32 quads][64 rows][4 columns] u8 = code + 128
//   int4   blocks of 128 columns, the last one padded with zero values:
//            [64 rows] bf16 scale
//            [16 octets][64 rows][4 bytes] u8 = (code of column j) + 8, and in the high nibble
//                                              (code of column j + 4) + 8
//          so that 64 bytes hold 16 rows x 8 columns, and one AND (and one shift) makes of them 16
//          lanes of 4 unsigned bytes, the operand of vpdpbusd.
//
//   int4-  blocks of 128 columns, the last one padded with finite values:
//   zeros    [64 rows] f16 scale, [64 rows] u8 zero point, then codes as they are, 0 to 15, in the
//            order of int4
//
// Quantized activations: [blocks of 128 columns][tokens] of
//            [128] s8 code, f32 scale, i32 sum of the codes
// so that the tokens which meet one block of a weight follow each other.
//   scale = absmax / 127, code = round_half_even(x * (127 / absmax)), in f32; a block whose absmax
//   is below 2^-100 is all zero with scale 0.
//
// Activations in bf16: [blocks][tokens][128 columns] bf16. An odd last column is followed by a
// zero; what the last block has beyond that is not read.
//
// KV blocks: see kv_layout.h.
#ifndef LLMCORE_LIB_CPU_LAYOUT_H_
#define LLMCORE_LIB_CPU_LAYOUT_H_

#include <cstdint>

namespace llmcore::cpu {

// The version of the int8 and int4 panels above, which packed checkpoints store: a change of theirs
// is another version.
constexpr char kPanelLayoutVersion[] = "v1";

constexpr int64_t kPanelRows = 64;  // four 512-bit vectors of f32: what one tile can hold
constexpr int64_t kBlock = 128;     // columns that share a scale
constexpr int64_t kF32Block = 64;   // columns of one partial sum with f32 activations
constexpr int64_t kTokenTile = 6;   // 4 vectors x 6 tokens = 24 of 32 registers accumulate
constexpr int64_t kKeyGroup = 16;   // keys stored side by side
constexpr int64_t kKeyTile = 64;    // keys of one softmax update, aligned to absolute positions
constexpr int64_t kKeyChunk = 512;  // keys summed by themselves, then joined in order
constexpr int64_t kKvParameterBytes = 2 * 2 * kKeyGroup;  // scales and zeros of 16 tokens

constexpr int64_t kScaleBytes = kPanelRows * 2;
constexpr int64_t kInt8BlockBytes = kScaleBytes + kBlock * kPanelRows;
constexpr int64_t kInt4BlockBytes = kScaleBytes + kBlock * kPanelRows / 2;
constexpr int64_t kInt4ZerosBlockBytes = kInt4BlockBytes + kPanelRows;
constexpr int kMostZeroPoint = 16;

// Bytes of one token in one block of activations, quantized or in bf16.
constexpr int64_t kActivationBlockBytes = kBlock + 4 + 4;
constexpr int64_t kBf16BlockBytes = kBlock * 2;

}  // namespace llmcore::cpu

#endif  // LLMCORE_LIB_CPU_LAYOUT_H_
