// The layout of one KV block of one layer: for each KV head, its keys and then its values.
//
// A lane holds neighbouring elements of one key, or neighbouring tokens of one dimension:
//
//           lane      elements of a lane, from the lowest bit up
//   f32     4 bytes   0
//   f16     2 bytes   0
//   bf16    4 bytes   0 1
//   int8    4 bytes   0 2 1 3            even elements in the low half, odd ones in the high half:
//   int4    4 bytes   0 2 4 6 1 3 5 7    a shift and a mask take out neighbours in 16 bits each
//
//   keys    [block_tokens / 16][head_dim / n, rounded up][16 tokens] lanes of n dimensions: q . k
//                                                  needs no horizontal sum, whatever the head size
//   values  [block_tokens / n][head_dim rounded up to 16] lanes of n tokens
//
// What fills up a lane or a row is zero. Each part is rounded up to 64 bytes. Quantized keys and
// quantized values are followed by their parameters, [block_tokens / 16] of [16] f16 scale and [16]
// f16 zero, one of each a token: x = (code - zero) * scale. With a head_dim of 128 that makes 8.25
// and 4.25 bits a value.
#ifndef LLMCORE_LIB_CPU_KV_LAYOUT_H_
#define LLMCORE_LIB_CPU_KV_LAYOUT_H_

#include <cstdint>

#include "lib/backend/backend.h"
#include "lib/base/checked.h"
#include "lib/cpu/kernels.h"
#include "lib/cpu/layout.h"

namespace llmcore::cpu {

struct KvLayout {
  explicit KvLayout(const core::KvShape& shape) : block_tokens(shape.block_tokens) {
    const Lane lane = LaneOf(shape.format);
    const int64_t groups = block_tokens / kKeyGroup;
    key_group_bytes = (shape.head_dim + lane.elements - 1) / lane.elements * kKeyGroup * lane.bytes;
    value_group_bytes = kKeyGroup / lane.elements * RoundUp16(shape.head_dim) * lane.bytes;
    key_bytes = Rounded(groups * key_group_bytes);
    value_bytes = Rounded(groups * value_group_bytes);
    parameter_bytes = lane.quantized ? groups * kKvParameterBytes : 0;
    head_bytes = key_bytes + value_bytes + 2 * parameter_bytes;
    block_bytes = shape.kv_heads * head_bytes;
  }

  KvHead Head(const unsigned char* layer, int64_t head) const {
    const int64_t keys = head * head_bytes;
    const int64_t values = keys + key_bytes + parameter_bytes;
    return {.layer = layer,
            .block_bytes = block_bytes,
            .block_tokens = block_tokens,
            .key_offset = keys,
            .key_parameters = keys + key_bytes,
            .value_offset = values,
            .value_parameters = values + value_bytes,
            .key_group_bytes = key_group_bytes,
            .value_group_bytes = value_group_bytes};
  }

  int64_t block_tokens;
  int64_t key_group_bytes;    // of 16 tokens of one head
  int64_t value_group_bytes;  // likewise
  int64_t key_bytes;          // of one head
  int64_t value_bytes;        // of one head
  int64_t parameter_bytes;    // of the keys or the values of one head
  int64_t head_bytes;
  int64_t block_bytes;

 private:
  struct Lane {
    int64_t elements;
    int64_t bytes;
    bool quantized;
  };

  static Lane LaneOf(core::KvFormat format) {
    switch (format) {
      case core::KvFormat::kAuto:
      case core::KvFormat::kF32:
        return {1, 4, false};
      case core::KvFormat::kBf16:
        return {2, 4, false};
      case core::KvFormat::kF16:
        return {1, 2, false};
      case core::KvFormat::kInt8:
        return {4, 4, true};
      case core::KvFormat::kInt4:
        return {8, 4, true};
    }
    return {1, 4, false};
  }

  static int64_t Rounded(int64_t bytes) { return (bytes + 63) / 64 * 64; }
};

// The first block of a layer.
inline unsigned char* LayerBlocks(const core::KvCache& cache, int64_t block_bytes, int64_t layer) {
  return static_cast<unsigned char*>(cache.data) + layer * cache.blocks * block_bytes;
}

}  // namespace llmcore::cpu

#endif  // LLMCORE_LIB_CPU_KV_LAYOUT_H_
