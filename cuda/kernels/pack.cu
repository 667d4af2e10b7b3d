// Checkpoint rows to packed weights: convert, or quantize to the bit, and permute (layout.h).
//
//   grid    x: 8 groups of a row, y: rows
//   warp    one group of 128 columns; a lane has four values, which one lane of the product will
//           load for one row
#include "cuda/kernels/common/launch.cuh"
#include "cuda/kernels/common/numbers.cuh"
#include "cuda/kernels/common/ptx.cuh"
#include "cuda/kernels/pack.h"

namespace llmcore::cuda {
namespace {

constexpr int kWarps = 8;

// lib/tensor/int4.cc.
__device__ __forceinline__ int Int4Code(float x, float scale) {
  const float quotient = Bf16ToF32(F32ToBf16(__fdiv_rn(x, scale)));
  return quotient != quotient ? 0 : static_cast<int>(RoundHalfEven(Clamp(quotient, -8, 7)));
}

// lib/tensor/int8.cc.
__device__ __forceinline__ int Int8Code(float x, float scale) {
  const float quotient = __fdiv_rn(x, scale);
  return quotient != quotient ? 0 : static_cast<int>(RoundHalfEven(Clamp(quotient, -127, 127)));
}

// Code of one column of a quantized source.
__device__ __forceinline__ int SourceCode(PackSource source, const unsigned char* row, int column) {
  if (source == PackSource::kInt8) return static_cast<signed char>(row[column]);
  const int byte = row[column / 2];
  const int nibble = column % 2 == 0 ? byte >> 4 : byte & 15;
  return source == PackSource::kInt4Zeros ? nibble : (nibble ^ 8) - 8;
}

// Of a quantized one, a group's scale and zero point.
struct GroupParameters {
  uint16_t scale_bits;
  unsigned char zero;
  float scale;
};

__device__ __forceinline__ float SourceValue(PackSource source, const unsigned char* row,
                                             int column, const GroupParameters& group) {
  switch (source) {
    case PackSource::kF32:
      return reinterpret_cast<const float*>(row)[column];
    case PackSource::kBf16:
      return Bf16ToF32(reinterpret_cast<const uint16_t*>(row)[column]);
    case PackSource::kF16:
      return F16ToF32(reinterpret_cast<const uint16_t*>(row)[column]);
    case PackSource::kInt8:
      return __fmul_rn(static_cast<float>(SourceCode(source, row, column)), group.scale);
    case PackSource::kInt4:
      return Bf16ToF32(
          F32ToBf16(__fmul_rn(static_cast<float>(SourceCode(source, row, column)), group.scale)));
    case PackSource::kInt4Zeros:
      return __fmul_rn(static_cast<float>(SourceCode(source, row, column) - group.zero),
                       group.scale);
    case PackSource::kZeros:
      break;
  }
  return 0;
}

__device__ __forceinline__ bool IsSame(PackSource source, Storage storage) {
  return (source == PackSource::kInt8 && storage == Storage::kInt8) ||
         (source == PackSource::kInt4 && storage == Storage::kInt4) ||
         (source == PackSource::kInt4Zeros && storage == Storage::kInt4Zeros);
}

__global__ void PackKernel(const PackKernelParams p) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpLanes;
  const int group = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / 32;
  if (group >= p.groups) return;
  const int row = static_cast<int>(blockIdx.y);
  const unsigned char* source = p.data + row * p.row_bytes;
  const int64_t out_row = p.first_row + row;
  const int64_t tile = p.first_tile + out_row / kTileRows * p.tile_step;
  const int tile_row = static_cast<int>(out_row % kTileRows);
  unsigned char* out = p.out + (tile * p.groups + group) * TileBytes(p.storage);
  const int first = lane * 4;

  GroupParameters parameters = {};
  if (IsQuantized(p.source)) {
    const int64_t at = static_cast<int64_t>(row) * p.groups + group;
    parameters.scale_bits = p.scales[at];
    parameters.scale = Bf16ToF32(parameters.scale_bits);
    if (p.source == PackSource::kInt4Zeros) {
      parameters.zero = p.zeros[at];
      parameters.scale = F16ToF32(parameters.scale_bits);
    }
  }
  const bool group_is_bad = !IsFinite(parameters.scale) || parameters.zero > kMostZero;

  // Values that the format can hold, and whether the source's can be held.
  float values[4];
  int codes[4];
  int bad = kNoneBad;
  for (int i = 3; i >= 0; --i) {
    const int column = group * kGroup + first + i;
    const bool inside = column < p.columns;
    codes[i] = 0;
    values[i] = 0;
    if (inside && IsSame(p.source, p.storage)) {
      codes[i] = SourceCode(p.source, source, column);
    } else if (inside) {
      values[i] = SourceValue(p.source, source, column, parameters);
    }
    float kept = values[i];
    if (p.storage == Storage::kF16) {
      kept = F16ToF32(F32ToF16(kept));
    } else if (p.storage != Storage::kF32) {
      kept = Bf16ToF32(F32ToBf16(kept));
    }
    if (!IsFinite(kept)) bad = first + i;
    values[i] = kept;
  }
  if (group_is_bad) bad = 0;
  const unsigned bad_lanes = __ballot_sync(kAllLanes, bad != kNoneBad);
  if (bad_lanes != 0) {
    int least = 0;
    while ((bad_lanes >> least & 1) == 0) ++least;
    bad = __shfl_sync(kAllLanes, bad, least);
  }
  if (lane == 0 && p.bad != nullptr) {
    p.bad[static_cast<int64_t>(row) * p.groups + group] = static_cast<unsigned char>(bad);
  }

  if (p.storage == Storage::kF32) {
    for (int i = 0; i < 4; ++i) {
      *reinterpret_cast<float*>(out + OffsetInTile(p.storage, tile_row, first + i)) = values[i];
    }
    return;
  }
  if (p.storage == Storage::kBf16 || p.storage == Storage::kF16) {
    for (int i = 0; i < 4; ++i) {
      *reinterpret_cast<uint16_t*>(out + OffsetInTile(p.storage, tile_row, first + i)) =
          p.storage == Storage::kF16 ? F32ToF16(values[i]) : F32ToBf16(values[i]);
    }
    return;
  }
  const bool is_int8 = p.storage == Storage::kInt8;
  uint16_t scale_bits = parameters.scale_bits;
  if (!IsSame(p.source, p.storage) && p.source != PackSource::kZeros) {
    float absmax = 0;
    for (int i = 0; i < 4; ++i) absmax = fmaxf(absmax, fabsf(values[i]));
    absmax = WarpMax(absmax);
    if (absmax == 0) absmax = 1;
    scale_bits = F32ToBf16(__fdiv_rn(absmax, is_int8 ? 127.0f : 7.0f));
    const float scale = Bf16ToF32(scale_bits);
    for (int i = 0; i < 4; ++i) {
      codes[i] = is_int8 ? Int8Code(values[i], scale) : Int4Code(values[i], scale);
    }
    // Columns behind the last are no part of the block; they are zero whatever the scale.
    for (int i = 0; i < 4; ++i) {
      if (group * kGroup + first + i >= p.columns) codes[i] = 0;
    }
  }
  if (is_int8) {
    for (int i = 0; i < 4; ++i) {
      out[OffsetInTile(p.storage, tile_row, first + i)] = static_cast<unsigned char>(codes[i]);
    }
  } else {
    // Columns j and j + 2 share a byte.
    const int offset = p.storage == Storage::kInt4 ? 8 : 0;
    for (int i = 0; i < 2; ++i) {
      out[OffsetInTile(p.storage, tile_row, first + i)] =
          static_cast<unsigned char>((codes[i] + offset) | (codes[i + 2] + offset) << 4);
    }
  }
  if (lane == 0) {
    unsigned char* scales = out + ScalesInTile(p.storage);
    reinterpret_cast<uint16_t*>(scales)[tile_row] = scale_bits;
    if (p.storage == Storage::kInt4Zeros) scales[kTileRows * 2 + tile_row] = parameters.zero;
  }
}

}  // namespace

cudaError_t LaunchPack(const PackKernelParams& params, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((params.groups + kWarps - 1) / kWarps),
                  static_cast<unsigned>(params.rows));
  return Launch(PackKernel, grid, dim3(kWarps * kWarpLanes), 0, stream, params);
}

}  // namespace llmcore::cuda
