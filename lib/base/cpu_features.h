// What the processor that runs this can do, and how many of it this process may use. Nothing is
// cached in a global of ours.
#ifndef LLMCORE_LIB_BASE_CPU_FEATURES_H_
#define LLMCORE_LIB_BASE_CPU_FEATURES_H_

#include <optional>

#include "absl/strings/string_view.h"

namespace llmcore::core {

// Instruction sets that kernels are compiled for, each containing the one before.
enum class Isa {
  kBaseline,  // portable C++: plain x86-64, Arm, ...
  kAvx2,      // AVX2, FMA and F16C (Haswell, Zen 1)
  kAvx512,    // AVX-512 F, BW, DQ, VL (Skylake-X, Zen 4)
};

// "baseline", "avx2", "avx512".
absl::string_view IsaName(Isa isa);

// Instructions that both the processor has and the operating system saves the registers of.
struct CpuFeatures {
  bool avx2 = false;         // with FMA and F16C
  bool avx_vnni = false;     // 256-bit vpdpbusd, VEX encoded
  bool avx512 = false;       // F, BW, DQ and VL
  bool avx512_vnni = false;  // 512-bit vpdpbusd
  bool avx512_bf16 = false;  // vdpbf16ps
  // Vector logic and shifts run beside dot products rather than in their place: AMD has four vector
  // pipes of which two multiply, Intel's two pipes of 512 bits do both.
  bool logic_beside_dot = false;

  // The widest instruction set of all.
  Isa best() const;
  bool Has(Isa isa) const;
};

CpuFeatures DetectCpuFeatures();

// DetectCpuFeatures().best() for where it is asked often: a few loads of what the compiler's
// library found out when the program began, where the other asks the processor, which traps in a
// virtual machine.
Isa BestIsa();

// Cores that this process may use: the affinity mask of the calling thread, cut down to the CPU
// quota of its control groups (rounded up), so that in a container that may use two of 64 cores not
// 64 threads wait for each other. At least 1.
int UsableCores();

// Cores that the text of a cgroup v2 `cpu.max` file ("50000 100000", "max 100000") grants, rounded
// up; nullopt when it sets no limit or cannot be read.
std::optional<int> CoresOfCpuMax(absl::string_view text);

// The least quota, in cores, of the control groups in `groups`, the text of /proc/self/cgroup, and
// of those above them; `mount` is the folder of the cgroup file systems. Version 1
// (cpu.cfs_quota_us) and version 2 (cpu.max); nullopt where nothing sets a limit.
std::optional<int> CoresOfControlGroups(absl::string_view groups, absl::string_view mount);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BASE_CPU_FEATURES_H_
