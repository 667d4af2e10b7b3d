#include "tests/conformance/backends.h"

#include "absl/strings/match.h"
#include "lib/backend/cuda_backend.h"
#include "lib/base/cpu_features.h"
#include "lib/cpu/cpu_backend.h"

namespace llmcore::conformance {
namespace {

BackendMaker CpuMaker(core::Isa isa, bool use_vnni, bool use_bf16 = false) {
  BackendMaker maker;
  maker.name = "cpu_" + std::string(core::IsaName(isa)) +
               (use_bf16   ? "_bf16"
                : use_vnni ? "_vnni"
                           : "");
  maker.create = [isa, use_vnni, use_bf16](int threads) {
    cpu::CpuBackendOptions options;
    options.threads = threads;
    options.force_isa = isa;
    options.use_vnni = use_vnni;
    options.use_bf16 = use_bf16;
    return cpu::CpuBackend::Create(options);
  };
  return maker;
}

// The CUDA device of this machine, or the emulated one in a program that is linked with it.
void AddCuda(const std::string& name, const core::CudaBackendOptions& options,
             std::vector<BackendMaker>* makers) {
  const absl::StatusOr<std::unique_ptr<core::Backend>> device = core::CreateCudaBackend(0, options);
  if (!device.ok()) return;
  BackendMaker maker;
  maker.name = name;
  maker.create = [options](int) { return core::CreateCudaBackend(0, options); };
  maker.has_threads = false;
  maker.has_activation_codes = false;
  maker.is_slow = absl::StrContains((*device)->Description(), "emulator");
  makers->push_back(maker);
}

std::vector<BackendMaker> MakeAll() {
  const core::CpuFeatures features = core::DetectCpuFeatures();
  std::vector<BackendMaker> makers = {CpuMaker(core::Isa::kBaseline, false)};
  if (features.avx2) makers.push_back(CpuMaker(core::Isa::kAvx2, false));
  if (features.avx2 && features.avx_vnni) makers.push_back(CpuMaker(core::Isa::kAvx2, true));
  if (features.avx512) makers.push_back(CpuMaker(core::Isa::kAvx512, false));
  if (features.avx512 && features.avx512_vnni) {
    makers.push_back(CpuMaker(core::Isa::kAvx512, true));
  }
  if (features.avx512_vnni && features.avx512_bf16) {
    makers.push_back(CpuMaker(core::Isa::kAvx512, true, true));
  }
#if defined(__SANITIZE_THREAD__)
  // A race does not depend on the width of vectors, and ThreadSanitizer makes each set take
  // minutes.
  makers.erase(makers.begin(), makers.end() - 1);
#endif
  AddCuda("cuda", {}, &makers);
  return makers;
}

}  // namespace

const std::vector<BackendMaker>& BackendMakers() {
  static const std::vector<BackendMaker> makers = MakeAll();
  return makers;
}

std::vector<BackendCase> ProductCases() {
  static const std::vector<BackendMaker> makers = [] {
    std::vector<BackendMaker> more;
    core::CudaBackendOptions options;
    options.deterministic = false;
    options.many_tokens = 1;
    AddCuda("cuda_many_tokens", options, &more);
    return more;
  }();
  std::vector<BackendCase> cases = BackendCases();
  for (const BackendMaker& maker : makers) cases.push_back({&maker, 1});
  return cases;
}

std::vector<BackendCase> BackendCases() {
  std::vector<BackendCase> cases;
  for (const BackendMaker& maker : BackendMakers()) {
    cases.push_back({&maker, 1});
    if (maker.has_threads) cases.push_back({&maker, 3});
  }
  return cases;
}

std::string NameOf(const BackendCase& backend) {
  return backend.maker->name + "_threads" + std::to_string(backend.threads);
}

std::ostream& operator<<(std::ostream& out, const BackendMaker& maker) {
  return out << maker.name;
}

std::ostream& operator<<(std::ostream& out, const BackendCase& backend) {
  return out << NameOf(backend);
}

}  // namespace llmcore::conformance
