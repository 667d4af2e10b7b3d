#include "lib/cpu/cpu_backend.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/cpu/kv_layout.h"
#include "lib/cpu/memory.h"
#include "lib/cpu/panels.h"
#include "lib/cpu/workspace.h"

namespace llmcore::cpu {
namespace {

using core::CpuFeatures;
using core::Isa;

const KernelTable& KernelsFor(Isa isa, const CpuFeatures& features,
                              const CpuBackendOptions& options) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx512) {
    if (options.use_vnni && features.avx512_vnni && options.use_bf16 && features.avx512_bf16) {
      return avx512_bf16::kKernels;
    }
    return options.use_vnni && features.avx512_vnni ? avx512_vnni::kKernels : avx512::kKernels;
  }
  if (isa == Isa::kAvx2) {
    return options.use_vnni && features.avx_vnni ? avx2_vnni::kKernels : avx2::kKernels;
  }
#else
  (void)isa;
  (void)features;
  (void)options;
#endif
  return baseline::kKernels;
}

}  // namespace

absl::StatusOr<std::unique_ptr<core::Backend>> CpuBackend::Create(
    const CpuBackendOptions& options) {
  const CpuFeatures features = core::DetectCpuFeatures();
  const Isa isa = options.force_isa.value_or(features.best());
  if (!features.Has(isa)) {
    return absl::UnimplementedError(
        absl::StrCat("this machine has no ", core::IsaName(isa), " instructions"));
  }
  LLMCORE_ASSIGN_OR_RETURN(auto pool, core::ThreadPool::Create(options.threads));
  const KernelTable& kernels = KernelsFor(isa, features, options);
  return std::unique_ptr<core::Backend>(new CpuBackend(
      std::move(pool), kernels, options.spread_nibbles.value_or(!features.logic_beside_dot)));
}

std::string CpuBackend::Description() const {
  const int threads = pool_->threads();
  return absl::StrCat("cpu (", kernels_.name, ", ", threads,
                      threads == 1 ? " thread)" : " threads)");
}

absl::StatusOr<std::unique_ptr<core::DeviceMemory>> CpuBackend::Allocate(uint64_t bytes) {
  return MapMemory(bytes);
}

uint64_t CpuBackend::PackedWeightBytes(const core::WeightShape& shape) const {
  return WeightBytes(shape);
}

uint64_t CpuBackend::KvBlockBytes(const core::KvShape& shape) const {
  return static_cast<uint64_t>(KvLayout(shape).block_bytes);
}

uint64_t CpuBackend::WidestActivationBytes(const core::StepLimits& limits) const {
  const uint64_t int8 = ActivationBytes(limits.rows, limits.max_columns);
  const uint64_t bf16 = kernels_.linear_bf16 != nullptr
                            ? Bf16BlockBytes(limits.rows, limits.max_columns)
                            : Bf16RowBytes(limits.rows, limits.max_columns);
  switch (limits.activation_format) {
    case core::ActivationFormat::kF32:
      return 0;
    case core::ActivationFormat::kInt8:
      return int8;
    case core::ActivationFormat::kBf16:
      return bf16;
    case core::ActivationFormat::kAuto:
      break;
  }
  return std::max(int8, bf16);
}

uint64_t CpuBackend::WorkspaceBytes(const core::StepLimits& limits) const {
  const int64_t queries = std::max<int64_t>(limits.heads, kAttentionQueries);
  const int64_t chunks = (int64_t{limits.max_context} + kKeyChunk - 1) / kKeyChunk;
  const auto threads = static_cast<uint64_t>(pool_->threads());
  const uint64_t linear = WidestActivationBytes(limits) + kLinearThreadBytes * threads;
  const uint64_t attention = AttentionRecordBytes(chunks, limits.heads, limits.head_dim) +
                             AttentionThreadBytes(queries, limits.head_dim) * threads;
  return std::max(linear, attention);
}

absl::Status CpuBackend::ForEachOnHost(int64_t count, absl::FunctionRef<void(int64_t)> body) {
  return pool_->ParallelFor(count, 1, /*cancel=*/nullptr, [&](int64_t begin, int64_t end, int) {
    for (int64_t index = begin; index < end; ++index) body(index);
  });
}

std::string CpuBackend::WeightLayoutName(core::WeightFormat format) const {
  if (format != core::WeightFormat::kInt4 && format != core::WeightFormat::kInt8) return "";
  return absl::StrCat("cpu-", core::WeightFormatName(format), "-", kPanelLayoutVersion);
}

int64_t CpuBackend::WeightSliceRows() const {
  return kPanelRows;
}

std::string CpuBackend::KvLayoutName(const core::KvShape& shape) const {
  // bf16 had single tokens and dimensions side by side before.
  const bool second = shape.format == core::KvFormat::kBf16;
  return absl::StrCat("cpu-", core::KvFormatName(shape.format), second ? "-v2" : "-v1");
}

}  // namespace llmcore::cpu
