// Around a product of many tokens: memory is all that these wait for.
#include "cuda/kernels/common/launch.cuh"
#include "cuda/kernels/operands.cuh"
#include "cuda/kernels/panel.h"

namespace llmcore::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpLanes;

// ---- Weights -----------------------------------------------------------------------------------

// The weights of step s as a fragment has them, by the piece `piece` of their values.
template <typename Weights, Precision kPrecision>
__device__ __forceinline__ void PieceOf(const typename Weights::Tile& tile, int s, int piece,
                                        uint32_t (&pairs)[4]) {
  uint32_t fragments[Weights::kWeightPieces][4];
  Weights::Fragments(tile, s, fragments);
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    if constexpr (!Weights::kScaled) {
      pairs[r] = fragments[0][r];
#pragma unroll
      for (int i = 1; i < Weights::kWeightPieces; ++i) {
        if (piece == i) pairs[r] = fragments[i][r];
      }
    } else {  // codes
      const float scale = ScaleOf(tile, r % 2);
      const float low = __fmul_rn(__uint_as_float(fragments[0][r] << 16), scale);
      const float high = __fmul_rn(__uint_as_float(fragments[0][r] & 0xFFFF0000u), scale);
      if constexpr (kPrecision == Precision::kRounded) {
        pairs[r] = PackBf16(low, high);
      } else {
        uint32_t cut[2];
        Cut<2>(low, high, cut, 1);
        pairs[r] = piece == 0 ? cut[0] : cut[1];
      }
    }
  }
}

//   grid    x: 8 groups of columns, y: tiles of 16 rows
//   warp    a tile, as the product's warps load it; a lane writes four columns of two rows a step,
//           so that four lanes fill a sector of 32 bytes
template <typename Weights, Precision kPrecision>
__global__ void __launch_bounds__(kThreads) DequantizeKernel(const DequantizeKernelParams p) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int group =
      static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarpLanes;
  if (group >= p.groups) return;
  const int64_t row_tile = blockIdx.y;
  const typename Weights::Tile tile =
      Weights::Load(p.tiles + (row_tile * p.groups + group) * TileBytes(Weights::kStorage), lane);
  const int64_t depth = Depth(p.groups);
  uint16_t* out =
      p.out + (row_tile * kTileRows + lane / 4) * depth + int64_t{group} * kGroup + lane % 4 * 4;
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    uint32_t pairs[4];
    PieceOf<Weights, kPrecision>(tile, s, p.piece, pairs);
    *reinterpret_cast<uint2*>(out + s * 16) = make_uint2(pairs[0], pairs[2]);
    *reinterpret_cast<uint2*>(out + s * 16 + 8 * depth) = make_uint2(pairs[1], pairs[3]);
  }
}

template <typename Weights, Precision kPrecision>
cudaError_t LaunchFormat(const DequantizeKernelParams& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((p.groups + kWarps - 1) / kWarps),
                  static_cast<unsigned>(p.row_tiles));
  return Launch(DequantizeKernel<Weights, kPrecision>, grid, dim3(kThreads), 0, stream, p);
}

// ---- Activations -------------------------------------------------------------------------------

// A block a token. With a norm the row is read twice, which the cache makes cheap.
template <int kPieces>
__global__ void __launch_bounds__(kThreads) ActivationsKernel(const ActivationsKernelParams p) {
  auto* warp_sums = reinterpret_cast<float*>(DynamicShared());
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t token = blockIdx.x;
  const float* row = p.in + token * p.columns;
  const int depth = p.groups * kGroup;
  float factor = 1;
  if (p.norm != nullptr) {
    float squares = 0;
    for (int k = thread * 4; k < p.columns; k += kThreads * 4) {
      const float4 x = LoadActivations(row, k, p.columns, p.vector_loads);
      squares = __fmaf_rn(x.x, x.x, squares);
      squares = __fmaf_rn(x.y, x.y, squares);
      squares = __fmaf_rn(x.z, x.z, squares);
      squares = __fmaf_rn(x.w, x.w, squares);
    }
    squares = WarpSum(squares);
    if (thread % kWarpLanes == 0) warp_sums[thread / kWarpLanes] = squares;
    __syncthreads();
    float total = 0;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) total += warp_sums[warp];
    factor = 1.0f / sqrtf(total / static_cast<float>(p.columns) + p.epsilon);
  }
  for (int k = thread * 4; k < depth; k += kThreads * 4) {
    float4 x = LoadActivations(row, k, p.columns, p.vector_loads);
    if (p.norm != nullptr) {
      const float4 weight = LoadActivations(p.norm, k, p.columns, p.vector_loads);
      x = make_float4(x.x * factor * weight.x, x.y * factor * weight.y, x.z * factor * weight.z,
                      x.w * factor * weight.w);
    }
    uint32_t pieces[kPieces][2];
    ActivationFragments(x, pieces);
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      *reinterpret_cast<uint2*>(p.out + (int64_t{i} * p.tokens + token) * depth + k) =
          make_uint2(pieces[i][0], pieces[i][1]);
    }
  }
}

// ---- Outputs -----------------------------------------------------------------------------------

//   grid    x: 256 outputs of the panel, y: tokens
template <bool kGated>
__global__ void __launch_bounds__(kThreads) OutputsKernel(const OutputsKernelParams p) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  const int output = p.first_output + i;
  const int row = kGated ? i / kTileRows * 2 * kTileRows + i % kTileRows : i;
  if (row >= p.panel_rows || output >= p.product.outputs) return;
  const int token = static_cast<int>(blockIdx.y);
  const float* sums = p.sums + static_cast<int64_t>(token) * p.panel_rows + row;
  WriteOutput<kGated>(p.product, token, output, sums[0], kGated ? sums[kTileRows] : 0);
}

}  // namespace

cudaError_t LaunchDequantize(Storage storage, Precision precision,
                             const DequantizeKernelParams& params, cudaStream_t stream) {
  switch (storage) {
    case Storage::kF32:
      return LaunchFormat<F32Weights, Precision::kExact>(params, stream);
    case Storage::kF16:
      return LaunchFormat<F16Weights, Precision::kExact>(params, stream);
    case Storage::kBf16:
      return LaunchFormat<Bf16Weights, Precision::kExact>(params, stream);
    case Storage::kInt8:
      return precision == Precision::kExact
                 ? LaunchFormat<Int8Weights<1>, Precision::kExact>(params, stream)
                 : LaunchFormat<Int8Weights<1>, Precision::kRounded>(params, stream);
    case Storage::kInt4:
      break;
  }
  // bf16(code * scale), which the format says and a panel holds.
  return LaunchFormat<Int4Weights<3>, Precision::kExact>(params, stream);
}

cudaError_t LaunchActivations(Precision precision, const ActivationsKernelParams& params,
                              cudaStream_t stream) {
  return Launch(precision == Precision::kRounded ? ActivationsKernel<1> : ActivationsKernel<3>,
                dim3(static_cast<unsigned>(params.tokens)), dim3(kThreads), kWarps * sizeof(float),
                stream, params);
}

cudaError_t LaunchOutputs(bool gated, const OutputsKernelParams& params, cudaStream_t stream) {
  const int outputs = params.panel_rows / (gated ? 2 : 1);
  const dim3 grid(static_cast<unsigned>((outputs + kThreads - 1) / kThreads),
                  static_cast<unsigned>(params.product.tokens));
  return Launch(gated ? OutputsKernel<true> : OutputsKernel<false>, grid, dim3(kThreads), 0, stream,
                params);
}

}  // namespace llmcore::cuda
