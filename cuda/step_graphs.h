// Steps as graphs: a step of few rows whose shape has been seen before is one launch. What a step
// launches, and with which arguments, follows from its shape; its numbers are copied to the device
// by the graph's first node.
#ifndef LLMCORE_CUDA_STEP_GRAPHS_H_
#define LLMCORE_CUDA_STEP_GRAPHS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cuda/batch_upload.h"
#include "cuda/device.h"
#include "cuda/kernels/attention.h"
#include "lib/backend/backend.h"

namespace llmcore::cuda {

// Rows of a step that is recorded. Larger ones are not there every time, and their products take
// longer than their launches.
constexpr int32_t kRecordedRows = kSplitRows;
// Shapes that are remembered, each with a graph at most. The one that was used longest ago makes
// room.
constexpr size_t kRecordedShapes = 32;

class StepGraphs final : public core::StepRecorder {
 public:
  // Bytes of the staging memory, and of workspace beside BatchUpload::Bytes.
  static uint64_t StagingBytes(const core::StepLimits& limits);
  static uint64_t MoreWorkspaceBytes(const core::StepLimits& limits);

  // For steps of at most `most_rows`. `uploaded` and `staging`, pinned, outlive it.
  StepGraphs(std::shared_ptr<Device> device, BatchUpload* uploaded, const AttentionGrid& grid,
             int32_t most_rows, std::span<std::byte> staging);
  ~StepGraphs() override;

  absl::Status Run(const core::StepContext& context, const core::StepInput& input,
                   absl::FunctionRef<absl::Status()> operations) override;

 private:
  // All that decides what a step launches, of one decoder.
  struct Shape {
    bool operator==(const Shape&) const = default;

    BatchLayout batch;
    int32_t logit_rows;
    int32_t drawn_rows;
    const std::byte* workspace;
    size_t workspace_bytes;
  };
  // Where the numbers of a step stand: in staging memory, and at the start of the workspace.
  struct Numbers {
    explicit Numbers(const Shape& shape);

    uint64_t tokens;
    uint64_t logit_rows;
    uint64_t drawn_rows;
    uint64_t bytes;
  };
  struct Remembered {
    Shape shape;
    uint64_t last_used;
    cudaGraphExec_t graph = nullptr;
    bool refused = false;  // could not be recorded
  };

  // NULL, and remembered from now on, when it is not.
  Remembered* Find(const Shape& shape);
  void Stage(const core::StepInput& input, const Shape& shape, const Numbers& numbers);
  absl::Status Record(const core::StepContext& context, const core::StepInput& input,
                      const Numbers& numbers, absl::FunctionRef<absl::Status()> operations,
                      cudaGraphExec_t* graph);
  void Destroy(Remembered* remembered);

  const std::shared_ptr<Device> device_;
  BatchUpload* const uploaded_;
  const AttentionGrid grid_;
  const int32_t most_rows_;
  const std::span<std::byte> staging_;
  uint64_t uses_ = 0;
  std::vector<Remembered> remembered_;  // at most kRecordedShapes
};

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_STEP_GRAPHS_H_
