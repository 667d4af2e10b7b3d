// Quantization of weights into panels (layout.h), a block of 128 columns of one row at a time.
// Included by a kernel_set only. Same bytes as lib/tensor/int4.h and int8.h.
#ifndef LLMCORE_LIB_CPU_KERNELS_PACK_H_
#define LLMCORE_LIB_CPU_KERNELS_PACK_H_

#include "lib/cpu/kernels.h"
#include "lib/cpu/kernels/simd.h"

namespace llmcore::cpu::LLMCORE_KERNEL_SET {
namespace {

// Bytes of a row that are asked for ahead of their turn: 16 rows are more streams than a core's own
// prefetcher follows.
constexpr int64_t kRepackAhead = 512;

constexpr int kBlockVectors = static_cast<int>(kBlock) / kLanes;

// All ones in lanes that hold NaN or infinity.
LLMCORE_INLINE I32 NonFinite(F32 v) {
  return (I32)(((U32)v & 0x7F800000u) == SetU32(0x7F800000u));
}

LLMCORE_INLINE bool AnyLane(I32 mask) {
  int32_t lanes[kLanes];
  __builtin_memcpy(lanes, &mask, sizeof lanes);
  int32_t any = 0;
  for (const int32_t lane : lanes) any |= lane;
  return any != 0;
}

// The values of a block rounded to bf16 and padded with zeros; false when one is NaN or infinite,
// or becomes so.
LLMCORE_INLINE bool LoadBlock(const PackBlockArgs& a, F32* values) {
  alignas(64) unsigned char bytes[kBlock * 4];
  const size_t size = a.source == PackSource::kF32 ? 4 : 2;
  const size_t count = static_cast<size_t>(a.n) * size;
  __builtin_memcpy(bytes, a.data, count);
  if (a.n < kBlock) __builtin_memset(bytes + count, 0, kBlock * size - count);
  const auto* floats = reinterpret_cast<const float*>(bytes);
  const auto* halves = reinterpret_cast<const uint16_t*>(bytes);
  I32 bad = {};
  for (int v = 0; v < kBlockVectors; ++v) {
    F32 x;
    if (a.source == PackSource::kBf16) {
      x = LoadBf16(halves + v * kLanes);
    } else {
      x = a.source == PackSource::kF32 ? Load(floats + v * kLanes) : LoadF16(halves + v * kLanes);
      bad |= NonFinite(x);
      x = RoundToBf16(x);
    }
    bad |= NonFinite(x);
    values[v] = x;
  }
  return !AnyLane(bad);
}

// Codes plus `offset` as bytes, and the scale in bf16. `limit_low` and `limit_high` bound the
// codes; the divisor of absmax is limit_high.
template <bool kRoundQuotient>
LLMCORE_INLINE uint16_t QuantizeValues(const F32* values, float limit_low, float limit_high,
                                       int offset, unsigned char* codes) {
  using Bytes = unsigned char __attribute__((vector_size(kLanes)));
  F32 largest = {};
  for (int v = 0; v < kBlockVectors; ++v) largest = Max(Abs(values[v]), largest);
  float absmax = Largest(largest);
  if (absmax == 0.0f) absmax = 1.0f;
  const F32 scale = RoundToBf16(Set(absmax / limit_high));
  for (int v = 0; v < kBlockVectors; ++v) {
    F32 quotient = values[v] / scale;
    if (kRoundQuotient) quotient = RoundToBf16(quotient);
    quotient = Select((I32)(quotient == quotient), quotient, F32{});
    const F32 limited = Min(Set(limit_high), Max(Set(limit_low), quotient));
    const U32 code =
        (U32)(limited + Set(12582912.0f)) - 0x4B400000u + static_cast<uint32_t>(offset);
    const Bytes narrow = __builtin_convertvector(code, Bytes);
    __builtin_memcpy(codes + v * kLanes, &narrow, sizeof narrow);
  }
  float first[kLanes];
  Store(first, scale);
  uint32_t bits;
  __builtin_memcpy(&bits, first, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

bool PackInt4(const PackBlockArgs& a) {
  F32 values[kBlockVectors];
  if (!LoadBlock(a, values)) return false;
  alignas(64) unsigned char codes[kBlock];
  const uint16_t scale = QuantizeValues<true>(values, -8.0f, 7.0f, 8, codes);
  __builtin_memcpy(a.block + a.lane * 2, &scale, sizeof scale);
  unsigned char* out = a.block + kScaleBytes + a.lane * 4;
  for (int octet = 0; octet < 16; ++octet) {
    uint32_t quads[2];
    __builtin_memcpy(quads, codes + octet * 8, sizeof quads);
    const uint32_t packed = quads[0] | quads[1] << 4;
    __builtin_memcpy(out + octet * (4 * kPanelRows), &packed, sizeof packed);
  }
  return true;
}

bool PackInt8(const PackBlockArgs& a) {
  F32 values[kBlockVectors];
  if (!LoadBlock(a, values)) return false;
  alignas(64) unsigned char codes[kBlock];
  const uint16_t scale = QuantizeValues<false>(values, -127.0f, 127.0f, 128, codes);
  __builtin_memcpy(a.block + a.lane * 2, &scale, sizeof scale);
  unsigned char* out = a.block + kScaleBytes + a.lane * 4;
  for (int quad = 0; quad < 32; ++quad) {
    __builtin_memcpy(out + quad * (4 * kPanelRows), codes + quad * 4, 4);
  }
  return true;
}

// 64 bytes whatever the instruction set: a line of a panel is 16 rows of one quad or octet.
using Line = uint32_t __attribute__((vector_size(64)));

// Turns 16 rows of 16 words by four perfect shuffles: each interleaves the first half of the rows
// with the second.
LLMCORE_INLINE void Transpose(Line* rows) {
  Line other[kRepackRows];
  Line* from = rows;
  Line* to = other;
  LLMCORE_UNROLL
  for (int stage = 0; stage < 4; ++stage) {
    LLMCORE_UNROLL
    for (int i = 0; i < 8; ++i) {
      to[2 * i] = __builtin_shufflevector(from[i], from[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20,
                                          5, 21, 6, 22, 7, 23);
      to[2 * i + 1] = __builtin_shufflevector(from[i], from[i + 8], 8, 24, 9, 25, 10, 26, 11, 27,
                                              12, 28, 13, 29, 14, 30, 15, 31);
    }
    Line* const swapped = from;
    from = to;
    to = swapped;
  }
}

// Eight codes a word in the order of the checkpoint (even columns in the high nibble) to an octet
// of the panel: column j in the low nibble of byte j, column j + 4 in the high one; signed ones
// each plus 8.
template <bool kSigned>
LLMCORE_INLINE void ToOctets(Line* words) {
  const Line e = kSigned ? *words ^ 0x88888888u : *words;
  *words = ((e >> 4) & 0x0000F00Fu) | ((e << 4) & 0xF00F0000u) | ((e << 8) & 0x00000F00u) |
           ((e << 16) & 0x0F000000u) | ((e >> 16) & 0x000000F0u) | ((e >> 8) & 0x00F00000u);
}

template <PanelFormat kFormat>
bool Repack(const RepackArgs& a) {
  constexpr bool kNibbles = kFormat != PanelFormat::kInt8;
  constexpr bool kZeros = kFormat == PanelFormat::kInt4Zeros;
  constexpr int64_t kRowBytes = kNibbles ? kBlock / 2 : kBlock;
  constexpr int64_t kBlockBytes = kZeros     ? kInt4ZerosBlockBytes
                                  : kNibbles ? kInt4BlockBytes
                                             : kInt8BlockBytes;
  constexpr uint16_t kExponent = kZeros ? 0x7C00u : 0x7F80u;
  bool usable = true;
  unsigned char* block = a.block;
  for (int64_t b = 0; b < a.blocks; ++b, block += kBlockBytes) {
    for (int64_t row = 0; row < kRepackRows; ++row) {
      uint16_t scale;
      __builtin_memcpy(&scale, a.scales[row] + b * 2, sizeof scale);
      __builtin_memcpy(block + (a.lane + row) * 2, &scale, sizeof scale);
      usable &= (scale & kExponent) != kExponent;
      if constexpr (kZeros) {
        block[kScaleBytes + a.lane + row] = a.zeros[row][b];
        usable &= a.zeros[row][b] <= kMostZeroPoint;
      }
    }
    unsigned char* out = block + kScaleBytes + (kZeros ? kPanelRows : 0) + a.lane * 4;
    for (int64_t part = 0; part < kRowBytes; part += 64, out += 16 * 4 * kPanelRows) {
      Line lines[kRepackRows];
      LLMCORE_UNROLL
      for (int64_t row = 0; row < kRepackRows; ++row) {
        const unsigned char* codes = a.codes[row] + b * kRowBytes + part;
        __builtin_prefetch(codes + kRepackAhead);
        __builtin_memcpy(&lines[row], codes, sizeof(Line));
        if constexpr (kNibbles) {
          ToOctets<!kZeros>(&lines[row]);
        } else {
          lines[row] ^= 0x80808080u;
        }
      }
      Transpose(lines);
      LLMCORE_UNROLL
      for (int64_t word = 0; word < 16; ++word) {
        __builtin_memcpy(out + word * (4 * kPanelRows), &lines[word], sizeof(Line));
      }
    }
  }
  return usable;
}

}  // namespace
}  // namespace llmcore::cpu::LLMCORE_KERNEL_SET

#endif  // LLMCORE_LIB_CPU_KERNELS_PACK_H_
