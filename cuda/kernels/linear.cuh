// out = in * weight^T on tensor cores, for any number of tokens; weights are operand A.
//
//   grid    x: 16 rows of the weight (16 gate rows and the 16 up rows of the same outputs in a
//   gated
//           product), y: 8, 16 or 32 tokens
//   block   8 warps; warp w sums the groups of 128 columns w, w + 8, w + 16, ...
//   warp    a tile of 16 x 128 weights, 1 to 8 KB, goes straight to registers; int4 and int8 tiles
//           one group ahead of their use
//   end     the eight partial sums meet in shared memory and are added in the order of the warps
//
//   norm    rows of x are multiplied with the norm's weight on their way into fragments, and their
//           squares are added up beside them; the sums are scaled by 1 / rms(x) in the end
//
// A sum's terms and their order do not depend on the token tile: promise 5 without a special mode.
#ifndef LLMCORE_CUDA_KERNELS_LINEAR_CUH_
#define LLMCORE_CUDA_KERNELS_LINEAR_CUH_

#include "cuda/kernels/common/launch.cuh"
#include "cuda/kernels/common/numbers.cuh"
#include "cuda/kernels/common/ptx.cuh"
#include "cuda/kernels/linear.h"
#include "cuda/kernels/linear_tuning.h"
#include "cuda/kernels/operands.cuh"

namespace llmcore::cuda {

// Multiplies with the norm's weight, and adds the squares of what was there.
__device__ __forceinline__ void ApplyNorm(const float4& weight, float4* x, float* squares) {
  *squares = __fmaf_rn(x->x, x->x, *squares);
  *squares = __fmaf_rn(x->y, x->y, *squares);
  *squares = __fmaf_rn(x->z, x->z, *squares);
  *squares = __fmaf_rn(x->w, x->w, *squares);
  *x = make_float4(x->x * weight.x, x->y * weight.y, x->z * weight.z, x->w * weight.w);
}

// Adds the products of one group to `sums`, and squares of the lane's activations to `squares`
// where there is a norm.
template <typename Weights, int kRowTiles, int kTokenTiles>
__device__ __forceinline__ void MultiplyGroup(const typename Weights::Tile (&tiles)[kRowTiles],
                                              const float* const (&rows)[kTokenTiles], int column,
                                              const LinearKernelParams& p,
                                              float (&sums)[kRowTiles][kTokenTiles][4],
                                              float (&squares)[kTokenTiles]) {
  constexpr int kMostPieces = Weights::kWeightPieces > Weights::kActivationPieces
                                  ? Weights::kWeightPieces
                                  : Weights::kActivationPieces;
#pragma unroll
  for (int s = 0; s < kSteps; ++s) {
    uint32_t b[kTokenTiles][Weights::kActivationPieces][2];
    const int k = column + s * 16;
    const float4 norm = LoadActivations(p.norm, k, p.columns, p.vector_loads);
#pragma unroll
    for (int t = 0; t < kTokenTiles; ++t) {
      float4 x = LoadActivations(rows[t], k, p.columns, p.vector_loads);
      if (p.norm != nullptr) ApplyNorm(norm, &x, &squares[t]);
      ActivationFragments(x, b[t]);
    }
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      uint32_t a[Weights::kWeightPieces][4];
      Weights::Fragments(tiles[r], s, a);
#pragma unroll
      for (int t = 0; t < kTokenTiles; ++t) {
#pragma unroll
        for (int i = Weights::kWeightPieces - 1; i >= 0; --i) {
#pragma unroll
          for (int j = Weights::kActivationPieces - 1; j >= 0; --j) {
            if (i + j < kMostPieces) MmaBf16(sums[r][t], a[i], b[t][j]);
          }
        }
      }
    }
  }
}

template <typename Weights, int kTokenTiles, bool kGated>
__launch_bounds__(kLinearWarps* kWarpLanes,
                  LinearBlocksAnSm(Weights::kStorage, kTokenTiles, kGated)) __global__
    void LinearKernel(const LinearKernelParams p) {
  constexpr int kRowTiles = kGated ? 2 : 1;
  constexpr int kTokens = kTokenTiles * 8;
  constexpr int64_t kTileBytes = TileBytes(Weights::kStorage);
  const int warp = static_cast<int>(threadIdx.x) / kWarpLanes;
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  const unsigned char* weight =
      p.weight + static_cast<int64_t>(blockIdx.x) * kRowTiles * p.groups * kTileBytes;

  const float* rows[kTokenTiles];
#pragma unroll
  for (int t = 0; t < kTokenTiles; ++t) {
    const int token = first_token + t * 8 + lane / 4;
    rows[t] = token < p.tokens ? p.in + static_cast<int64_t>(token) * p.columns : nullptr;
  }
  float sums[kRowTiles][kTokenTiles][4] = {};
  float squares[kTokenTiles] = {};
  const auto load = [&](int group, typename Weights::Tile(&tiles)[kRowTiles]) {
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      tiles[r] = Weights::Load(weight + (int64_t{r} * p.groups + group) * kTileBytes, lane);
    }
  };
  typename Weights::Tile tiles[kRowTiles];
  if (warp < p.groups) load(warp, tiles);
  for (int group = warp; group < p.groups; group += kLinearWarps) {
    typename Weights::Tile next[kRowTiles] = {};
    if (group + kLinearWarps < p.groups) load(group + kLinearWarps, next);
    const int column = group * kGroup + lane % 4 * 4;
    if constexpr (Weights::kScaled) {
      float group_sums[kRowTiles][kTokenTiles][4] = {};
      MultiplyGroup<Weights>(tiles, rows, column, p, group_sums, squares);
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
        for (int t = 0; t < kTokenTiles; ++t) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            sums[r][t][i] = __fmaf_rn(ScaleOf(tiles[r], i / 2), group_sums[r][t][i], sums[r][t][i]);
          }
        }
      }
    } else {
      MultiplyGroup<Weights>(tiles, rows, column, p, sums, squares);
    }
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) tiles[r] = next[r];
  }

  // Partial sums: [warp][row tile][token][16 rows], then of squares: [warp][token].
  auto* partial = reinterpret_cast<float*>(DynamicShared());
  constexpr int kValues = kRowTiles * kTokens * kTileRows;
  float* partial_squares = partial + kLinearWarps * kValues;
  if (p.norm != nullptr) {
#pragma unroll
    for (int t = 0; t < kTokenTiles; ++t) {
      float sum = squares[t];
      sum += __shfl_xor_sync(kAllLanes, sum, 1);
      sum += __shfl_xor_sync(kAllLanes, sum, 2);
      if (lane % 4 == 0) partial_squares[warp * kTokens + t * 8 + lane / 4] = sum;
    }
  }
#pragma unroll
  for (int r = 0; r < kRowTiles; ++r) {
#pragma unroll
    for (int t = 0; t < kTokenTiles; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int token = t * 8 + lane % 4 * 2 + i % 2;
        const int row = lane / 4 + i / 2 * 8;
        partial[((warp * kRowTiles + r) * kTokens + token) * kTileRows + row] = sums[r][t][i];
      }
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kTokens * kTileRows;
       i += kLinearWarps * kWarpLanes) {
    const int token = first_token + i / kTileRows;
    const int output = static_cast<int>(blockIdx.x) * kTileRows + i % kTileRows;
    if (token >= p.tokens || output >= p.outputs) continue;
    float totals[kRowTiles];
#pragma unroll
    for (int r = 0; r < kRowTiles; ++r) {
      totals[r] = 0;
#pragma unroll
      for (int w = 0; w < kLinearWarps; ++w) {
        totals[r] += partial[w * kValues + r * kTokens * kTileRows + i];
      }
    }
    if (p.norm != nullptr) {
      float sum = 0;
#pragma unroll
      for (int w = 0; w < kLinearWarps; ++w) sum += partial_squares[w * kTokens + i / kTileRows];
      const float factor = 1.0f / sqrtf(sum / static_cast<float>(p.columns) + p.epsilon);
#pragma unroll
      for (int r = 0; r < kRowTiles; ++r) totals[r] *= factor;
    }
    WriteOutput<kGated>(p, token, output, totals[0], totals[kRowTiles - 1]);
  }
}

template <typename Weights, int kTokenTiles, bool kGated>
cudaError_t LaunchTile(const LinearKernelParams& p, cudaStream_t stream) {
  constexpr int kTokens = kTokenTiles * 8;
  constexpr size_t kShared =
      sizeof(float) * kLinearWarps * kTokens * ((kGated ? 2 : 1) * kTileRows + 1);
  const dim3 grid(static_cast<unsigned>((p.outputs + kTileRows - 1) / kTileRows),
                  static_cast<unsigned>((p.tokens + kTokens - 1) / kTokens));
  return Launch(LinearKernel<Weights, kTokenTiles, kGated>, grid, dim3(kLinearWarps * kWarpLanes),
                kShared, stream, p);
}

template <typename Weights, bool kGated>
cudaError_t LaunchFormat(const LinearKernelParams& p, cudaStream_t stream) {
  int token_tiles = 1;
  for (const TokenTileChoice& choice : kTokenTileChoices) {
    token_tiles = choice.token_tiles;
    if (p.tokens <= choice.up_to_tokens) break;
  }
  switch (token_tiles) {
    case 1:
      return LaunchTile<Weights, 1, kGated>(p, stream);
    case 2:
      return LaunchTile<Weights, 2, kGated>(p, stream);
    default:
      return LaunchTile<Weights, 4, kGated>(p, stream);
  }
}

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_KERNELS_LINEAR_CUH_
