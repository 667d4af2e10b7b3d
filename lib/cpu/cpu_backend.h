// The CPU backend: the operation table of lib/backend on all the cores it was given, with kernels
// for the widest instruction set that the machine has. Layouts: layout.h, kv_layout.h.
#ifndef LLMCORE_LIB_CPU_CPU_BACKEND_H_
#define LLMCORE_LIB_CPU_CPU_BACKEND_H_

#include <memory>
#include <optional>
#include <string>

#include "lib/backend/backend.h"
#include "lib/base/cpu_features.h"
#include "lib/base/thread_pool.h"
#include "lib/cpu/kernels.h"

namespace llmcore::cpu {

struct CpuBackendOptions {
  // Threads, the caller's included; 0: one per usable core.
  int threads = 0;
  // Kernels of this instruction set rather than the best; UNIMPLEMENTED where the machine lacks
  // it. For tests and comparisons.
  std::optional<core::Isa> force_isa = std::nullopt;
  // Whether to use the dot product instructions (VNNI) that come with some AVX2 and AVX-512
  // machines. For tests and comparisons.
  bool use_vnni = true;
  // Likewise the dot product instructions of bf16, which are used beside VNNI only.
  bool use_bf16 = true;
  // Whether int4 weights are spread to bytes once for many rows, or in every tile (kernels.h);
  // nullopt: what suits the processor. For tests and comparisons.
  std::optional<bool> spread_nibbles = std::nullopt;
};

// Activation formats: int8 activations apply to int8 and int4 weights, bf16 ones to bf16 weights;
// any other linear takes its activations in f32.
// KV formats: all. Attention adds up keys in chunks of 512 positions, so that the threads can share
// out the keys of one row without a change of bits.
class CpuBackend final : public core::Backend {
 public:
  static absl::StatusOr<std::unique_ptr<core::Backend>> Create(const CpuBackendOptions& options);

  absl::string_view name() const override { return "cpu"; }
  std::string Description() const override;
  absl::StatusOr<std::unique_ptr<core::DeviceMemory>> Allocate(uint64_t bytes) override;

  uint64_t PackedWeightBytes(const core::WeightShape& shape) const override;
  uint64_t KvBlockBytes(const core::KvShape& shape) const override;
  uint64_t WorkspaceBytes(const core::StepLimits& limits) const override;
  std::string KvLayoutName(const core::KvShape& shape) const override;

  std::string WeightLayoutName(core::WeightFormat format) const override;
  int64_t WeightSliceRows() const override;
  absl::Status CheckPackedWeight(const core::WeightShape& shape, std::span<const std::byte> bytes,
                                 const core::WorkControl& control) override;
  absl::Status PackWeight(const core::WeightShape& shape, std::span<const core::SourceMatrix> parts,
                          void* destination, const core::WorkControl& control) override;

  absl::Status Embed(const core::StepContext& context, const core::EmbedParams& params) override;
  absl::Status Norm(const core::StepContext& context, const core::NormParams& params) override;
  absl::Status Linear(const core::StepContext& context, const core::LinearParams& params) override;
  absl::Status LinearGated(const core::StepContext& context,
                           const core::LinearGatedParams& params) override;
  absl::Status RopeAppend(const core::StepContext& context,
                          const core::RopeAppendParams& params) override;
  absl::Status Attention(const core::StepContext& context,
                         const core::AttentionParams& params) override;
  absl::Status GatherRows(const core::StepContext& context,
                          const core::GatherRowsParams& params) override;
  absl::Status CopyBlocks(const core::StepContext& context,
                          const core::CopyBlocksParams& params) override;
  absl::Status ForEachOnHost(int64_t count, absl::FunctionRef<void(int64_t)> body) override;

 private:
  CpuBackend(std::unique_ptr<core::ThreadPool> pool, const KernelTable& kernels,
             bool spread_nibbles)
      : pool_(std::move(pool)), kernels_(kernels), spread_nibbles_(spread_nibbles) {}

  // Of the workspace: the activations of the widest linear, converted.
  uint64_t WidestActivationBytes(const core::StepLimits& limits) const;
  // Quantizes activations as layout.h says.
  absl::Status QuantizeActivations(const core::StepContext& context, const core::Matrix& in,
                                   unsigned char* out);
  // Rounds activations to bf16, into blocks or rows (RoundRowArgs).
  absl::Status RoundActivations(const core::StepContext& context, const core::Matrix& in,
                                unsigned char* out);

  std::unique_ptr<core::ThreadPool> pool_;
  const KernelTable& kernels_;
  const bool spread_nibbles_;
};

}  // namespace llmcore::cpu

#endif  // LLMCORE_LIB_CPU_CPU_BACKEND_H_
