#include "lib/session/device.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "lib/backend/cuda_backend.h"
#include "lib/base/file.h"
#include "lib/cpu/cpu_backend.h"

namespace llmcore::core {
namespace {

constexpr uint64_t kMaxMeminfoBytes = 65536;

absl::StatusOr<std::unique_ptr<Backend>> CreateCpu(int threads) {
  cpu::CpuBackendOptions options;
  options.threads = threads;
  return cpu::CpuBackend::Create(options);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> CreateBackend(absl::string_view device, int threads,
                                                       bool deterministic) {
  const CudaBackendOptions cuda_options = {deterministic, {}};
  if (device == "cpu") return CreateCpu(threads);
  if (device == "auto") {
    absl::StatusOr<std::unique_ptr<Backend>> cuda = CreateCudaBackend(0, cuda_options);
    return cuda.ok() ? std::move(cuda) : CreateCpu(threads);
  }
  if (device == "cuda") return CreateCudaBackend(0, cuda_options);
  int ordinal = 0;
  if (absl::ConsumePrefix(&device, "cuda:") && absl::SimpleAtoi(device, &ordinal) && ordinal >= 0) {
    return CreateCudaBackend(ordinal, cuda_options);
  }
  return absl::InvalidArgumentError("device must be \"auto\", \"cpu\", \"cuda\" or \"cuda:N\"");
}

uint64_t FreeHostMemory() {
  // Files of /proc say that they have no bytes; a mapped or sized read would find nothing.
  const absl::StatusOr<std::string> text = ReadStream("/proc/meminfo", kMaxMeminfoBytes);
  if (!text.ok()) return 0;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    if (!absl::ConsumePrefix(&line, "MemAvailable:")) continue;
    uint64_t kibibytes = 0;
    absl::ConsumeSuffix(&line, "kB");
    return absl::SimpleAtoi(line, &kibibytes) ? kibibytes << 10 : 0;
  }
  return 0;
}

}  // namespace llmcore::core
