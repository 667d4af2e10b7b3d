// The layout of one KV block of one layer: for each KV head, its keys and then its values.
//
//   keys    [block_tokens / 16][head_dim][16 tokens]    16 keys side by side: q . k needs no
//                                                       horizontal sum, whatever the head size
//   values  [block_tokens][head_dim rounded up to 16]   the padding is zero
//
// Each part is rounded up to 64 bytes. Elements are f32 or bf16.
#ifndef LLMCORE_LIB_CPU_KV_LAYOUT_H_
#define LLMCORE_LIB_CPU_KV_LAYOUT_H_

#include <cstdint>

#include "lib/backend/backend.h"
#include "lib/base/checked.h"
#include "lib/cpu/kernels.h"
#include "lib/cpu/layout.h"

namespace llmcore::cpu {

struct KvLayout {
  explicit KvLayout(const core::KvShape& shape)
      : element_bytes(shape.format == core::KvFormat::kF32 ? 4 : 2),
        value_stride(RoundUp16(shape.head_dim)),
        key_bytes(Rounded(int64_t{shape.block_tokens} * shape.head_dim * element_bytes)),
        value_bytes(Rounded(shape.block_tokens * value_stride * element_bytes)),
        block_bytes(shape.kv_heads * (key_bytes + value_bytes)) {}

  int64_t KeyOffset(int64_t head) const { return head * (key_bytes + value_bytes); }
  int64_t ValueOffset(int64_t head) const { return KeyOffset(head) + key_bytes; }

  int64_t element_bytes;
  int64_t value_stride;  // elements
  int64_t key_bytes;     // of one head
  int64_t value_bytes;   // of one head
  int64_t block_bytes;

 private:
  static int64_t Rounded(int64_t bytes) { return (bytes + 63) / 64 * 64; }
};

// The first block of a layer.
inline unsigned char* LayerBlocks(const core::KvCache& cache, int64_t block_bytes, int64_t layer) {
  return static_cast<unsigned char*>(cache.data) + layer * cache.blocks * block_bytes;
}

}  // namespace llmcore::cpu

#endif  // LLMCORE_LIB_CPU_KV_LAYOUT_H_
