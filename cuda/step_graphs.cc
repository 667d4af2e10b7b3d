#include "cuda/step_graphs.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/checked.h"

namespace llmcore::cuda {
namespace {

constexpr absl::string_view kRecording = "recording a step";

// Numbers that begin at an offset which suits any of them.
uint64_t Bytes(int64_t numbers) {
  return core::RoundUp(static_cast<uint64_t>(numbers) * sizeof(int32_t), 64);
}

core::StepLimits RecordedLimits(core::StepLimits limits) {
  limits.rows = std::min(limits.rows, kRecordedRows);
  return limits;
}

// Ends a capture, however the function is left that began it.
class Capture {
 public:
  explicit Capture(cudaStream_t stream) : stream_(stream) {}
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (begun_) (void)End();
    if (graph_ != nullptr) (void)cudaGraphDestroy(graph_);
  }

  // Other threads may do what they like meanwhile.
  cudaError_t Begin() {
    const cudaError_t error = cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
    begun_ = error == cudaSuccess;
    return error;
  }
  cudaError_t End() {
    begun_ = false;
    const cudaError_t error = cudaStreamEndCapture(stream_, &graph_);
    if (error != cudaSuccess) (void)cudaGetLastError();
    return error;
  }
  cudaGraph_t graph() const { return graph_; }

 private:
  const cudaStream_t stream_;
  bool begun_ = false;
  cudaGraph_t graph_ = nullptr;
};

}  // namespace

StepGraphs::Numbers::Numbers(const Shape& shape)
    : tokens(shape.batch.bytes()),
      logit_rows(tokens + Bytes(shape.batch.rows)),
      drawn_rows(logit_rows + Bytes(shape.logit_rows)),
      bytes(drawn_rows + Bytes(shape.drawn_rows)) {}

uint64_t StepGraphs::MoreWorkspaceBytes(const core::StepLimits& limits) {
  return 3 * Bytes(RecordedLimits(limits).rows);
}

uint64_t StepGraphs::StagingBytes(const core::StepLimits& limits) {
  return BatchUpload::Bytes(RecordedLimits(limits)) + MoreWorkspaceBytes(limits);
}

StepGraphs::StepGraphs(std::shared_ptr<Device> device, BatchUpload* uploaded,
                       const AttentionGrid& grid, int32_t most_rows, std::span<std::byte> staging)
    : device_(std::move(device)),
      uploaded_(uploaded),
      grid_(grid),
      most_rows_(std::min(most_rows, kRecordedRows)),
      staging_(staging) {
  remembered_.reserve(kRecordedShapes);
}

// Whatever the device says: there is nobody to tell, and destroying works.
StepGraphs::~StepGraphs() {
  (void)device_->Enter();
  for (Remembered& remembered : remembered_) Destroy(&remembered);
}

void StepGraphs::Destroy(Remembered* remembered) {
  if (remembered->graph == nullptr) return;
  (void)cudaGraphExecDestroy(remembered->graph);
  (void)cudaGetLastError();
}

absl::Status StepGraphs::Run(const core::StepContext& context, const core::StepInput& input,
                             absl::FunctionRef<absl::Status()> operations) {
  const int32_t rows = input.batch.rows();
  // An operation that is traced is waited for, so that its time is known.
  if (context.trace != nullptr || rows == 0 || rows > most_rows_) return operations();
  const Shape shape = {BatchLayout(input.batch, grid_),
                       static_cast<int32_t>(input.logit_rows.size()),
                       static_cast<int32_t>(input.drawn_rows.size()), context.workspace.data(),
                       context.workspace.size()};
  const Numbers numbers(shape);
  if (shape.logit_rows > rows || shape.drawn_rows > rows ||
      numbers.bytes > std::min(staging_.size(), context.workspace.size())) {
    return operations();
  }
  Remembered* const remembered = Find(shape);
  if (remembered == nullptr || remembered->refused) return operations();
  if (context.cancel != nullptr && context.cancel->cancelled())
    return core::CancelledError("a step");
  LLMCORE_RETURN_IF_ERROR(device_->Enter());
  Stage(input, shape, numbers);
  if (remembered->graph == nullptr) {
    const absl::Status status = Record(context, input, numbers, operations, &remembered->graph);
    if (!status.ok()) {
      // Nothing ran. The step can, as it would have without.
      if (absl::IsCancelled(status)) return status;
      remembered->refused = true;
      return operations();
    }
  }
  uploaded_->Forget();  // the graph writes the workspace
  const cudaError_t error = cudaGraphLaunch(remembered->graph, device_->stream());
  if (error == cudaSuccess) return absl::OkStatus();
  return device_->Check(error, absl::StrCat("a step of ", rows, " rows"));
}

StepGraphs::Remembered* StepGraphs::Find(const Shape& shape) {
  ++uses_;
  for (Remembered& remembered : remembered_) {
    if (remembered.shape != shape) continue;
    remembered.last_used = uses_;
    return &remembered;
  }
  if (remembered_.size() < kRecordedShapes) {
    remembered_.push_back({shape, uses_});
    return nullptr;
  }
  const auto oldest = std::min_element(
      remembered_.begin(), remembered_.end(),
      [](const Remembered& a, const Remembered& b) { return a.last_used < b.last_used; });
  Destroy(&*oldest);
  *oldest = {shape, uses_};
  return nullptr;
}

void StepGraphs::Stage(const core::StepInput& input, const Shape& shape, const Numbers& numbers) {
  const auto at = [this](uint64_t offset) {
    return reinterpret_cast<int32_t*>(staging_.data() + offset);
  };
  WriteBatch(input.batch, grid_, shape.batch, at(0));
  std::copy(input.tokens.begin(), input.tokens.end(), at(numbers.tokens));
  std::copy(input.logit_rows.begin(), input.logit_rows.end(), at(numbers.logit_rows));
  std::copy(input.drawn_rows.begin(), input.drawn_rows.end(), at(numbers.drawn_rows));
}

absl::Status StepGraphs::Record(const core::StepContext& context, const core::StepInput& input,
                                const Numbers& numbers,
                                absl::FunctionRef<absl::Status()> operations,
                                cudaGraphExec_t* graph) {
  std::byte* const workspace = context.workspace.data();
  const auto at = [workspace](uint64_t offset) {
    return reinterpret_cast<const int32_t*>(workspace + offset);
  };
  const RecordedNumbers others[] = {{input.tokens, at(numbers.tokens)},
                                    {input.logit_rows, at(numbers.logit_rows)},
                                    {input.drawn_rows, at(numbers.drawn_rows)}};
  struct Recording {
    ~Recording() { uploaded->Forget(); }
    BatchUpload* uploaded;
  } const recording = {uploaded_};
  uploaded_->BeginRecord(workspace, numbers.bytes, input.batch, grid_, others);
  Capture capture(device_->stream());
  // A driver that does not capture leaves the device as it was; a device that broke says so again.
  LLMCORE_RETURN_IF_ERROR(StatusOf(capture.Begin(), kRecording));
  LLMCORE_RETURN_IF_ERROR(device_->Check(cudaMemcpyAsync(workspace, staging_.data(), numbers.bytes,
                                                         cudaMemcpyHostToDevice, device_->stream()),
                                         kRecording));
  LLMCORE_RETURN_IF_ERROR(operations());
  LLMCORE_RETURN_IF_ERROR(StatusOf(capture.End(), kRecording));
  cudaGraphExec_t made = nullptr;
  LLMCORE_RETURN_IF_ERROR(StatusOf(cudaGraphInstantiate(&made, capture.graph(), 0), kRecording));
  *graph = made;
  return absl::OkStatus();
}

}  // namespace llmcore::cuda
