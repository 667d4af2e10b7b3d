// Causal attention over the paged cache, prefill and decode in one kernel, in f32.
//
//   grid    x: tiles of up to 16 consecutive rows of one sequence, y: KV heads (and groups of their
//           query heads), z: splits of 512 positions, or 1
//   block   4 warps, up to 32 queries (rows x heads) that share one KV head
//   loop    tiles of 32 positions; cp.async brings the next while this one is computed
//             scores   a warp a query, a lane a position: a dot product without a shuffle
//             softmax  running maximum and sum of a query (Milakov and Gimelshein 2018)
//             values   a thread four dimensions of up to 8 queries
//
// A query sees its own positions alone, in tiles and splits that begin at absolute positions, so
// its bits depend neither on the rows beside it nor on where its splits were computed.
#include "cuda/kernels/attention.h"
#include "cuda/kernels/common/kv.cuh"
#include "cuda/kernels/common/launch.cuh"
#include "cuda/kernels/common/numbers.cuh"
#include "cuda/kernels/common/ptx.cuh"

namespace llmcore::cuda {
namespace {

constexpr int kWarps = kAttentionThreads / kWarpLanes;
// Rows of shared memory are 16 bytes apart modulo 128, so that lanes which read one chunk of 32
// rows meet different banks.
constexpr int kRowPadding = 16;

LLMCORE_HOST_DEVICE inline int PaddedDims(int token_bytes, KvStorage storage) {
  return storage == KvStorage::kF32 ? token_bytes / 4 : token_bytes / 2;
}

// Shared memory, in this order.
struct SharedLayout {
  LLMCORE_HOST_DEVICE explicit SharedLayout(const AttentionKernelParams& p)
      : row_bytes(p.kv.token_bytes + kRowPadding),
        queries(p.tile_rows * p.tile_heads),
        dims(PaddedDims(p.kv.token_bytes, p.storage)) {
    stage_bytes = 2 * kKeyTile * row_bytes;
    q = p.stages * stage_bytes;
    weights = q + queries * dims * 4;
    state = weights + queries * kKeyTile * 4;
    bytes = state + queries * 5 * 4;
  }
  int row_bytes;
  int queries;
  int dims;
  int stage_bytes;  // keys, then values of a tile
  int q;            // [queries][dims] f32
  int weights;      // [queries][32] f32
  int state;        // five floats a query, an array each: see State
  int bytes;
};

// Running values of the queries of a block.
struct State {
  float* maximum;  // of the split so far
  float* sum;
  float* factor;  // what this tile multiplies earlier sums with
  float* total_maximum;
  float* total_sum;
};

// Positions [low, high) that a query sees.
struct Range {
  int low;
  int high;
};

template <KvStorage kStorage>
__device__ __forceinline__ void LoadFour(const unsigned char* row, int i, float (&v)[4]) {
  if (kStorage == KvStorage::kF32) {
    const float4 x = *reinterpret_cast<const float4*>(row + i * 4);
    v[0] = x.x;
    v[1] = x.y;
    v[2] = x.z;
    v[3] = x.w;
  } else {
    const uint2 x = *reinterpret_cast<const uint2*>(row + i * 2);
    const uint32_t words[2] = {x.x, x.y};
#pragma unroll
    for (int w = 0; w < 2; ++w) {
      const auto low = static_cast<uint16_t>(words[w]);
      const auto high = static_cast<uint16_t>(words[w] >> 16);
      v[w * 2] = kStorage == KvStorage::kBf16 ? Bf16ToF32(low) : F16ToF32(low);
      v[w * 2 + 1] = kStorage == KvStorage::kBf16 ? Bf16ToF32(high) : F16ToF32(high);
    }
  }
}

// Factors that bring a total and one more part to their common maximum; false when the part is
// empty and changes nothing.
__device__ __forceinline__ bool MergeFactors(float total_maximum, float maximum, float* of_total,
                                             float* of_part) {
  if (maximum == -INFINITY) return false;
  const float common = fmaxf(total_maximum, maximum);
  *of_total = total_maximum == -INFINITY ? 0.0f : expf(total_maximum - common);
  *of_part = expf(maximum - common);
  return true;
}

__device__ __forceinline__ float Merge(float total, float part, float of_total, float of_part) {
  return __fmaf_rn(total, of_total, __fmul_rn(part, of_part));
}

template <KvStorage kStorage>
class AttentionBlock {
 public:
  __device__ explicit AttentionBlock(const AttentionKernelParams& params)
      : p_(params), layout_(params), shared_(DynamicShared()) {
    const int tile = static_cast<int>(blockIdx.x);
    sequence_ = LastNotAfter(p_.batch.first_tile, p_.batch.sequences, tile);
    const int first_row = p_.batch.first_row[sequence_];
    first_row_ = first_row + (tile - p_.batch.first_tile[sequence_]) * p_.tile_rows;
    rows_ = min(p_.tile_rows, p_.batch.first_row[sequence_ + 1] - first_row_);
    first_position_ = p_.batch.first_position[sequence_] + first_row_ - first_row;
    kv_head_ = static_cast<int>(blockIdx.y) / p_.head_groups;
    const int first = static_cast<int>(blockIdx.y) % p_.head_groups * p_.tile_heads;
    heads_ = min(p_.tile_heads, p_.group - first);
    first_head_ = kv_head_ * p_.group + first;
    queries_ = rows_ * heads_;
    table_ = p_.batch.block_table + static_cast<int64_t>(sequence_) * p_.batch.stride;
    auto* state = reinterpret_cast<float*>(shared_ + layout_.state);
    state_ = {state, state + layout_.queries, state + 2 * layout_.queries,
              state + 3 * layout_.queries, state + 4 * layout_.queries};
    thread_ = static_cast<int>(threadIdx.x);
    quads_ = (p_.kv.head_dim + 3) / 4;
  }

  __device__ void Run() {
    const bool is_split = p_.splits > 1;
    Range seen = {RangeOf(0).low, first_position_ + rows_};
    if (is_split) {
      const int begin = static_cast<int>(blockIdx.z) * kSplitPositions;
      seen = {max(seen.low, begin), min(seen.high, begin + kSplitPositions)};
    }
    LoadQueries();
    if (seen.low < seen.high) {
      const int first = seen.low / kKeyTile;
      const int end = (seen.high + kKeyTile - 1) / kKeyTile;
      LoadTile(first, seen);
      for (int tile = first; tile < end; ++tile) {
        if (p_.stages == 2) {
          if (tile + 1 < end)
            LoadTile(tile + 1, seen);
          else
            CommitAsync();
          WaitAsync<1>();
        } else {
          WaitAsync<0>();
        }
        __syncthreads();
        Scores(tile);
        __syncthreads();
        Values(tile);
        __syncthreads();
        if (p_.stages == 1 && tile + 1 < end) LoadTile(tile + 1, seen);
        const bool ends_split = (tile + 1) % kTilesASplit == 0 || tile + 1 == end;
        if (ends_split && !is_split) MergeSplit();
      }
    }
    if (is_split) {
      StorePartial();
    } else {
      StoreOut();
    }
  }

 private:
  __device__ __forceinline__ Range RangeOf(int query) const {
    const int position = first_position_ + query / heads_;
    return {p_.window > 0 ? max(0, position - p_.window + 1) : 0, position + 1};
  }
  // The part of it in a tile, from the tile's start; empty when low >= high.
  __device__ __forceinline__ Range RangeInTile(int query, int tile) const {
    const Range range = RangeOf(query);
    return {max(range.low - tile * kKeyTile, 0), min(range.high - tile * kKeyTile, kKeyTile)};
  }
  __device__ __forceinline__ int64_t HeadOf(int query) const {
    return static_cast<int64_t>(first_row_ + query / heads_) * p_.heads + first_head_ +
           query % heads_;
  }
  __device__ __forceinline__ unsigned char* Stage(int tile) const {
    return shared_ + tile % p_.stages * layout_.stage_bytes;
  }
  __device__ __forceinline__ float* Weights(int query) const {
    return reinterpret_cast<float*>(shared_ + layout_.weights) + query * kKeyTile;
  }

  __device__ void LoadQueries() {
    auto* q = reinterpret_cast<float*>(shared_ + layout_.q);
    for (int i = thread_; i < queries_ * layout_.dims; i += kAttentionThreads) {
      const int query = i / layout_.dims;
      const int dim = i % layout_.dims;
      const int64_t at = (first_row_ + query / heads_) * p_.q_stride +
                         static_cast<int64_t>(first_head_ + query % heads_) * p_.kv.head_dim + dim;
      q[i] = dim < p_.kv.head_dim ? p_.q[at] : 0.0f;
    }
    for (int query = thread_; query < queries_; query += kAttentionThreads) {
      state_.maximum[query] = state_.total_maximum[query] = -INFINITY;
      state_.sum[query] = state_.total_sum[query] = 0;
    }
  }

  // Positions outside of `seen` become zeros: what stands there was perhaps never written.
  __device__ void LoadTile(int tile, const Range& seen) {
    const int chunks = p_.kv.token_bytes / 16;
    unsigned char* stage = Stage(tile);
    for (int i = thread_; i < 2 * kKeyTile * chunks; i += kAttentionThreads) {
      const int chunk = i % chunks;
      const int slot = i / chunks % kKeyTile;
      const int which = i / chunks / kKeyTile;
      const int position = tile * kKeyTile + slot;
      const bool valid = position >= seen.low && position < seen.high;
      const unsigned char* source =
          valid ? KvToken(p_.kv, table_, which, kv_head_, position) : p_.kv.layer;
      CopyAsync<16>(stage + (which * kKeyTile + slot) * layout_.row_bytes + chunk * 16,
                    source + chunk * 16, valid);
    }
    CommitAsync();
  }

  __device__ void Scores(int tile) {
    const int lane = thread_ % kWarpLanes;
    const unsigned char* key = Stage(tile) + lane * layout_.row_bytes;
    for (int query = thread_ / kWarpLanes; query < queries_; query += kWarps) {
      const Range range = RangeInTile(query, tile);
      if (range.low >= range.high) continue;
      const float* q = reinterpret_cast<const float*>(shared_ + layout_.q) + query * layout_.dims;
      float dots[4] = {};
      for (int i = 0; i < layout_.dims; i += 4) {
        float k[4];
        LoadFour<kStorage>(key, i, k);
        const float4 x = *reinterpret_cast<const float4*>(q + i);
        dots[0] = __fmaf_rn(x.x, k[0], dots[0]);
        dots[1] = __fmaf_rn(x.y, k[1], dots[1]);
        dots[2] = __fmaf_rn(x.z, k[2], dots[2]);
        dots[3] = __fmaf_rn(x.w, k[3], dots[3]);
      }
      const bool visible = lane >= range.low && lane < range.high;
      const float dot = (dots[0] + dots[1]) + (dots[2] + dots[3]);
      const float score = visible ? dot * p_.scale : -INFINITY;
      const float before = state_.maximum[query];
      const float maximum = fmaxf(before, WarpMax(score));
      // Where every score is -infinity so far, none has a weight.
      const float weight = score == -INFINITY ? 0.0f : expf(score - maximum);
      const float factor = before == -INFINITY ? 0.0f : expf(before - maximum);
      const float sum = WarpSum(weight);
      Weights(query)[lane] = weight;
      __syncwarp();
      if (lane == 0) {
        state_.maximum[query] = maximum;
        state_.sum[query] = __fmaf_rn(state_.sum[query], factor, sum);
        state_.factor[query] = factor;
      }
    }
  }

  __device__ void Values(int tile) {
    const unsigned char* values = Stage(tile) + kKeyTile * layout_.row_bytes;
#pragma unroll
    for (int item = 0; item < kAttentionItems; ++item) {
      const int index = item * kAttentionThreads + thread_;
      const int query = index / quads_;
      if (query >= queries_) break;
      const Range range = RangeInTile(query, tile);
      if (range.low >= range.high) continue;
      const int dim = index % quads_ * 4;
      const float factor = state_.factor[query];
      const float* weights = Weights(query);
#pragma unroll
      for (int i = 0; i < 4; ++i) sums_[item][i] *= factor;
      for (int slot = range.low; slot < range.high; ++slot) {
        float v[4];
        LoadFour<kStorage>(values + slot * layout_.row_bytes, dim, v);
        const float weight = weights[slot];
#pragma unroll
        for (int i = 0; i < 4; ++i) sums_[item][i] = __fmaf_rn(weight, v[i], sums_[item][i]);
      }
    }
  }

  __device__ void MergeSplit() {
#pragma unroll
    for (int item = 0; item < kAttentionItems; ++item) {
      const int query = (item * kAttentionThreads + thread_) / quads_;
      if (query >= queries_) break;
      float of_total = 1;
      float of_part = 0;
      if (MergeFactors(state_.total_maximum[query], state_.maximum[query], &of_total, &of_part)) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          totals_[item][i] = Merge(totals_[item][i], sums_[item][i], of_total, of_part);
        }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) sums_[item][i] = 0;
    }
    __syncthreads();
    for (int query = thread_; query < queries_; query += kAttentionThreads) {
      float of_total = 1;
      float of_part = 0;
      if (MergeFactors(state_.total_maximum[query], state_.maximum[query], &of_total, &of_part)) {
        state_.total_sum[query] =
            Merge(state_.total_sum[query], state_.sum[query], of_total, of_part);
        state_.total_maximum[query] = fmaxf(state_.total_maximum[query], state_.maximum[query]);
      }
      state_.maximum[query] = -INFINITY;
      state_.sum[query] = 0;
    }
    __syncthreads();
  }

  __device__ void StoreOut() {
#pragma unroll
    for (int item = 0; item < kAttentionItems; ++item) {
      const int index = item * kAttentionThreads + thread_;
      const int query = index / quads_;
      if (query >= queries_) break;
      float* out = p_.out + HeadOf(query) * p_.kv.head_dim;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int dim = index % quads_ * 4 + i;
        if (dim < p_.kv.head_dim) out[dim] = totals_[item][i] / state_.total_sum[query];
      }
    }
  }

  __device__ void StorePartial() {
    __syncthreads();
    const int64_t heads = static_cast<int64_t>(p_.batch.rows) * p_.heads;
    float* partial = p_.partial + blockIdx.z * heads * (2 + p_.kv.head_dim);
#pragma unroll
    for (int item = 0; item < kAttentionItems; ++item) {
      const int index = item * kAttentionThreads + thread_;
      const int query = index / quads_;
      if (query >= queries_) break;
      float* out = partial + HeadOf(query) * (2 + p_.kv.head_dim);
      if (index % quads_ == 0) {
        out[0] = state_.maximum[query];
        out[1] = state_.sum[query];
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int dim = index % quads_ * 4 + i;
        if (dim < p_.kv.head_dim) out[2 + dim] = sums_[item][i];
      }
    }
  }

  const AttentionKernelParams& p_;
  const SharedLayout layout_;
  unsigned char* const shared_;
  State state_;
  const int32_t* table_;
  int thread_;
  int sequence_;
  int first_row_;
  int rows_;
  int first_position_;
  int kv_head_;
  int first_head_;
  int heads_;
  int queries_;
  int quads_;
  float sums_[kAttentionItems][4] = {};    // of the split
  float totals_[kAttentionItems][4] = {};  // of the splits before
};

template <KvStorage kStorage>
__global__ void __launch_bounds__(kAttentionThreads)
    AttentionKernel(const __grid_constant__ AttentionKernelParams p) {
  AttentionBlock<kStorage>(p).Run();
}

// Merges the splits of one head of one row, in order.
__global__ void __launch_bounds__(kAttentionThreads) CombineKernel(const AttentionKernelParams p) {
  const int64_t heads = static_cast<int64_t>(p.batch.rows) * p.heads;
  const int64_t stride = heads * (2 + p.kv.head_dim);
  const float* first = p.partial + static_cast<int64_t>(blockIdx.x) * (2 + p.kv.head_dim);
  float* out = p.out + static_cast<int64_t>(blockIdx.x) * p.kv.head_dim;
  for (int dim = static_cast<int>(threadIdx.x); dim < p.kv.head_dim; dim += kAttentionThreads) {
    float maximum = -INFINITY;
    float sum = 0;
    float total = 0;
    for (int split = 0; split < p.splits; ++split) {
      const float* part = first + split * stride;
      float of_total = 1;
      float of_part = 0;
      if (!MergeFactors(maximum, part[0], &of_total, &of_part)) continue;
      sum = Merge(sum, part[1], of_total, of_part);
      total = Merge(total, part[2 + dim], of_total, of_part);
      maximum = fmaxf(maximum, part[0]);
    }
    out[dim] = total / sum;
  }
}

template <KvStorage kStorage>
cudaError_t LaunchStorage(const AttentionKernelParams& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(p.batch.tiles),
                  static_cast<unsigned>(p.kv.kv_heads * p.head_groups),
                  static_cast<unsigned>(p.splits));
  const cudaError_t error = Launch(AttentionKernel<kStorage>, grid, dim3(kAttentionThreads),
                                   AttentionSharedBytes(p), stream, p);
  if (error != cudaSuccess || p.splits == 1) return error;
  return Launch(CombineKernel, dim3(static_cast<unsigned>(p.batch.rows * p.heads)),
                dim3(kAttentionThreads), 0, stream, p);
}

}  // namespace

size_t AttentionSharedBytes(const AttentionKernelParams& params) {
  return static_cast<size_t>(SharedLayout(params).bytes);
}

cudaError_t LaunchAttention(const AttentionKernelParams& params, cudaStream_t stream) {
  switch (params.storage) {
    case KvStorage::kF32:
      return LaunchStorage<KvStorage::kF32>(params, stream);
    case KvStorage::kBf16:
      return LaunchStorage<KvStorage::kBf16>(params, stream);
    case KvStorage::kF16:
      break;
  }
  return LaunchStorage<KvStorage::kF16>(params, stream);
}

}  // namespace llmcore::cuda
