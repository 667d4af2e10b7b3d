#include "cuda/cuda_backend.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cuda/kernels/attention.h"
#include "cuda/shapes.h"
#include "lib/base/checked.h"

namespace llmcore::core {

absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(int ordinal,
                                                           const CudaBackendOptions& options) {
  LLMCORE_ASSIGN_OR_RETURN(std::shared_ptr<cuda::Device> device, cuda::Device::Open(ordinal));
  return std::make_unique<cuda::CudaBackend>(std::move(device), options);
}

}  // namespace llmcore::core

namespace llmcore::cuda {

// The device has just been opened, and is the calling thread's.
CudaBackend::CudaBackend(std::shared_ptr<Device> device, const core::CudaBackendOptions& options)
    : device_(std::move(device)), many_tokens_(options.many_tokens.value_or(kManyTokens)) {
  if (options.deterministic) return;
  absl::StatusOr<std::unique_ptr<Gemm>> gemm = Gemm::Open(kPanelTokens);
  if (gemm.ok()) {
    gemm_ = *std::move(gemm);
  } else {
    without_gemm_ = std::string(gemm.status().message());
  }
}

std::string CudaBackend::Description() const {
  if (gemm_ != nullptr) return absl::StrCat(device_->description(), " with cuBLASLt");
  if (without_gemm_.empty()) return device_->description();
  return absl::StrCat(device_->description(), " without cuBLASLt: ", without_gemm_);
}

absl::StatusOr<std::unique_ptr<core::DeviceMemory>> CudaBackend::Allocate(uint64_t bytes) {
  return AllocateOnDevice(device_, bytes);
}

absl::StatusOr<std::unique_ptr<core::DeviceMemory>> CudaBackend::AllocateHost(uint64_t bytes) {
  return AllocatePinned(device_, bytes);
}

absl::Status CudaBackend::CopyToDevice(void* destination, std::span<const std::byte> source) {
  LLMCORE_RETURN_IF_ERROR(device_->Enter());
  uploaded_.Forget();  // the destination may be the workspace
  return device_->CopyToDevice(destination, source);
}

absl::Status CudaBackend::CopyToHost(std::span<std::byte> destination, const void* source) {
  LLMCORE_RETURN_IF_ERROR(device_->Enter());
  return device_->CopyToHost(destination, source);
}

absl::Status CudaBackend::Synchronize() {
  LLMCORE_RETURN_IF_ERROR(device_->Enter());
  return device_->Synchronize("running a step");
}

uint64_t CudaBackend::FreeMemory() {
  return device_->FreeMemory().value_or(0);
}

uint64_t CudaBackend::PackedWeightBytes(const core::WeightShape& shape) const {
  return WeightBytes(shape);
}

uint64_t CudaBackend::KvBlockBytes(const core::KvShape& shape) const {
  return static_cast<uint64_t>(BlockBytes(shape));
}

// The numbers of a step, then the partial results of split attention; or, at the end of it, a
// product of many tokens. These two follow each other.
uint64_t CudaBackend::WorkspaceBytes(const core::StepLimits& limits) const {
  const int64_t splits = SplitsOf(limits.max_context);
  const int64_t rows = std::min(limits.rows, kSplitRows);
  const int64_t floats = PartialFloats(splits, rows, limits.heads, limits.head_dim);
  const uint64_t attention = core::RoundUp(static_cast<uint64_t>(floats) * sizeof(float), 64);
  const uint64_t product = gemm_ != nullptr && limits.rows >= many_tokens_
                               ? ManyTokensBytes(limits.rows, limits.max_columns)
                               : 0;
  return BatchUpload::Bytes(limits) + StepGraphs::MoreWorkspaceBytes(limits) +
         std::max(attention, product);
}

uint64_t CudaBackend::StepRecordBytes(const core::StepLimits& limits) const {
  return StepGraphs::StagingBytes(limits);
}

// Products of a library are left out: what it does in a capture is its own affair.
std::unique_ptr<core::StepRecorder> CudaBackend::CreateStepRecorder(int32_t heads,
                                                                    const core::KvShape& shape,
                                                                    std::span<std::byte> memory) {
  const int32_t most_rows = gemm_ != nullptr ? many_tokens_ - 1 : kRecordedRows;
  return std::make_unique<StepGraphs>(device_, &uploaded_, GridOf(shape, heads), most_rows, memory);
}

std::string CudaBackend::KvLayoutName(const core::KvShape& shape) const {
  return absl::StrCat("cuda-", core::KvFormatName(shape.format), "-v1");
}

absl::Status CudaBackend::Begin(const core::StepContext& context, absl::string_view operation) {
  if (context.cancel != nullptr && context.cancel->cancelled()) {
    return core::CancelledError(operation);
  }
  return device_->Enter();
}

absl::Status CudaBackend::End(const core::StepContext& context, cudaError_t launched,
                              absl::string_view operation) {
  LLMCORE_RETURN_IF_ERROR(device_->Check(launched, operation));
  return context.trace == nullptr ? absl::OkStatus() : device_->Synchronize(operation);
}

}  // namespace llmcore::cuda
