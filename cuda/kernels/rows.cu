// Embed, norm, gather, and numbers from the host: a block a row.
#include "cuda/kernels/common/launch.cuh"
#include "cuda/kernels/common/numbers.cuh"
#include "cuda/kernels/common/ptx.cuh"
#include "cuda/kernels/rows.h"

namespace llmcore::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpLanes;

__device__ __forceinline__ float UnpackValue(Storage storage, const unsigned char* tile, int row,
                                             int column) {
  const unsigned char* at = tile + OffsetInTile(storage, row, column);
  switch (storage) {
    case Storage::kF32:
      return *reinterpret_cast<const float*>(at);
    case Storage::kBf16:
      return Bf16ToF32(*reinterpret_cast<const uint16_t*>(at));
    case Storage::kF16:
      return F16ToF32(*reinterpret_cast<const uint16_t*>(at));
    case Storage::kInt8:
    case Storage::kInt4:
    case Storage::kInt4Zeros:
      break;
  }
  const auto* scales = reinterpret_cast<const uint16_t*>(tile + ScalesInTile(storage));
  const int nibble = IsUpperNibble(column) ? *at >> 4 : *at & 15;
  if (storage == Storage::kInt4Zeros) {
    const int zero = tile[ScalesInTile(storage) + kTileRows * 2 + row];
    return __fmul_rn(static_cast<float>(nibble - zero), F16ToF32(scales[row]));
  }
  const float scale = Bf16ToF32(scales[row]);
  if (storage == Storage::kInt8) {
    return __fmul_rn(static_cast<float>(static_cast<signed char>(*at)), scale);
  }
  return Bf16ToF32(F32ToBf16(__fmul_rn(static_cast<float>(nibble - 8), scale)));
}

__global__ void EmbedKernel(const EmbedKernelParams p) {
  const int token = p.recorded != nullptr ? p.recorded[blockIdx.x] : p.tokens.values[blockIdx.x];
  const int64_t tile_bytes = TileBytes(p.storage);
  const unsigned char* tiles = p.table + token / kTileRows * tile_bytes * p.groups;
  float* out = p.out + static_cast<int64_t>(blockIdx.x) * p.columns;
  for (int column = static_cast<int>(threadIdx.x); column < p.columns; column += kThreads) {
    out[column] = UnpackValue(p.storage, tiles + column / kGroup * tile_bytes, token % kTileRows,
                              column % kGroup);
  }
}

// Zhang and Sennrich 2019, eq. 4.
__global__ void __launch_bounds__(kThreads) NormKernel(const NormKernelParams p) {
  auto* warp_sums = reinterpret_cast<float*>(DynamicShared());
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * p.columns;
  float squares = 0;
  for (int i = thread; i < p.columns; i += kThreads) {
    squares = __fmaf_rn(p.in[row + i], p.in[row + i], squares);
  }
  squares = WarpSum(squares);
  if (thread % kWarpLanes == 0) warp_sums[thread / kWarpLanes] = squares;
  __syncthreads();
  float total = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) total += warp_sums[warp];
  const float factor = 1.0f / sqrtf(total / static_cast<float>(p.columns) + p.epsilon);
  for (int i = thread; i < p.columns; i += kThreads) {
    p.out[row + i] = p.in[row + i] * factor * p.weight[i];
  }
}

__global__ void GatherKernel(const GatherKernelParams p) {
  const int row = p.recorded != nullptr ? p.recorded[blockIdx.x] : p.rows.values[blockIdx.x];
  const int64_t from = static_cast<int64_t>(row) * p.columns;
  const int64_t to = static_cast<int64_t>(blockIdx.x) * p.columns;
  for (int i = static_cast<int>(threadIdx.x); i < p.columns; i += kThreads) {
    p.out[to + i] = p.in[from + i];
  }
}

__global__ void UploadKernel(const UploadKernelParams p) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i < p.count + p.zeros) p.out[i] = i < p.count ? p.values.values[i] : 0;
}

}  // namespace

cudaError_t LaunchEmbed(const EmbedKernelParams& params, cudaStream_t stream) {
  return Launch(EmbedKernel, dim3(static_cast<unsigned>(params.count)), dim3(kThreads), 0, stream,
                params);
}

cudaError_t LaunchNorm(const NormKernelParams& params, cudaStream_t stream) {
  return Launch(NormKernel, dim3(static_cast<unsigned>(params.rows)), dim3(kThreads),
                kWarps * sizeof(float), stream, params);
}

cudaError_t LaunchGather(const GatherKernelParams& params, cudaStream_t stream) {
  return Launch(GatherKernel, dim3(static_cast<unsigned>(params.count)), dim3(kThreads), 0, stream,
                params);
}

cudaError_t LaunchUpload(const UploadKernelParams& params, cudaStream_t stream) {
  const int blocks = (params.count + params.zeros + kThreads - 1) / kThreads;
  return Launch(UploadKernel, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0, stream,
                params);
}

}  // namespace llmcore::cuda
