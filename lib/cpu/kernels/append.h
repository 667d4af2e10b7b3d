// Writing keys and values into blocks of the KV cache (kv_layout.h). Included by a kernel_set only.
#ifndef LLMCORE_LIB_CPU_KERNELS_APPEND_H_
#define LLMCORE_LIB_CPU_KERNELS_APPEND_H_

#include "lib/cpu/kernels.h"
#include "lib/cpu/kernels/kv_formats.h"
#include "lib/cpu/kernels/rows.h"
#include "lib/cpu/kernels/simd_pairs.h"

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

// One f16 from an f32.
LLMCORE_INLINE uint16_t OneF16(float x) {
  return static_cast<uint16_t>(F16Bits(Set(x))[0]);
}

// How one token's keys or values of one head become codes: x = (code - zero) * scale.
struct Quantization {
  uint16_t scale;  // f16
  uint16_t zero;   // f16
};

// scale = (max - min) / codes, rounded up in f16, over a range that holds 0; zero = -min / scale in
// f16; code = round_half_even(x / scale + zero), cut to 0..codes. Where that is no number (NaN or
// infinity among the values, or values further apart than f16 can scale) the token's head is NaN;
// where the scale is 0 it is 0.
LLMCORE_INLINE Quantization Quantize(const float* in, int64_t n, int most, uint32_t* codes) {
  F32 low = {};
  F32 high = {};
  F32 poison = {};  // NaN once a value is NaN or infinite
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    const F32 v = LoadLanes(in + i, lanes);
    low = Min(v, low);
    high = Max(v, high);
    poison += v - v;
  });
  const float least = -Largest(-low);
  const float range = Largest(high) - least + Sum(poison);
  const float wanted = range / static_cast<float>(most);
  Quantization q = {OneF16(wanted), 0};
  if (!(wanted <= 65504.0f)) q = {0x7E00, 0x7E00};
  if (wanted > 0 && F16Value(q.scale) < wanted) ++q.scale;
  const float scale = F16Value(q.scale);
  const bool usable = scale > 0;
  if (usable) q.zero = OneF16(-least / scale);
  const F32 zero = Set(F16Value(q.zero));
  const F32 limit = Set(static_cast<float>(most));
  ForVectors(n, [&](int64_t i, int64_t lanes) {
    I32 code = {};
    if (usable) {
      const F32 x = LoadLanes(in + i, lanes) / Set(scale) + zero;
      code = RoundToI32(Min(limit, Max(x, F32{})));
    }
    StoreAs(codes + i, code);
  });
  return q;
}

// Bits of an element within its lane: even elements fill the low half, odd ones the high half, so
// that a shift and a mask take out pairs of neighbours.
template <typename Kv>
LLMCORE_INLINE int ElementShift(int64_t element) {
  constexpr int kBits = 32 / Kv::kUnit;
  return static_cast<int>(element / 2 * kBits + element % 2 * 16);
}

// Elements of one head as the format stores them, one a word; zeros up to `width` words.
template <typename Kv>
LLMCORE_INLINE Quantization Encode(const float* in, int64_t n, int64_t width, uint32_t* out) {
  Quantization q = {};
  if constexpr (kQuantized<Kv>) {
    q = Quantize(in, n, Kv::kCodes, out);
  } else {
    ForVectors(n, [&](int64_t i, int64_t lanes) {
      const F32 v = LoadLanes(in + i, lanes);
      if constexpr (Kv::kUnit == 2) {
        StoreAs(out + i, Bf16Bits(v));
      } else if constexpr (Kv::kLaneBytes == 2) {
        StoreAs(out + i, F16Bits(v));
      } else {
        StoreAs(out + i, v);
      }
    });
  }
  for (int64_t i = n; i < width; ++i) out[i] = 0;
  return q;
}

LLMCORE_INLINE void StoreParameters(const Quantization& q, int64_t slot, unsigned char* to) {
  auto* p = reinterpret_cast<uint16_t*>(to + slot / kKeyGroup * kKvParameterBytes);
  p[slot % kKeyGroup] = q.scale;
  p[kKeyGroup + slot % kKeyGroup] = q.zero;
}

template <typename Kv>
LLMCORE_INLINE void StoreKey(const uint32_t* elements, int64_t head_dim, int64_t slot,
                             unsigned char* to) {
  to += slot % kKeyGroup * Kv::kLaneBytes;
  for (int64_t d = 0; d < head_dim; d += Kv::kUnit, to += kKeyGroup * Kv::kLaneBytes) {
    uint32_t lane = 0;
    LLMCORE_UNROLL
    for (int e = 0; e < Kv::kUnit; ++e) lane |= elements[d + e] << ElementShift<Kv>(e);
    __builtin_memcpy(to, &lane, Kv::kLaneBytes);
  }
}

template <typename Kv>
LLMCORE_INLINE void StoreValue(const uint32_t* elements, int64_t width, int64_t slot,
                               unsigned char* to) {
  to += slot % kKeyGroup / Kv::kUnit * width * Kv::kLaneBytes;
  if constexpr (Kv::kUnit == 1) {
    for (int64_t d = 0; d < width; ++d) {
      __builtin_memcpy(to + d * Kv::kLaneBytes, elements + d, Kv::kLaneBytes);
    }
  } else {
    const int shift = ElementShift<Kv>(slot % Kv::kUnit);
    const U32 mask = SetU32(((1u << (32 / Kv::kUnit)) - 1u) << shift);
    for (int64_t d = 0; d < width; d += kLanes) {
      const U32 others = LoadAs<U32>(to + d * 4) & ~mask;
      StoreAs(to + d * 4, others | LoadAs<U32>(elements + d) << shift);
    }
  }
}

template <typename Kv>
void Append(const AppendArgs& a) {
  const int64_t width = RoundUp16(a.head_dim);
  uint32_t* elements = a.scratch;
  unsigned char* block = a.block;
  const int64_t group = a.slot / kKeyGroup;
  const Quantization key = Encode<Kv>(a.key, a.head_dim, width, elements);
  StoreKey<Kv>(elements, a.head_dim, a.slot,
               block + a.kv.key_offset + group * a.kv.key_group_bytes);
  const Quantization value = Encode<Kv>(a.value, a.head_dim, width, elements);
  StoreValue<Kv>(elements, width, a.slot,
                 block + a.kv.value_offset + group * a.kv.value_group_bytes);
  if constexpr (kQuantized<Kv>) {
    StoreParameters(key, a.slot, block + a.kv.key_parameters);
    StoreParameters(value, a.slot, block + a.kv.value_parameters);
  }
}

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_APPEND_H_
