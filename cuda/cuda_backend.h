// The CUDA backend: the operation table of lib/backend on one device and one stream. Operations
// return when they are launched; Synchronize, CopyToHost and CopyToDevice wait.
//
// Activation formats: kF32 keeps f32 (three bf16 pieces on tensor cores); kInt8, for int8 and int4
// weights, rounds activations to the 8 significant bits of bf16, which is closer than int8 with a
// scale and what tensor cores multiply fastest.
// KV formats: all.
#ifndef LLMCORE_CUDA_CUDA_BACKEND_H_
#define LLMCORE_CUDA_CUDA_BACKEND_H_

#include <memory>
#include <string>

#include "cuda/batch_upload.h"
#include "cuda/device.h"
#include "cuda/gemm.h"
#include "cuda/layout.h"
#include "cuda/many_tokens.h"
#include "cuda/step_graphs.h"
#include "lib/backend/backend.h"
#include "lib/backend/cuda_backend.h"

namespace llmcore::cuda {

class CudaBackend final : public core::Backend {
 public:
  CudaBackend(std::shared_ptr<Device> device, const core::CudaBackendOptions& options);

  absl::string_view name() const override { return "cuda"; }
  std::string Description() const override;
  absl::StatusOr<std::unique_ptr<core::DeviceMemory>> Allocate(uint64_t bytes) override;
  absl::StatusOr<std::unique_ptr<core::DeviceMemory>> AllocateHost(uint64_t bytes) override;
  absl::Status CopyToDevice(void* destination, std::span<const std::byte> source) override;
  absl::Status CopyToHost(std::span<std::byte> destination, const void* source) override;
  absl::Status Synchronize() override;
  uint64_t FreeMemory() override;

  bool FusesNorm() const override { return true; }
  uint64_t PackedWeightBytes(const core::WeightShape& shape) const override;
  uint64_t KvBlockBytes(const core::KvShape& shape) const override;
  uint64_t WorkspaceBytes(const core::StepLimits& limits) const override;
  std::string KvLayoutName(const core::KvShape& shape) const override;
  int64_t WeightSliceRows() const override { return kTileRows; }

  uint64_t StepRecordBytes(const core::StepLimits& limits) const override;
  std::unique_ptr<core::StepRecorder> CreateStepRecorder(int32_t heads, const core::KvShape& shape,
                                                         std::span<std::byte> memory) override;

  absl::Status PackWeight(const core::WeightShape& shape, std::span<const core::SourceMatrix> parts,
                          void* destination, const core::WorkControl& control) override;

  uint64_t PackingHostBytes() const override;
  void LendPackingMemory(std::span<std::byte> memory) override { packing_memory_ = memory; }

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
  absl::Status SwapBlocks(const core::StepContext& context,
                          const core::SwapBlocksParams& params) override;
  bool Samples(int64_t vocabulary) const override;
  absl::Status Sample(const core::StepContext& context, const core::SampleParams& params) override;

 private:
  // CANCELLED, or the error that broke the device.
  absl::Status Begin(const core::StepContext& context, absl::string_view operation);
  // The status of the launches. Waits for them in a step that is traced, so that each operation is
  // charged with its own time.
  absl::Status End(const core::StepContext& context, cudaError_t launched,
                   absl::string_view operation);

  // A product of few tokens or of many.
  absl::Status Multiply(const core::StepContext& context, const ManyTokensProduct& product,
                        absl::string_view operation);

  const std::shared_ptr<Device> device_;
  // Of products of many tokens, where they may have bits of their own and the library is there.
  std::unique_ptr<Gemm> gemm_;
  std::string without_gemm_;  // why it is not there, where it was wanted
  const int32_t many_tokens_;
  BatchUpload uploaded_;
  std::span<std::byte> packing_memory_;  // lent, or empty
};

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_CUDA_BACKEND_H_
