// The numbers of a batch in device memory. All layers of a step have the same batch, so they are
// sent once and then recognised.
#ifndef LLMCORE_CUDA_BATCH_UPLOAD_H_
#define LLMCORE_CUDA_BATCH_UPLOAD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device.h"
#include "cuda/kernels/attention.h"
#include "cuda/layout.h"
#include "lib/backend/backend.h"

namespace llmcore::cuda {

class BatchUpload {
 public:
  // Bytes of workspace that any batch within the limits takes.
  static uint64_t Bytes(const core::StepLimits& limits);

  // Puts the batch, cut into tiles of attention, at the start of `workspace` unless it is there.
  // INTERNAL when it does not fit.
  absl::StatusOr<BatchView> Send(Device* device, std::span<std::byte> workspace,
                                 const core::Batch& batch, const AttentionGrid& grid);
  // Bytes of the workspace that the last batch takes.
  uint64_t bytes() const { return bytes_; }

  // To be called when something else may have written the workspace.
  void Forget() { place_ = nullptr; }

 private:
  using Fingerprint = std::array<uint64_t, 2>;

  const std::byte* place_ = nullptr;
  Fingerprint fingerprint_ = {};
  uint64_t bytes_ = 0;
};

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_BATCH_UPLOAD_H_
