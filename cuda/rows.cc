// Embed, Norm and GatherRows.
#include "cuda/kernels/rows.h"

#include <algorithm>

#include "cuda/cuda_backend.h"
#include "cuda/shapes.h"

namespace llmcore::cuda {
namespace {

// Calls launch(first, count) for runs of the numbers that fit into one launch; for all of them
// where a record has them.
template <typename Launch>
cudaError_t InLaunches(std::span<const int32_t> numbers, const int32_t* recorded, Indices* indices,
                       Launch launch) {
  if (recorded != nullptr) return launch(0, static_cast<int32_t>(numbers.size()));
  for (size_t first = 0; first < numbers.size(); first += kIndicesALaunch) {
    const size_t count = std::min<size_t>(kIndicesALaunch, numbers.size() - first);
    std::copy_n(numbers.begin() + static_cast<ptrdiff_t>(first), count, indices->values);
    const cudaError_t error = launch(static_cast<int64_t>(first), static_cast<int32_t>(count));
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace

absl::Status CudaBackend::Embed(const core::StepContext& context, const core::EmbedParams& p) {
  LLMCORE_RETURN_IF_ERROR(Begin(context, "embed"));
  if (p.out.columns == 0) return absl::OkStatus();
  EmbedKernelParams params = {};
  LLMCORE_ASSIGN_OR_RETURN(params.recorded, uploaded_.Recorded(p.tokens));
  params.table = static_cast<const unsigned char*>(p.table.data);
  params.storage = StorageOf(p.table.shape.format);
  params.columns = static_cast<int32_t>(p.out.columns);
  params.groups = static_cast<int32_t>(Groups(p.out.columns));
  return End(context,
             InLaunches(p.tokens, params.recorded, &params.tokens,
                        [&](int64_t first, int32_t count) {
                          params.out = p.out.data + first * p.out.columns;
                          params.count = count;
                          return LaunchEmbed(params, device_->stream());
                        }),
             "embed");
}

absl::Status CudaBackend::Norm(const core::StepContext& context, const core::NormParams& p) {
  LLMCORE_RETURN_IF_ERROR(Begin(context, "norm"));
  if (p.in.rows == 0 || p.in.columns == 0) return absl::OkStatus();
  NormKernelParams params = {};
  params.in = p.in.data;
  params.weight = p.weight;
  params.out = p.out.data;
  params.rows = static_cast<int32_t>(p.in.rows);
  params.columns = static_cast<int32_t>(p.in.columns);
  params.epsilon = p.epsilon;
  return End(context, LaunchNorm(params, device_->stream()), "norm");
}

absl::Status CudaBackend::GatherRows(const core::StepContext& context,
                                     const core::GatherRowsParams& p) {
  LLMCORE_RETURN_IF_ERROR(Begin(context, "gather_rows"));
  if (p.out.columns == 0) return absl::OkStatus();
  GatherKernelParams params = {};
  LLMCORE_ASSIGN_OR_RETURN(params.recorded, uploaded_.Recorded(p.rows));
  params.in = p.in.data;
  params.columns = static_cast<int32_t>(p.in.columns);
  return End(context,
             InLaunches(p.rows, params.recorded, &params.rows,
                        [&](int64_t first, int32_t count) {
                          params.out = p.out.data + first * p.in.columns;
                          params.count = count;
                          return LaunchGather(params, device_->stream());
                        }),
             "gather_rows");
}

}  // namespace llmcore::cuda
