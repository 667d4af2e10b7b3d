// The inner loops of the CPU backend, compiled once for each instruction set (lib/cpu/kernels/).
// A kernel does one thread's piece of an operation on plain pointers; it checks nothing, allocates
// nothing and calls nothing outside its object file, so that no function compiled for a wider
// instruction set can be picked by the linker for a narrower machine.
#ifndef LLMCORE_LIB_CPU_KERNELS_H_
#define LLMCORE_LIB_CPU_KERNELS_H_

#include <cstddef>
#include <cstdint>

namespace llmcore::cpu {

// One panel of 64 weight rows times `rows` activation rows: out[r][o] = sum_k in[r][k] w[o][k].
// Every sum runs over blocks of 64 columns in order, each block summed in order from zero.
struct LinearF32Args {
  const unsigned char* panel;
  int64_t columns;
  const float* in;
  int64_t in_stride;  // floats
  int64_t rows;
  float* out;      // [rows][64]
  float* scratch;  // [64][64], 64-byte aligned: a block of the weight in f32
};

// The same with quantized activations (layout.h): exact integer dot products of a block, then
// out = fma(dot, weight scale * activation scale, out) over the blocks in order.
struct LinearInt8Args {
  const unsigned char* panel;
  int64_t blocks;
  const unsigned char* activations;  // block 0 of the first row
  int64_t block_stride;              // bytes from a block of activations to the next
  int64_t rows;
  float* out;  // [rows][64]
  // 128 * 64 bytes, 64-byte aligned, for the nibbles of a block spread to bytes once for all tiles
  // of many rows; null: each tile spreads them in registers. The bits are the same.
  unsigned char* scratch;
};

// bf16 weights times activations in bf16 (layout.h), in sets that multiply such pairs: every sum
// runs over blocks of 128 columns in order, each block summed in order from zero.
struct LinearBf16Args {
  const unsigned char* panel;
  int64_t columns;
  const unsigned char* activations;  // block 0 of the first row
  int64_t block_stride;              // bytes from a block of activations to the next
  int64_t rows;
  float* out;  // [rows][64]
};

// out[r][o] = sums[r][o] (+ bias[o]) (+ residual[r][o]) for o < outputs.
struct StoreArgs {
  const float* sums;  // [rows][64]
  int64_t rows;
  int64_t outputs;        // 1 to 64
  const float* bias;      // [outputs] or null
  const float* residual;  // like out, or null; may be out
  float* out;
  int64_t stride;  // floats, of out and residual
};

enum class Activation { kSilu, kGeluTanh, kGelu };

// out[r][o] = activation(gate[r][o] + gate_bias[o]) * (up[r][o] + up_bias[o]).
struct StoreGatedArgs {
  const float* gate;  // [rows][64]
  const float* up;    // [rows][64]
  int64_t rows;
  int64_t outputs;
  const float* gate_bias;  // or null
  const float* up_bias;    // or null
  Activation activation;
  float* out;
  int64_t stride;
};

// One row of activations to its place in each block of quantized ones.
struct QuantizeRowArgs {
  const float* in;
  int64_t columns;
  unsigned char* out;
  int64_t block_stride;  // bytes
};

// One row of activations rounded to bf16: to its place in each block for linear_bf16, or, in sets
// without it, as columns of f32 for linear_f32, which then multiplies the same values.
struct RoundRowArgs {
  const float* in;
  int64_t columns;
  unsigned char* out;
  int64_t block_stride;  // bytes, of blocks
};

struct NormArgs {
  const float* in;
  const float* weight;
  int64_t columns;
  float epsilon;
  float* out;  // may be in
};

// One head of one row: optional norm, optional rotation.
struct RopeArgs {
  const float* in;
  const float* norm;  // [head_dim] or null
  float epsilon;
  const float* cos_sin;  // [head_dim]: cos, then sin of each pair; or null
  int64_t head_dim;
  float* out;  // may be in
};

// Where the keys and values of one head of one layer live (kv_layout.h); offsets are bytes from the
// start of a block.
struct KvHead {
  const unsigned char* layer;  // block 0
  int64_t block_bytes;
  int64_t block_tokens;
  int64_t key_offset;
  int64_t key_parameters;  // scales and zeros, of quantized formats
  int64_t value_offset;
  int64_t value_parameters;
  int64_t key_group_bytes;    // of 16 tokens
  int64_t value_group_bytes;  // likewise
};

// The key and value of one head of one token. Tokens whose values share a lane (8 at most) must not
// be written by two threads at a time.
struct AppendArgs {
  const float* key;    // [head_dim], after rotation
  const float* value;  // [head_dim]
  int64_t head_dim;
  int64_t slot;  // token of the block
  unsigned char* block;
  KvHead kv;
  uint32_t* scratch;  // [head_dim rounded up to 16]
};

// Consecutive rows of one sequence times the query heads that share one KV head. With `records`
// only one chunk of keys is attended to and out stays as it is; once all chunks of a row are,
// merge_chunks makes its output of them.
struct AttentionArgs {
  const float* q;  // first row, first query head; heads follow each other
  int64_t q_stride;
  int64_t rows;
  int64_t group;  // query heads
  int64_t head_dim;
  int64_t position;  // of the first row
  float scale;
  int64_t window;  // 0: none
  KvHead kv;
  const int32_t* blocks;  // block table of the sequence
  float* out;             // like q
  int64_t out_stride;
  float* scratch;  // AttentionScratchFloats(rows * group, head_dim), 64-byte aligned
  int64_t chunk;   // with records: the one to attend to; the first one when merging
  float* records;  // null, or [rows * group] of AttentionRecordFloats(head_dim)
};

enum class PackSource { kF32, kBf16, kF16 };

// n (1 to 128) columns of one row of a weight, quantized into row `lane` of a block of a panel.
struct PackBlockArgs {
  const void* data;  // any alignment
  PackSource source;
  int64_t n;
  int64_t lane;
  unsigned char* block;
};

// Rows of a panel whose codes are moved at a time: what they make is lines of 64 bytes.
constexpr int64_t kRepackRows = 16;

// `blocks` whole blocks of 16 rows whose codes are quantized already (quantized_checkpoint.md),
// into the rows from `lane` on of as many consecutive blocks of a panel.
struct RepackArgs {
  const unsigned char* codes[kRepackRows];   // 64 (int4) or 128 (int8) bytes a block, any alignment
  const unsigned char* scales[kRepackRows];  // bf16 (f16 beside zero points), likewise
  const unsigned char* zeros[kRepackRows];   // of int4 with zero points
  int64_t blocks;
  int64_t lane;          // a multiple of 16
  unsigned char* block;  // the first one of the panel
};

// Indexed by weight format in this order.
enum class PanelFormat : int { kF32, kBf16, kF16, kInt8, kInt4, kInt4Zeros };
constexpr int kPanelFormats = 6;

// KV formats: f32, bf16, f16, int8, int4, as core::KvFormat numbers them from 1.
constexpr int kKvFormats = 5;

struct KernelTable {
  const char* name;  // "avx512-vnni"
  void (*linear_f32[kPanelFormats])(const LinearF32Args&);
  void (*linear_int8)(const LinearInt8Args&);  // int8 weights
  void (*linear_int4)(const LinearInt8Args&);  // int4 weights
  void (*linear_int4_zeros)(const LinearInt8Args&);
  void (*linear_bf16)(const LinearBf16Args&);  // null where the set cannot multiply bf16
  void (*store)(const StoreArgs&);
  void (*store_gated)(const StoreGatedArgs&);
  bool (*pack_int8)(const PackBlockArgs&);  // false, and nothing written: NaN or infinity
  bool (*pack_int4)(const PackBlockArgs&);
  // False when a scale is NaN or infinite, or a zero point above kMostZeroPoint.
  bool (*repack_int8)(const RepackArgs&);
  bool (*repack_int4)(const RepackArgs&);
  bool (*repack_int4_zeros)(const RepackArgs&);
  void (*quantize_row)(const QuantizeRowArgs&);
  void (*round_row)(const RoundRowArgs&);
  void (*norm)(const NormArgs&);
  void (*rope)(const RopeArgs&);
  void (*append[kKvFormats])(const AppendArgs&);
  void (*attention[kKvFormats])(const AttentionArgs&);
  void (*merge_chunks)(const AttentionArgs&);  // of one row
};

constexpr int64_t RoundUp16(int64_t n) {
  return (n + 15) / 16 * 16;
}

// What one query makes of one chunk of keys (kernels/attention_record.h).
constexpr int64_t AttentionRecordFloats(int64_t head_dim) {
  return RoundUp16(head_dim) + 3 * 16;
}

// Per query its values, scale and sum and two records; a batch of scores, and the parameters of a
// tile of keys and values.
constexpr int64_t AttentionScratchFloats(int64_t queries, int64_t head_dim) {
  return queries * (RoundUp16(head_dim) + 2 * AttentionRecordFloats(head_dim)) +
         2 * RoundUp16(queries) + 8 * 64 + 16;
}

namespace baseline {
extern const KernelTable kKernels;
}
#if defined(__x86_64__)
namespace avx2 {
extern const KernelTable kKernels;
}
namespace avx2_vnni {
extern const KernelTable kKernels;
}
namespace avx512 {
extern const KernelTable kKernels;
}
namespace avx512_vnni {
extern const KernelTable kKernels;
}
namespace avx512_bf16 {
extern const KernelTable kKernels;
}
#endif

}  // namespace llmcore::cpu

#endif  // LLMCORE_LIB_CPU_KERNELS_H_
