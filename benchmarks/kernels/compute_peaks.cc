#include <algorithm>
#include <cstdint>

#include "benchmarks/kernels/ceilings.h"
#include "benchmarks/kernels/pinned_threads.h"
#include "lib/base/cpu_features.h"

namespace llmcore::benchmarks {
namespace {

constexpr int64_t kTurns = 10000;  // of one call
constexpr double kSeconds = 0.04;  // of one attempt
constexpr int kAttempts = 3;

using Loop = void (*)(const void* operand);  // kTurns turns

double Rate(int threads, Loop loop, double ops_a_turn, const void* operand) {
  double best = 0;  // a core that the host took away for a moment is no ceiling
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    best = std::max(best, PinnedRate(threads, kSeconds, [&](int) {
                      loop(operand);
                      return ops_a_turn * static_cast<double>(kTurns);
                    }));
  }
  return best;
}

// Bytes and floats that neither overflow nor become denormal as they are multiplied and summed.
alignas(64) constexpr uint8_t kBytes[64] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
alignas(64) constexpr float kFloats[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
// Halves of kFloats' elements are the bf16 values 0 and 1.

#if defined(__x86_64__)
// In assembly, so that neither compiler spills, merges or reorders an accumulator away.
#define LLMCORE_EACH_12(m) m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11)
#define LLMCORE_EACH_24(m) \
  LLMCORE_EACH_12(m) m(12) m(13) m(14) m(15) m(16) m(17) m(18) m(19) m(20) m(21) m(22) m(23)
#define LLMCORE_CLOBBER_16                                                                 \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define LLMCORE_CLOBBER_32                                                                    \
  LLMCORE_CLOBBER_16, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", \
      "xmm30", "xmm31"

#define LLMCORE_CLEAR_ZMM(n) "vpxord %%zmm" #n ", %%zmm" #n ", %%zmm" #n "\n\t"
#define LLMCORE_CLEAR_YMM(n) "vpxor %%ymm" #n ", %%ymm" #n ", %%ymm" #n "\n\t"

// 24 accumulators of 512 bits.
#define LLMCORE_LOOP_512(name, turn)                                                             \
  __attribute__((target("avx512f"))) void name(const void* operand) {                            \
    int64_t turns = kTurns;                                                                      \
    __asm__ volatile(LLMCORE_EACH_24(LLMCORE_CLEAR_ZMM) "vmovups (%[in]), %%zmm30\n\t"         \
                                                        "vmovups (%[in]), %%zmm31\n\t"         \
                                                        "1:\n\t" LLMCORE_EACH_24(turn)         \
                                                            "dec %[turns]\n\tjnz 1b\n\t"       \
                     : [turns] "+r"(turns)                                                    \
                     : [in] "r"(operand)                                                      \
                     : "cc", LLMCORE_CLOBBER_32); \
  }
#define LLMCORE_VPDPBUSD_512(n) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #n "\n\t"
#define LLMCORE_VDPBF16PS_512(n) "vdpbf16ps %%zmm30, %%zmm31, %%zmm" #n "\n\t"
#define LLMCORE_FMA_512(n) "vfmadd231ps %%zmm30, %%zmm31, %%zmm" #n "\n\t"
LLMCORE_LOOP_512(Vpdpbusd512, LLMCORE_VPDPBUSD_512)
LLMCORE_LOOP_512(Vdpbf16ps512, LLMCORE_VDPBF16PS_512)
LLMCORE_LOOP_512(Fma512, LLMCORE_FMA_512)

// 12 accumulators of 256 bits; 13 is scratch, 14 the operand, 15 sixteen ones of 16 bits.
#define LLMCORE_LOOP_256(name, turn)                                                              \
  __attribute__((target("avx2"))) void name(const void* operand) {                                \
    int64_t turns = kTurns;                                                                       \
    __asm__ volatile(LLMCORE_EACH_12(LLMCORE_CLEAR_YMM) "vmovups (%[in]), %%ymm14\n\t"          \
                                                        "vpcmpeqw %%ymm15, %%ymm15, %%ymm15\n\t" \
                                                        "vpabsw %%ymm15, %%ymm15\n\t"           \
                                                        "1:\n\t" LLMCORE_EACH_12(turn)          \
                                                            "dec %[turns]\n\tjnz 1b\n\t"        \
                                                            "vzeroupper\n\t"                    \
                     : [turns] "+r"(turns)                                                     \
                     : [in] "r"(operand)                                                       \
                     : "cc", LLMCORE_CLOBBER_16); \
  }
#define LLMCORE_VPDPBUSD_256(n) "%{vex%} vpdpbusd %%ymm14, %%ymm14, %%ymm" #n "\n\t"
#define LLMCORE_MADDUBS_256(n)               \
  "vpmaddubsw %%ymm14, %%ymm14, %%ymm13\n\t" \
  "vpmaddwd %%ymm15, %%ymm13, %%ymm13\n\t"   \
  "vpaddd %%ymm13, %%ymm" #n ", %%ymm" #n "\n\t"
#define LLMCORE_FMA_256(n) "vfmadd231ps %%ymm14, %%ymm14, %%ymm" #n "\n\t"
LLMCORE_LOOP_256(Vpdpbusd256, LLMCORE_VPDPBUSD_256)
LLMCORE_LOOP_256(Vpmaddubsw256, LLMCORE_MADDUBS_256)
LLMCORE_LOOP_256(Fma256, LLMCORE_FMA_256)
#endif

// Products and sums of four floats, as plain C++ on any processor.
constexpr int kPortableOps = 12 * 4 * 2;
void PortableFma(const void* operand) {
  typedef float Lane __attribute__((vector_size(16)));
  const Lane in = *static_cast<const Lane*>(operand);
  Lane sums[12] = {};
  for (int64_t i = 0; i < kTurns; ++i) {
    for (Lane& sum : sums) {
      sum += in * in;
      __asm__ volatile("" : "+m"(sum));
    }
  }
}

}  // namespace

Peak Int8DotPeak([[maybe_unused]] int threads) {
#if defined(__x86_64__)
  const core::CpuFeatures features = core::DetectCpuFeatures();
  if (features.avx512_vnni) {
    return {"vpdpbusd, 512 bits", Rate(threads, Vpdpbusd512, 24 * 128, kBytes)};
  }
  if (features.avx_vnni) {
    return {"vpdpbusd, 256 bits", Rate(threads, Vpdpbusd256, 12 * 64, kBytes)};
  }
  if (features.avx2) {
    return {"vpmaddubsw, 256 bits", Rate(threads, Vpmaddubsw256, 12 * 64, kBytes)};
  }
#endif
  return {};
}

Peak Bf16DotPeak([[maybe_unused]] int threads) {
#if defined(__x86_64__)
  if (core::DetectCpuFeatures().avx512_bf16) {
    return {"vdpbf16ps, 512 bits", Rate(threads, Vdpbf16ps512, 24 * 64, kFloats)};
  }
#endif
  return {};
}

Peak F32FmaPeak(int threads) {
#if defined(__x86_64__)
  const core::CpuFeatures features = core::DetectCpuFeatures();
  if (features.avx512) return {"vfmadd231ps, 512 bits", Rate(threads, Fma512, 24 * 32, kFloats)};
  if (features.avx2) return {"vfmadd231ps, 256 bits", Rate(threads, Fma256, 12 * 16, kFloats)};
#endif
  return {"multiply and add, 128 bits", Rate(threads, PortableFma, kPortableOps, kFloats)};
}

}  // namespace llmcore::benchmarks
