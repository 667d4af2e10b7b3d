#include "lib/sampling/passes.h"

namespace llmcore::core {

namespace baseline {
extern const Passes kPasses;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Passes kPasses;
}
namespace avx512 {
extern const Passes kPasses;
}
#endif

const Passes& PassesOf(Isa isa) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) return avx512::kPasses;
  if (isa == Isa::kAvx2) return avx2::kPasses;
#endif
  (void)isa;
  return baseline::kPasses;
}

const Passes& WidestPasses() {
#if defined(__x86_64__)
  // DetectCpuFeatures in terms of the compiler's own library.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      return avx512::kPasses;
    }
    return avx2::kPasses;
  }
#endif
  return baseline::kPasses;
}

}  // namespace llmcore::core
