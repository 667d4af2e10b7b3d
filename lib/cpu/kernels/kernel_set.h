// The table of one instruction set. Included once, last, by each kernels_*.cc, which defines
// LLMCORE_KERNEL_SET (a namespace of kernels.h) and LLMCORE_KERNEL_SET_NAME.
#include "lib/cpu/kernels.h"
#include "lib/cpu/kernels/append.h"
#include "lib/cpu/kernels/attention.h"
#include "lib/cpu/kernels/linear_bf16.h"
#include "lib/cpu/kernels/linear_f32.h"
#include "lib/cpu/kernels/linear_int8.h"
#include "lib/cpu/kernels/pack.h"
#include "lib/cpu/kernels/rows.h"

namespace llmcore::cpu::LLMCORE_KERNEL_SET {

constexpr KernelTable kTable = {
    .name = LLMCORE_KERNEL_SET_NAME,
    .linear_f32 = {LinearF32<F32Panel>, LinearF32<Bf16Panel>, LinearF32<F16Panel>,
                   LinearF32<Int8Panel>, LinearF32<Int4Panel>, LinearF32<Int4ZerosPanel>},
    .linear_int8 = LinearInt8<Int8Weight>,
    .linear_int4 = LinearInt8<Int4Weight>,
    .linear_int4_zeros = LinearInt8<Int4ZerosWeight>,
    .linear_bf16 = kLinearBf16,
    .store = StoreRows,
    .store_gated = StoreGated,
    .pack_int8 = PackInt8,
    .pack_int4 = PackInt4,
    .repack_int8 = Repack<PanelFormat::kInt8>,
    .repack_int4 = Repack<PanelFormat::kInt4>,
    .repack_int4_zeros = Repack<PanelFormat::kInt4Zeros>,
    .quantize_row = QuantizeRow,
    .round_row = RoundRow,
    .norm = Norm,
    .rope = Rope,
    .append = {Append<F32Kv>, Append<Bf16Kv>, Append<F16Kv>, Append<Int8Kv>, Append<Int4Kv>},
    .attention = {Attention<F32Kv>, Attention<Bf16Kv>, Attention<F16Kv>, Attention<Int8Kv>,
                  Attention<Int4Kv>},
    .merge_chunks = MergeChunks,
};
const KernelTable kKernels = kTable;

}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET
