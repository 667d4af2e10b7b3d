// All inline PTX of the backend, and the one accessor of dynamic shared memory. The emulator
// (tests/cuda_emulator/) has a header of the same functions in its place.
#ifndef LLMCORE_CUDA_KERNELS_COMMON_PTX_CUH_
#define LLMCORE_CUDA_KERNELS_COMMON_PTX_CUH_

#include <cuda_runtime.h>

#include <cstdint>

namespace llmcore::cuda {

// The dynamic shared memory of the block, aligned to 16 bytes.
__device__ __forceinline__ unsigned char* DynamicShared() {
  extern __shared__ uint4 llmcore_dynamic_shared[];
  return reinterpret_cast<unsigned char*>(llmcore_dynamic_shared);
}

// ---- Conversions, round to nearest even --------------------------------------------------------

__device__ __forceinline__ float F16ToF32(uint16_t bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
__device__ __forceinline__ uint16_t F32ToF16(float value) {
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
__device__ __forceinline__ uint16_t F32ToBf16(float value) {
  uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
__device__ __forceinline__ uint32_t PackBf16(float low, float high) {
  uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return bits;
}

// ---- Pairs of bf16 -----------------------------------------------------------------------------

// a * b + c, rounded once.
__device__ __forceinline__ uint32_t FmaBf16x2(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t result;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
  return result;
}

// Byte i of the result is byte (selector >> 4i & 7) of b:a.
__device__ __forceinline__ uint32_t PickBytes(uint32_t a, uint32_t b, uint32_t selector) {
  return __byte_perm(a, b, selector);
}

// ---- Memory ------------------------------------------------------------------------------------

// 16 bytes of memory that nothing writes during the kernel and that is read once: not kept in L1.
__device__ __forceinline__ uint4 LoadStream16(const void* address) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(address));
  return value;
}

// Copies kBytes (16) behind the thread's back, or writes zeros where `valid` is false.
template <int kBytes>
__device__ __forceinline__ void CopyAsync(void* shared, const void* global, bool valid) {
  static_assert(kBytes == 16, "cp.async.cg takes 16 bytes");
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? kBytes : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global),
               "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void CommitAsync() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Waits for all groups of this thread but the newest kPending.
template <int kPending>
__device__ __forceinline__ void WaitAsync() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// ---- Tensor cores ------------------------------------------------------------------------------

// d += a b for a 16 x 16 and b 16 x 8 in the fragments of mma.m16n8k16: with g = lane / 4 and
// t = lane % 4, a[0], a[1], a[2], a[3] hold rows g, g + 8, g, g + 8 at k = 2t, 2t, 2t + 8, 2t + 8
// and the next; b[0], b[1] column g at k = 2t, 2t + 8 and the next; d[0], d[1] row g, d[2], d[3]
// row g + 8 at columns 2t, 2t + 1.
__device__ __forceinline__ void MmaBf16(float (&d)[4], const uint32_t (&a)[4],
                                        const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// The same with f16.
__device__ __forceinline__ void MmaF16(float (&d)[4], const uint32_t (&a)[4],
                                       const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8 x 8 matrices of 16-bit values from shared memory: lane i gives the address of row i % 8 of
// matrix i / 8, aligned to 16 bytes, and gets the pair at columns 2t of row g of each.
__device__ __forceinline__ void LoadMatrix4(uint32_t (&d)[4], const void* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(address)
               : "memory");
}

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_COMMON_PTX_CUH_
