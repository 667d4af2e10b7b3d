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
  return PassesOf(BestIsa());
}

}  // namespace llmcore::core
