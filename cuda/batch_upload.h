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

// How the numbers of a batch stand, in the order of BatchView. Kernels on batches of one layout are
// launched alike.
struct BatchLayout {
  BatchLayout(const core::Batch& batch, const AttentionGrid& grid);
  bool operator==(const BatchLayout&) const = default;

  uint64_t bytes() const;  // a multiple of 64
  BatchView ViewAt(int32_t* numbers) const;

  int32_t sequences = 0;
  int32_t rows = 0;
  int32_t tiles = 0;
  int32_t splits = 0;   // SplitsOf the longest sequence
  int32_t stride = 0;   // blocks of so many splits, or the batch's own stride
  int32_t mergers = 0;  // AttentionGrid::Mergers
};

// Writes the numbers, at most layout.bytes().
void WriteBatch(const core::Batch& batch, const AttentionGrid& grid, const BatchLayout& layout,
                int32_t* out);

// Numbers of the host, and where kernels will find them.
struct RecordedNumbers {
  std::span<const int32_t> numbers;
  const int32_t* on_device = nullptr;
};

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

  // A step is recorded from here to Forget. Whoever does it sees to it that its numbers are in
  // memory when the record runs: the batch at `place`, of which it takes `bytes`, and `others`,
  // which live until Forget. Operations that use different ones are INTERNAL, since those would
  // stay in the record for good.
  void BeginRecord(const std::byte* place, uint64_t bytes, const core::Batch& batch,
                   const AttentionGrid& grid, std::span<const RecordedNumbers> others);
  // Where kernels find these numbers, known by their address; NULL unless a step is recorded.
  absl::StatusOr<const int32_t*> Recorded(std::span<const int32_t> numbers) const;

  // To be called when something else may have written the workspace.
  void Forget();

 private:
  using Fingerprint = std::array<uint64_t, 2>;

  static absl::Status NotRecorded();

  const std::byte* place_ = nullptr;
  Fingerprint fingerprint_ = {};
  uint64_t bytes_ = 0;
  bool recording_ = false;
  std::span<const RecordedNumbers> others_;
};

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_BATCH_UPLOAD_H_
