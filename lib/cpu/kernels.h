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

// Where the keys and values of one head of one layer live (kv_layout.h).
struct KvHead {
  const unsigned char* layer;  // block 0
  int64_t block_bytes;
  int64_t block_tokens;
  int64_t key_offset;    // bytes from the start of a block
  int64_t value_offset;  // likewise
  int64_t value_stride;  // elements from one token to the next
};

// Consecutive rows of one sequence times the query heads that share one KV head.
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

// Indexed by weight format in this order.
enum class PanelFormat : int { kF32, kBf16, kF16, kInt8, kInt4 };
constexpr int kPanelFormats = 5;

struct KernelTable {
  const char* name;  // "avx512-vnni"
  void (*linear_f32[kPanelFormats])(const LinearF32Args&);
  void (*linear_int8)(const LinearInt8Args&);  // int8 weights
  void (*linear_int4)(const LinearInt8Args&);  // int4 weights
  void (*linear_bf16)(const LinearBf16Args&);  // null where the set cannot multiply bf16
  void (*store)(const StoreArgs&);
  void (*store_gated)(const StoreGatedArgs&);
  bool (*pack_int8)(const PackBlockArgs&);  // false, and nothing written: NaN or infinity
  bool (*pack_int4)(const PackBlockArgs&);
  void (*quantize_row)(const QuantizeRowArgs&);
  void (*round_row)(const RoundRowArgs&);
  void (*norm)(const NormArgs&);
  void (*rope)(const RopeArgs&);
  void (*attention_f32)(const AttentionArgs&);
  void (*attention_bf16)(const AttentionArgs&);
};

constexpr int64_t RoundUp16(int64_t n) {
  return (n + 15) / 16 * 16;
}

// Per query: its values, its accumulator, a tile of scores, running maximum and sum.
constexpr int64_t AttentionScratchFloats(int64_t queries, int64_t head_dim) {
  return queries * (2 * RoundUp16(head_dim) + 64) + 2 * RoundUp16(queries);
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
