// cuda/kernels/common/ptx.cuh for the emulator: the same functions, and what they do.
#ifndef LLMCORE_CUDA_KERNELS_COMMON_PTX_CUH_
#define LLMCORE_CUDA_KERNELS_COMMON_PTX_CUH_

#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "lib/tensor/float16.h"

namespace llmcore::cuda {

inline unsigned char* DynamicShared() {
  return static_cast<unsigned char*>(::cuda_emulator::SharedMemory());
}

inline float F16ToF32(uint16_t bits) {
  return core::F16ToF32(bits);
}
inline uint16_t F32ToF16(float value) {
  return core::F32ToF16(value);
}
inline uint16_t F32ToBf16(float value) {
  return core::F32ToBf16(value);
}
inline uint32_t PackBf16(float low, float high) {
  return F32ToBf16(low) | static_cast<uint32_t>(F32ToBf16(high)) << 16;
}

inline uint32_t FmaBf16x2(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t result = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    const auto half = [shift](uint32_t v) {
      return static_cast<double>(core::Bf16ToF32(static_cast<uint16_t>(v >> shift)));
    };
    // Exact in double but for extreme exponents; a float between would round twice.
    const double exact = half(a) * half(b) + half(c);
    float once = static_cast<float>(exact);
    // Round to odd, so that the second rounding is right.
    if (static_cast<double>(once) != exact && std::isfinite(once)) {
      uint32_t bits = __float_as_uint(once);
      if (std::fabs(static_cast<double>(once)) > std::fabs(exact)) --bits;
      once = __uint_as_float(bits | 1);
    }
    result |= static_cast<uint32_t>(F32ToBf16(once)) << shift;
  }
  return result;
}

inline uint32_t PickBytes(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t both = static_cast<uint64_t>(b) << 32 | a;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t from = selector >> (4 * i) & 7;
    result |= static_cast<uint32_t>(both >> (8 * from) & 0xFF) << (8 * i);
  }
  return result;
}

inline uint4 LoadStream16(const void* address) {
  uint4 value;
  std::memcpy(&value, __builtin_assume_aligned(address, 16), 16);
  return value;
}

template <int kBytes>
inline void CopyAsync(void* shared, const void* global, bool valid) {
  ::cuda_emulator::AsyncCopy(shared, global, kBytes, valid ? kBytes : 0);
}
inline void CommitAsync() {
  ::cuda_emulator::AsyncCommit();
}
template <int kPending>
inline void WaitAsync() {
  ::cuda_emulator::AsyncWait(kPending);
}

namespace emulated {

struct MmaOperand {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

using ToF32 = float (*)(uint16_t);

// PTX ISA, "Matrix Fragments for mma.m16n8k16 with .f16 and .bf16": group g = lane / 4, t = lane
// % 4.
template <ToF32 kConvert>
CUDA_EMULATOR_MEET void MeetMma(void* const* operands, uint32_t mask) {
  if (mask != 0xFFFFFFFFu) ::cuda_emulator::Fault("mma of less than a warp: mask %08x", mask);
  float a[16][16];
  float b[16][8];
  const auto low = [](uint32_t v) { return kConvert(static_cast<uint16_t>(v)); };
  const auto high = [](uint32_t v) { return kConvert(static_cast<uint16_t>(v >> 16)); };
  for (int lane = 0; lane < 32; ++lane) {
    const auto* operand = static_cast<const MmaOperand*>(operands[lane]);
    const int g = lane / 4;
    const int t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = g + 8 * (i % 2);
      const int k = 2 * t + 8 * (i / 2);
      a[row][k] = low(operand->a[i]);
      a[row][k + 1] = high(operand->a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      const int k = 2 * t + 8 * i;
      b[k][g] = low(operand->b[i]);
      b[k + 1][g] = high(operand->b[i]);
    }
  }
  for (int row = 0; row < 16; ++row) {
    float sum[8];
    for (int n = 0; n < 8; ++n) {
      const auto* operand = static_cast<const MmaOperand*>(operands[row % 8 * 4 + n / 2]);
      sum[n] = operand->d[row / 8 * 2 + n % 2];
    }
    for (int k = 0; k < 16; ++k) {
      for (int n = 0; n < 8; ++n) sum[n] += a[row][k] * b[k][n];
    }
    for (int n = 0; n < 8; ++n) {
      const auto* operand = static_cast<const MmaOperand*>(operands[row % 8 * 4 + n / 2]);
      operand->d[row / 8 * 2 + n % 2] = sum[n];
    }
  }
}

template <ToF32 kConvert>
void Mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  MmaOperand operand = {d, a, b};
  ::cuda_emulator::WarpMeet(0xFFFFFFFFu, &operand, MeetMma<kConvert>);
}

struct MatrixOperand {
  const void* row;
  uint32_t* d;
};

// Lane i gives the address of row i % 8 of matrix i / 8 and gets, of each matrix, the pair of
// columns 2t of row g.
CUDA_EMULATOR_MEET inline void MeetLoadMatrix(void* const* operands, uint32_t mask) {
  if (mask != 0xFFFFFFFFu) ::cuda_emulator::Fault("ldmatrix of less than a warp: %08x", mask);
  for (int lane = 0; lane < 32; ++lane) {
    const auto* own = static_cast<const MatrixOperand*>(operands[lane]);
    if (reinterpret_cast<uintptr_t>(own->row) % 16 != 0) {
      ::cuda_emulator::Fault("ldmatrix of a row that is not aligned to 16 bytes");
    }
    for (int matrix = 0; matrix < 4; ++matrix) {
      const auto* source = static_cast<const MatrixOperand*>(operands[matrix * 8 + lane / 4]);
      std::memcpy(&own->d[matrix], static_cast<const char*>(source->row) + lane % 4 * 4, 4);
    }
  }
}

}  // namespace emulated

inline void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulated::Mma<core::Bf16ToF32>(d, a, b);
}
inline void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  emulated::Mma<core::F16ToF32>(d, a, b);
}
inline void LoadMatrix4(uint32_t (&d)[4], const void* row) {
  emulated::MatrixOperand operand = {row, d};
  ::cuda_emulator::WarpMeet(0xFFFFFFFFu, &operand, emulated::MeetLoadMatrix);
}

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_COMMON_PTX_CUH_
