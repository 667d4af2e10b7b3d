// Prints what this machine can do at most, as JSON: read bandwidth of one and of all threads, and
// the peaks of the instructions that linear layers live on.
//
//   ceilings --threads 2
#include "benchmarks/kernels/ceilings.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "lib/base/cpu_features.h"

namespace llmcore::benchmarks {
namespace {

constexpr char kHelp[] =
    "Usage: ceilings [--threads N]\n"
    "Measures what this machine can do at most and prints it as JSON, in about two seconds.\n"
    "  --threads N  pinned threads; 0, the default: one per core that the process may use\n";

void PrintPeak(const char* name, const Peak& peak, const char* end) {
  std::printf("  \"%s\": {\"instruction\": \"%s\", \"ops_per_second\": %.4g}%s\n", name,
              peak.instruction, peak.ops, end);
}

int Main(int argc, char** argv) {
  long threads = 0;
  for (int i = 1; i < argc; ++i) {
    char* end = nullptr;
    if (std::strcmp(argv[i], "--help") == 0) {
      std::fputs(kHelp, stdout);
      return 0;
    }
    if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
      threads = std::strtol(argv[++i], &end, 10);
    }
    if (end == nullptr || *end != '\0' || threads < 0 || threads > 1024) {
      std::fprintf(stderr, "ceilings: %s is not understood\n%s", argv[i], kHelp);
      return 2;
    }
  }
  const int count = threads == 0 ? core::UsableCores() : static_cast<int>(threads);
  std::printf("{\n  \"threads\": %d,\n", count);
  std::printf("  \"read_bytes_per_second_one_thread\": %.4g,\n", ReadBandwidth(1));
  std::printf("  \"read_bytes_per_second\": %.4g,\n", ReadBandwidth(count));
  PrintPeak("int8_dot", Int8DotPeak(count), ",");
  PrintPeak("bf16_dot", Bf16DotPeak(count), ",");
  PrintPeak("f32_fma", F32FmaPeak(count), "");
  std::printf("}\n");
  return 0;
}

}  // namespace
}  // namespace llmcore::benchmarks

int main(int argc, char** argv) {
  return llmcore::benchmarks::Main(argc, argv);
}
