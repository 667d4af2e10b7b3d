#include "lib/base/cpu_features.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "lib/base/file.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

namespace llmcore::core {
namespace {

// The first line of a small file of /proc or /sys; empty when there is none.
std::string FirstLine(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadStream(path, 4096);
  return text.ok() ? text->substr(0, text->find('\n')) : "";
}

std::optional<int> CoresOfQuota(int64_t quota, int64_t period) {
  if (quota <= 0 || period <= 0) return std::nullopt;
  const int64_t cores = quota / period + (quota % period != 0 ? 1 : 0);
  return static_cast<int>(std::min<int64_t>(cores, std::numeric_limits<int>::max()));
}

std::optional<int> CoresOfCgroupV1(const std::string& folder) {
  int64_t quota = 0;
  int64_t period = 0;
  if (!absl::SimpleAtoi(FirstLine(folder + "/cpu.cfs_quota_us"), &quota)) return std::nullopt;
  if (!absl::SimpleAtoi(FirstLine(folder + "/cpu.cfs_period_us"), &period)) return std::nullopt;
  return CoresOfQuota(quota, period);
}

int AffinityCores() {
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  return static_cast<int>(std::thread::hardware_concurrency());
}

#if defined(__x86_64__)
constexpr bool Bit(uint32_t word, int bit) {
  return ((word >> bit) & 1u) != 0;
}

// XCR0: which register files the operating system saves on a switch.
uint64_t ExtendedControlRegister() {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}
#endif

}  // namespace

absl::string_view IsaName(Isa isa) {
  switch (isa) {
    case Isa::kBaseline:
      return "baseline";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "unknown";
}

Isa CpuFeatures::best() const {
  return avx512 ? Isa::kAvx512 : avx2 ? Isa::kAvx2 : Isa::kBaseline;
}

bool CpuFeatures::Has(Isa isa) const {
  switch (isa) {
    case Isa::kBaseline:
      return true;
    case Isa::kAvx2:
      return avx2;
    case Isa::kAvx512:
      return avx512;
  }
  return false;
}

CpuFeatures DetectCpuFeatures() {
  CpuFeatures features;
#if defined(__x86_64__)
  // Bit numbers: Intel SDM volume 2A, CPUID leaves 1 and 7.
  uint32_t a = 0;
  uint32_t b = 0;
  uint32_t c = 0;
  uint32_t d = 0;
  // Leaf 0 spells the vendor: "Auth" "enti" "cAMD".
  features.logic_beside_dot = __get_cpuid(0, &a, &b, &c, &d) != 0 && b == 0x68747541u &&
                              d == 0x69746E65u && c == 0x444D4163u;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return features;
  const bool fma = Bit(c, 12);
  const bool os_saves = Bit(c, 27);
  const bool avx = Bit(c, 28);
  const bool f16c = Bit(c, 29);
  if (!os_saves || !avx) return features;
  constexpr uint64_t kYmm = 0x06;
  constexpr uint64_t kZmm = 0xE6;
  const uint64_t saved = ExtendedControlRegister();
  if ((saved & kYmm) != kYmm || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return features;
  const uint32_t subleaves = a;
  features.avx2 = Bit(b, 5) && fma && f16c;
  features.avx512 = features.avx2 && (saved & kZmm) == kZmm && Bit(b, 16) && Bit(b, 17) &&
                    Bit(b, 30) && Bit(b, 31);
  features.avx512_vnni = features.avx512 && Bit(c, 11);
  if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) {
    features.avx_vnni = features.avx2 && Bit(a, 4);
    features.avx512_bf16 = features.avx512 && Bit(a, 5);
  }
#endif
  return features;
}

Isa BestIsa() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::kBaseline;
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
             ? Isa::kAvx512
             : Isa::kAvx2;
#else
  return Isa::kBaseline;
#endif
}

std::optional<int> CoresOfCpuMax(absl::string_view text) {
  const size_t space = text.find(' ');
  if (space == absl::string_view::npos) return std::nullopt;
  int64_t quota = 0;
  int64_t period = 0;
  if (!absl::SimpleAtoi(text.substr(0, space), &quota)) return std::nullopt;
  if (!absl::SimpleAtoi(text.substr(space + 1), &period)) return std::nullopt;
  return CoresOfQuota(quota, period);
}

std::optional<int> CoresOfControlGroups(absl::string_view groups, absl::string_view mount) {
  std::optional<int> least;
  for (const absl::string_view line : absl::StrSplit(groups, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const bool unified = fields[1].empty();  // version 2; else a hierarchy of version 1
    if (!unified && !absl::StrContains(absl::StrCat(",", fields[1], ","), ",cpu,")) continue;
    // From the group to the root of the mount, which inside a container is the container's own.
    for (absl::string_view path = fields[2];; path = path.substr(0, path.rfind('/'))) {
      const std::string folder = absl::StrCat(mount, unified ? "" : "/cpu", path);
      const std::optional<int> cores =
          unified ? CoresOfCpuMax(FirstLine(folder + "/cpu.max")) : CoresOfCgroupV1(folder);
      if (cores.has_value()) least = std::min(*cores, least.value_or(*cores));
      if (path.empty() || path[0] != '/') break;
    }
  }
  return least;
}

int UsableCores() {
  const int cores = std::max(1, AffinityCores());
  const absl::StatusOr<std::string> groups = ReadStream("/proc/self/cgroup", 1 << 16);
  if (!groups.ok()) return cores;
  return std::min(cores, CoresOfControlGroups(*groups, "/sys/fs/cgroup").value_or(cores));
}

}  // namespace llmcore::core
