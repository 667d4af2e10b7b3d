// Causal attention over the paged cache, prefill and decode in one kernel, in f32.
//
//   grid    x: tiles of up to 16 consecutive rows of one sequence, y: KV heads (and groups of their
//           query heads), z: splits of 512 positions, or 1
//   block   4 warps, up to 32 queries (rows x heads) that share one KV head
//   loop    tiles of 32 positions; cp.async brings the next while this one is computed
//             scores   a warp a query, a lane a position: a dot product without a shuffle
//             softmax  running maximum and sum of a query (Milakov and Gimelshein 2018)
//             values   a thread four dimensions of up to 8 queries
//   end     splits of one tile meet in memory, and the block that is the last to be done merges
//   them
//           in order
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

// Shared memory, in this order.
struct SharedLayout {
  LLMCORE_HOST_DEVICE explicit SharedLayout(const AttentionKernelParams& p)
      : row_bytes(p.kv.token_bytes + kRowPadding),
        queries(p.tile_rows * p.tile_heads),
        dims(p.kv.token_bytes * 8 / ElementBits(p.storage)) {
    parameters = 2 * kKeyTile * row_bytes;
    stage_bytes = parameters + (IsQuantized(p.storage) ? 2 * kKeyTile * kKvParameterBytes : 0);
    q = p.stages * stage_bytes;
    weights = q + queries * dims * 4;
    state = weights + queries * kKeyTile * 4;
    bytes = state + queries * 5 * 4;
  }
  int row_bytes;
  int queries;
  int dims;
  int parameters;   // in a stage: of its keys, then of its values
  int stage_bytes;  // keys, then values of a tile, then their parameters
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

// x = (code - zero) * scale of a quantized format; else the value is x.
struct Quantization {
  float scale;
  float zero;
};

template <KvStorage kStorage>
__device__ __forceinline__ Quantization LoadParameters(const unsigned char* parameters, int slot) {
  if (!IsQuantized(kStorage)) return {1, 0};
  const uint32_t both = reinterpret_cast<const uint32_t*>(parameters)[slot];
  return {F16ToF32(static_cast<uint16_t>(both)), F16ToF32(static_cast<uint16_t>(both >> 16))};
}

// Four consecutive values; of a quantized format code - zero, which is still to be scaled.
template <KvStorage kStorage>
__device__ __forceinline__ void LoadFour(const unsigned char* row, int i, float zero,
                                         float (&v)[4]) {
  if (IsQuantized(kStorage)) {
    constexpr bool kIsInt8 = kStorage == KvStorage::kInt8;
    const uint32_t codes = kIsInt8 ? *reinterpret_cast<const uint32_t*>(row + i)
                                   : *reinterpret_cast<const uint16_t*>(row + i / 2);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const uint32_t code = kIsInt8 ? codes >> (8 * j) & 255 : codes >> (4 * j) & 15;
      v[j] = static_cast<float>(code) - zero;
    }
  } else if (kStorage == KvStorage::kF32) {
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
      if (IsLastSplit()) MergePartials();
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
          valid ? TokenOf(p_.kv, FindSlot(p_.kv, table_, which, kv_head_, position)) : p_.kv.layer;
      CopyAsync<16>(stage + (which * kKeyTile + slot) * layout_.row_bytes + chunk * 16,
                    source + chunk * 16, valid);
    }
    if (IsQuantized(kStorage)) LoadParametersOfTile(tile, seen);
    CommitAsync();
  }

  // Sixteen bytes are those of four positions, which are in one block; some may be outside of
  // `seen`, and are then not looked at.
  __device__ void LoadParametersOfTile(int tile, const Range& seen) {
    constexpr int kPositions = 16 / kKvParameterBytes;
    constexpr int kChunks = kKeyTile / kPositions;
    for (int i = thread_; i < 2 * kChunks; i += kAttentionThreads) {
      const int position = tile * kKeyTile + i % kChunks * kPositions;
      const bool valid = position + kPositions > seen.low && position < seen.high;
      const unsigned char* source =
          valid ? ParametersOf(p_.kv, FindSlot(p_.kv, table_, i / kChunks, kv_head_, position))
                : p_.kv.layer;
      CopyAsync<16>(Stage(tile) + layout_.parameters + i * 16, source, valid);
    }
  }

  __device__ void Scores(int tile) {
    const int lane = thread_ % kWarpLanes;
    const unsigned char* key = Stage(tile) + lane * layout_.row_bytes;
    const unsigned char* parameters = Stage(tile) + layout_.parameters;
    const Quantization of_key = LoadParameters<kStorage>(parameters, lane);
    const Quantization of_value = LoadParameters<kStorage>(parameters, kKeyTile + lane);
    for (int query = thread_ / kWarpLanes; query < queries_; query += kWarps) {
      const Range range = RangeInTile(query, tile);
      if (range.low >= range.high) continue;
      const float* q = reinterpret_cast<const float*>(shared_ + layout_.q) + query * layout_.dims;
      float dots[4] = {};
      for (int i = 0; i < layout_.dims; i += 4) {
        float k[4];
        LoadFour<kStorage>(key, i, of_key.zero, k);
        const float4 x = *reinterpret_cast<const float4*>(q + i);
        dots[0] = __fmaf_rn(x.x, k[0], dots[0]);
        dots[1] = __fmaf_rn(x.y, k[1], dots[1]);
        dots[2] = __fmaf_rn(x.z, k[2], dots[2]);
        dots[3] = __fmaf_rn(x.w, k[3], dots[3]);
      }
      const bool visible = lane >= range.low && lane < range.high;
      const float dot = ((dots[0] + dots[1]) + (dots[2] + dots[3])) * of_key.scale;
      const float score = visible ? dot * p_.scale : -INFINITY;
      const float before = state_.maximum[query];
      const float maximum = fmaxf(before, WarpMax(score));
      // Where every score is -infinity so far, none has a weight.
      const float weight = score == -INFINITY ? 0.0f : expf(score - maximum);
      const float factor = before == -INFINITY ? 0.0f : expf(before - maximum);
      const float sum = WarpSum(weight);
      Weights(query)[lane] = weight * of_value.scale;
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
    const unsigned char* parameters = Stage(tile) + layout_.parameters;
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
        const float zero = LoadParameters<kStorage>(parameters, kKeyTile + slot).zero;
        LoadFour<kStorage>(values + slot * layout_.row_bytes, dim, zero, v);
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

  // Floats of a split of all rows.
  __device__ __forceinline__ int64_t PartialStride() const {
    return static_cast<int64_t>(p_.batch.rows) * p_.heads * (2 + p_.kv.head_dim);
  }

  __device__ void StorePartial() {
    __syncthreads();
    float* partial = p_.partial + blockIdx.z * PartialStride();
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

  // Whether all splits of these queries are now in memory, and this block is to merge them.
  __device__ bool IsLastSplit() {
    __threadfence();
    __syncthreads();
    auto* is_last = reinterpret_cast<int*>(state_.factor);
    if (thread_ == 0) {
      int32_t* done = p_.batch.done + blockIdx.x * gridDim.y + blockIdx.y;
      *is_last = atomicAdd(done, 1) == p_.splits - 1;
      if (*is_last) atomicExch(done, 0);  // for the next layer
    }
    __syncthreads();
    if (!*is_last) return false;
    __threadfence();
    return true;
  }

  // In the order of positions, whoever was done first.
  __device__ void MergePartials() {
    const int64_t stride = PartialStride();
    for (int i = thread_; i < queries_ * p_.kv.head_dim; i += kAttentionThreads) {
      const int64_t head = HeadOf(i / p_.kv.head_dim);
      const int dim = i % p_.kv.head_dim;
      float maximum = -INFINITY;
      float sum = 0;
      float total = 0;
      for (int split = 0; split < p_.splits; ++split) {
        const float* part = p_.partial + split * stride + head * (2 + p_.kv.head_dim);
        float of_total = 1;
        float of_part = 0;
        if (!MergeFactors(maximum, part[0], &of_total, &of_part)) continue;
        sum = Merge(sum, part[1], of_total, of_part);
        total = Merge(total, part[2 + dim], of_total, of_part);
        maximum = fmaxf(maximum, part[0]);
      }
      p_.out[head * p_.kv.head_dim + dim] = total / sum;
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

template <KvStorage kStorage>
cudaError_t LaunchStorage(const AttentionKernelParams& p, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(p.batch.tiles),
                  static_cast<unsigned>(p.kv.kv_heads * p.head_groups),
                  static_cast<unsigned>(p.splits));
  return Launch(AttentionKernel<kStorage>, grid, dim3(kAttentionThreads), AttentionSharedBytes(p),
                stream, p);
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
      return LaunchStorage<KvStorage::kF16>(params, stream);
    case KvStorage::kInt8:
      return LaunchStorage<KvStorage::kInt8>(params, stream);
    case KvStorage::kInt4:
      break;
  }
  return LaunchStorage<KvStorage::kInt4>(params, stream);
}

}  // namespace llmcore::cuda
