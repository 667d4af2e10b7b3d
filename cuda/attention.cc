// RopeAppend, Attention, CopyBlocks and SwapBlocks: everything that touches the KV cache.
#include "cuda/kernels/attention.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cuda/cuda_backend.h"
#include "cuda/shapes.h"

namespace llmcore::cuda {
namespace {

// What two stages of keys and values may take, so that every supported device has it: sm_86 and
// sm_89 give a block 99 KB.
constexpr size_t kSharedBudget = size_t{96} << 10;

absl::Status CheckKv(const core::KvShape& shape) {
  if (shape.head_dim <= kMostHeadDim) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat("heads of ", shape.head_dim, " values on CUDA: at most ", kMostHeadDim));
}

}  // namespace

absl::Status CudaBackend::RopeAppend(const core::StepContext& context,
                                     const core::RopeAppendParams& p) {
  LLMCORE_RETURN_IF_ERROR(Begin(context, "rope_append"));
  LLMCORE_RETURN_IF_ERROR(CheckKv(p.cache.shape));
  if (p.batch.rows() == 0) return absl::OkStatus();
  RopeAppendKernelParams params = {};
  LLMCORE_ASSIGN_OR_RETURN(params.batch, uploaded_.Send(device_.get(), context.workspace, p.batch,
                                                        GridOf(p.cache.shape, p.heads)));
  params.qkv = p.qkv.data;
  params.cos_sin = p.cos_sin;
  params.q_norm = p.q_norm;
  params.k_norm = p.k_norm;
  params.epsilon = p.norm_epsilon;
  params.heads = p.heads;
  params.storage = KvStorageOf(p.cache.shape.format);
  params.kv = ViewOf(p.cache, p.layer);
  return End(context, LaunchRopeAppend(params, device_->stream()), "rope_append");
}

absl::Status CudaBackend::Attention(const core::StepContext& context,
                                    const core::AttentionParams& p) {
  LLMCORE_RETURN_IF_ERROR(Begin(context, "attention"));
  LLMCORE_RETURN_IF_ERROR(CheckKv(p.cache.shape));
  if (p.batch.rows() == 0) return absl::OkStatus();
  const AttentionGrid grid = GridOf(p.cache.shape, p.heads);
  const AttentionTile& tile = grid.tile;
  AttentionKernelParams params = {};
  LLMCORE_ASSIGN_OR_RETURN(params.batch,
                           uploaded_.Send(device_.get(), context.workspace, p.batch, grid));
  params.q = p.qkv.data;
  params.q_stride = p.qkv.columns;
  params.out = p.out.data;
  params.heads = p.heads;
  params.group = p.heads / p.cache.shape.kv_heads;
  params.tile_heads = tile.heads;
  params.tile_rows = tile.rows;
  params.head_groups = tile.head_groups;
  params.scale = p.scale;
  params.window = p.window;
  params.storage = KvStorageOf(p.cache.shape.format);
  params.kv = ViewOf(p.cache, p.layer);
  params.stages = 2;
  if (AttentionSharedBytes(params) > kSharedBudget) params.stages = 1;

  params.splits = 1;
  if (params.batch.rows <= kSplitRows) {
    const std::span<std::byte> rest = context.workspace.subspan(uploaded_.bytes());
    const int64_t floats =
        PartialFloats(params.batch.splits, params.batch.rows, p.heads, p.cache.shape.head_dim);
    if (static_cast<uint64_t>(floats) * sizeof(float) <= rest.size()) {
      params.splits = params.batch.splits;
      params.partial = reinterpret_cast<float*>(rest.data());
    }
  }
  return End(context, LaunchAttention(params, device_->stream()), "attention");
}

absl::Status CudaBackend::CopyBlocks(const core::StepContext& context,
                                     const core::CopyBlocksParams& p) {
  LLMCORE_RETURN_IF_ERROR(Begin(context, "copy_blocks"));
  CopyBlocksKernelParams params = {};
  params.data = static_cast<unsigned char*>(p.cache.data);
  params.block_bytes = BlockBytes(p.cache.shape);
  params.blocks = p.cache.blocks;
  params.layers = p.cache.shape.layers;
  for (size_t first = 0; first < p.from.size(); first += kBlockPairsALaunch) {
    const size_t count = std::min<size_t>(kBlockPairsALaunch, p.from.size() - first);
    std::copy_n(p.from.begin() + static_cast<ptrdiff_t>(first), count, params.from);
    std::copy_n(p.to.begin() + static_cast<ptrdiff_t>(first), count, params.to);
    params.count = static_cast<int32_t>(count);
    LLMCORE_RETURN_IF_ERROR(
        End(context, LaunchCopyBlocks(params, device_->stream()), "copy_blocks"));
  }
  return absl::OkStatus();
}

// Launched like any operation: the host's memory is pinned, and who reads it waits.
absl::Status CudaBackend::SwapBlocks(const core::StepContext& context,
                                     const core::SwapBlocksParams& p) {
  LLMCORE_RETURN_IF_ERROR(device_->Enter());
  const int64_t bytes = BlockBytes(p.cache.shape);
  const int64_t layers = p.cache.shape.layers;
  cudaError_t error = cudaSuccess;
  for (size_t i = 0; i < p.blocks.size(); ++i) {
    for (int64_t layer = 0; layer < layers && error == cudaSuccess; ++layer) {
      std::byte* from =
          static_cast<std::byte*>(p.cache.data) + (layer * p.cache.blocks + p.blocks[i]) * bytes;
      std::byte* to = p.host + (p.places[i] * layers + layer) * bytes;
      if (p.direction == core::SwapBlocksParams::Direction::kIn) std::swap(from, to);
      error = cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault,
                              device_->stream());
    }
  }
  return End(context, error, "swap_blocks");
}

}  // namespace llmcore::cuda
