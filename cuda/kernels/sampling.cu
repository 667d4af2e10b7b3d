// A token from each row of logits, a block a row: to the bit what lib/sampling draws on the host.
// Nothing is sorted or moved: a truncation is a least key, found digit by digit from histograms.
// Weights are integers (multiples of 2^-34), whose sums do not depend on the order.
#include <cmath>

#include "cuda/kernels/common/launch.cuh"
#include "cuda/kernels/common/numbers.cuh"
#include "cuda/kernels/common/ptx.cuh"
#include "cuda/kernels/sampling.h"

namespace llmcore::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarpLanes;
constexpr float kInfinity = INFINITY;

// The order of sums of exponentials on the host: lib/sampling/passes/pass_set.h and logprobs.cc.
constexpr int kSumBlock = 256;
constexpr int kSumLanes = 16;
constexpr int kBlocksAChunk = 4;
constexpr int kMaxSumBlocks = kMaxSampledVocabulary / kSumBlock;

constexpr int kDigits = 3;  // of a key, from the top: 11, 11 and 10 bits
constexpr int kBins = 2048;
static_assert(kBins == 2 * kThreads);

// A key, and the weight of all tokens above it and at it.
struct Cut {
  uint32_t key;
  uint64_t above;
  uint64_t at;
};

struct Likeliest {
  float logit;
  int32_t id;
};

struct PartialSums {
  float blocks[kMaxSumBlocks];
  double chunks[kMaxSumBlocks / kBlocksAChunk];
};

// Sums of weights, each in two words that have atomics of their own.
struct Histogram {
  uint32_t low[kBins];
  uint32_t high[kBins];
};

struct Shared {
  union {  // one after the other
    PartialSums sums;
    Histogram bins;
  };
  core::TokenDraw draw;
  uint64_t warp_totals[kWarps];
  Likeliest likeliest[kWarps];
  int32_t unusable[kWarps];
  Cut cut;
  double exponentials;
  int32_t index;
};

__device__ __forceinline__ int Thread() {
  return static_cast<int>(threadIdx.x);
}
__device__ __forceinline__ int Warp() {
  return Thread() / kWarpLanes;
}
__device__ __forceinline__ int Lane() {
  return Thread() % kWarpLanes;
}

// lib/sampling/passes/lanes.h, operation by operation.
__device__ __forceinline__ float ExpNonPositive(float x) {
  constexpr float kLowest = -88.1f;
  constexpr float kRound = 12582912.0f;
  const float clamped = x > kLowest ? x : kLowest;
  const float n = __fadd_rn(__fadd_rn(__fmul_rn(clamped, 1.44269504f), kRound), -kRound);
  const float r =
      __fadd_rn(__fadd_rn(clamped, -__fmul_rn(n, 0.693359375f)), __fmul_rn(n, 2.12194440e-4f));
  float p = 1.9875691500e-4f;
  p = __fadd_rn(__fmul_rn(p, r), 1.3981999507e-3f);
  p = __fadd_rn(__fmul_rn(p, r), 8.3334519073e-3f);
  p = __fadd_rn(__fmul_rn(p, r), 4.1665795894e-2f);
  p = __fadd_rn(__fmul_rn(p, r), 1.6666665459e-1f);
  p = __fadd_rn(__fmul_rn(p, r), 5.0000001201e-1f);
  const float mantissa = __fadd_rn(__fadd_rn(__fmul_rn(p, __fmul_rn(r, r)), r), 1.0f);
  const uint32_t power = static_cast<uint32_t>(static_cast<int>(n) + 127) << 23;
  return __fmul_rn(mantissa, __uint_as_float(power));
}

// In multiples of 2^-34, halves to even (RoundWeights of the same file).
__device__ __forceinline__ uint64_t WeightOf(float score) {
  constexpr float kFine = 1.0f / 2048;
  const float weight = ExpNonPositive(score);
  const float rounded = weight < kFine ? __fadd_rn(__fadd_rn(weight, kFine), -kFine) : weight;
  return static_cast<uint64_t>(__fmul_rn(rounded, 17179869184.0f));
}

// Unsigned integers in the order of the floats; -0 is +0.
__device__ __forceinline__ uint32_t KeyOf(float value) {
  const uint32_t bits = __float_as_uint(__fadd_rn(value, 0.0f));
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

struct Row {
  const float* logits;
  int vocabulary;
  float largest;
  float temperature;

  __device__ __forceinline__ float Score(int i) const {
    return __fdiv_rn(__fadd_rn(logits[i], -largest), temperature);
  }
};

// ---- Largest and unusable logits ---------------------------------------------------------------

__device__ __forceinline__ Likeliest Better(Likeliest a, Likeliest b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id) ? a : b;
}

// The largest logit with its lowest id; `unusable`: the first NaN or +infinity, else `vocabulary`.
__device__ __forceinline__ Likeliest FindLikeliest(Shared* shared, const float* logits,
                                                   int vocabulary, int* unusable) {
  constexpr float kLargest = 3.402823466e38f;
  Likeliest best = {-kInfinity, vocabulary};
  int bad = vocabulary;
  for (int i = Thread(); i < vocabulary; i += kThreads) {
    const float logit = logits[i];
    if (!(logit <= kLargest)) bad = min(bad, i);
    best = Better(best, {logit, i});
  }
  for (int bits = kWarpLanes / 2; bits > 0; bits /= 2) {
    best = Better(best, {__shfl_xor_sync(kAllLanes, best.logit, bits),
                         __shfl_xor_sync(kAllLanes, best.id, bits)});
    bad = min(bad, __shfl_xor_sync(kAllLanes, bad, bits));
  }
  if (Lane() == 0) {
    shared->likeliest[Warp()] = best;
    shared->unusable[Warp()] = bad;
  }
  __syncthreads();
#pragma unroll 4
  for (int warp = 0; warp < kWarps; ++warp) {
    best = Better(best, shared->likeliest[warp]);
    bad = min(bad, shared->unusable[warp]);
  }
  *unusable = bad;
  return best;
}

// ---- Sum of exponentials -----------------------------------------------------------------------

// exp(logit - largest) of a block of `count`, in the order of BlockSum: 16 lanes each add every
// 16th; whole fours behind the last 16 go to the first four lanes, what is left to the second.
__device__ __forceinline__ float SumBlock(const float* logits, int count, float largest) {
  const int lane = Thread() % kSumLanes;
  const int part = lane / 4;
  const auto term = [&](int i) { return ExpNonPositive(__fadd_rn(logits[i], -largest)); };
  const int full = count / kSumLanes * kSumLanes;
  float sum = 0;
  for (int i = lane; i < full; i += kSumLanes) sum = __fadd_rn(sum, term(i));
  const int fours = full + (count - full) / 4 * 4;
  if (part == 0) {
    for (int i = full + lane; i < fours; i += 4) sum = __fadd_rn(sum, term(i));
  }
  if (part == 1 && fours + lane % 4 < count) sum = __fadd_rn(sum, term(fours + lane % 4));
  sum = __fadd_rn(sum, __shfl_xor_sync(kAllLanes, sum, 4));
  sum = __fadd_rn(sum, __shfl_xor_sync(kAllLanes, sum, 8));
  sum = __fadd_rn(sum, __shfl_xor_sync(kAllLanes, sum, 1));
  return __fadd_rn(sum, __shfl_xor_sync(kAllLanes, sum, 2));
}

// As LogSumExp adds them up.
__device__ __forceinline__ double SumExponentials(Shared* shared, const float* logits,
                                                  int vocabulary, float largest) {
  PartialSums& sums = shared->sums;
  const int blocks = (vocabulary + kSumBlock - 1) / kSumBlock;
  for (int first = 0; first < blocks; first += kThreads / kSumLanes) {
    const int block = first + Thread() / kSumLanes;
    const int count = block < blocks ? min(kSumBlock, vocabulary - block * kSumBlock) : 0;
    const float sum = SumBlock(logits + static_cast<int64_t>(block) * kSumBlock, count, largest);
    if (block < blocks && Thread() % kSumLanes == 0) sums.blocks[block] = sum;
  }
  __syncthreads();
  const int chunks = (blocks + kBlocksAChunk - 1) / kBlocksAChunk;
  for (int chunk = Thread(); chunk < chunks; chunk += kThreads) {
    const int end = min((chunk + 1) * kBlocksAChunk, blocks);
    double sum = 0;
    for (int i = chunk * kBlocksAChunk; i < end; ++i) sum += static_cast<double>(sums.blocks[i]);
    sums.chunks[chunk] = sum;
  }
  __syncthreads();
  if (Thread() == 0) {
    double sum = 0;
    for (int chunk = 0; chunk < chunks; ++chunk) sum += sums.chunks[chunk];
    shared->exponentials = sum;
  }
  __syncthreads();
  return shared->exponentials;
}

// ---- Selection ---------------------------------------------------------------------------------

__device__ __forceinline__ uint64_t ScanWarp(uint64_t value) {
  for (int delta = 1; delta < kWarpLanes; delta *= 2) {
    const uint64_t before = __shfl_up_sync(kAllLanes, value, static_cast<unsigned>(delta));
    if (Lane() >= delta) value += before;
  }
  return value;
}

// The sum of the values of all threads up to this one; `total`: of all.
__device__ __forceinline__ uint64_t ScanBlock(Shared* shared, uint64_t value, uint64_t* total) {
  value = ScanWarp(value);
  if (Lane() == kWarpLanes - 1) shared->warp_totals[Warp()] = value;
  __syncthreads();
  uint64_t sum = 0;
#pragma unroll 4
  for (int warp = 0; warp < kWarps; ++warp) {
    if (warp == Warp()) value += sum;
    sum += shared->warp_totals[warp];
  }
  *total = sum;
  return value;
}

__device__ __forceinline__ void AddToBin(Shared* shared, uint32_t bin, uint64_t weight) {
  const auto low = static_cast<uint32_t>(weight);
  const uint32_t before = atomicAdd(&shared->bins.low[bin], low);
  const uint32_t carry =
      static_cast<uint32_t>(weight >> 32) + (static_cast<uint32_t>(before + low) < before ? 1 : 0);
  if (carry != 0) atomicAdd(&shared->bins.high[bin], carry);
}

// The largest key such that the weight of the tokens from it on reaches the target, which is at
// least 1 and at most the weight of all. Of tokens from the key `least` on; weight_of(score);
// target_of(weight of all those).
template <typename WeightOfScore, typename TargetOf>
__device__ __forceinline__ Cut FindCut(Shared* shared, const Row& row, uint32_t least,
                                       WeightOfScore weight_of, TargetOf target_of) {
  Cut cut = {0, 0, 0};
  uint32_t known = 0;  // mask of the digits that are
  uint64_t target = 0;
#pragma unroll 1
  for (int digit = 0; digit < kDigits; ++digit) {
    const int shift = digit == 0 ? 21 : digit == 1 ? 10 : 0;
    const uint32_t mask = digit == kDigits - 1 ? kBins / 2 - 1 : kBins - 1;
    for (int bin = Thread(); bin < kBins; bin += kThreads) {
      shared->bins.low[bin] = 0;
      shared->bins.high[bin] = 0;
    }
    __syncthreads();
    for (int i = Thread(); i < row.vocabulary; i += kThreads) {
      const float score = row.Score(i);
      const uint32_t key = KeyOf(score);
      if (key < least || ((key ^ cut.key) & known) != 0) continue;
      const uint64_t weight = weight_of(score);
      if (weight != 0) AddToBin(shared, key >> shift & mask, weight);
    }
    __syncthreads();
    // Each thread has two bins, the first ones those of the largest keys.
    const int upper = kBins - 1 - 2 * Thread();
    const auto weight_in = [&](int bin) {
      return static_cast<uint64_t>(shared->bins.high[bin]) << 32 | shared->bins.low[bin];
    };
    const uint64_t weights[2] = {weight_in(upper), weight_in(upper - 1)};
    uint64_t total = 0;
    uint64_t above = ScanBlock(shared, weights[0] + weights[1], &total);
    if (digit == 0) target = target_of(total);
    above += cut.above - weights[0] - weights[1];
    for (int i = 0; i < 2; ++i) {
      if (above < target && above + weights[i] >= target) {
        const uint32_t key = cut.key | static_cast<uint32_t>(upper - i) << shift;
        shared->cut = {key, above, weights[i]};
      }
      above += weights[i];
    }
    __syncthreads();
    cut = shared->cut;
    known |= mask << shift;
  }
  return cut;
}

// A warp has a run of tokens of its own, so that sums can follow their order.
__device__ __forceinline__ int TokensAWarp(int vocabulary) {
  return (vocabulary + kThreads - 1) / kThreads * kWarpLanes;
}

// The sum of weight_at(i) over all tokens; leaves those of the warps for FindFirst.
template <typename WeightAt>
__device__ __forceinline__ uint64_t SumTokens(Shared* shared, int vocabulary, WeightAt weight_at) {
  const int run = TokensAWarp(vocabulary);
  const int end = min((Warp() + 1) * run, vocabulary);
  uint64_t sum = 0;
  for (int i = Warp() * run + Lane(); i < end; i += kWarpLanes) sum += weight_at(i);
  for (int bits = kWarpLanes / 2; bits > 0; bits /= 2) {
    sum += __shfl_xor_sync(kAllLanes, sum, bits);
  }
  if (Lane() == 0) shared->warp_totals[Warp()] = sum;
  __syncthreads();
  uint64_t total = 0;
#pragma unroll 4
  for (int warp = 0; warp < kWarps; ++warp) total += shared->warp_totals[warp];
  return total;
}

// The first token at which the running sum of what SumTokens added exceeds `target`, which is
// below the sum.
template <typename WeightAt>
__device__ __forceinline__ int FindFirst(Shared* shared, int vocabulary, uint64_t target,
                                         WeightAt weight_at) {
  uint64_t before = 0;
  int warp = 0;
  while (warp < kWarps - 1 && before + shared->warp_totals[warp] <= target) {
    before += shared->warp_totals[warp++];
  }
  if (warp == Warp()) {
    const int run = TokensAWarp(vocabulary);
    const int end = min((warp + 1) * run, vocabulary);
    for (int first = warp * run; first < end; first += kWarpLanes) {
      const int i = first + Lane();
      const uint64_t weight = i < end ? weight_at(i) : 0;
      const uint64_t sum = before + ScanWarp(weight);
      if (sum > target && sum - weight <= target) shared->index = i;
      before = __shfl_sync(kAllLanes, sum, kWarpLanes - 1);
      if (before > target) break;
    }
  }
  __syncthreads();
  return shared->index;
}

// ---- The draw ----------------------------------------------------------------------------------

// What is left by the truncations: tokens above `key`, and of those at it the ones up to `last`.
struct Kept {
  uint32_t key;
  int last;
  __device__ __forceinline__ bool Has(uint32_t other, int i) const {
    return other > key || (other == key && i <= last);
  }
};

// KeepTopP of what has at least the key `least`.
__device__ __forceinline__ Kept KeepTopP(Shared* shared, const Row& row, uint32_t least, float p) {
  uint64_t target = 0;
  const auto weight_of = [](float score) { return WeightOf(score); };
  const auto target_of = [&](uint64_t total) {
    const double mass = static_cast<double>(p) * static_cast<double>(total);
    const auto whole = static_cast<uint64_t>(mass);
    target = whole + (static_cast<double>(whole) < mass ? 1 : 0);
    if (target == 0) target = 1;  // at least one token
    return target;
  };
  const Cut cut = FindCut(shared, row, least, weight_of, target_of);
  // Tokens at the cut have one score and one weight.
  const float score =
      __uint_as_float((cut.key & 0x80000000u) != 0 ? cut.key & 0x7FFFFFFFu : ~cut.key);
  const uint64_t weight = WeightOf(score);
  const uint64_t wanted = (target - cut.above + weight - 1) / weight;
  if (wanted * weight >= cut.at) return {cut.key, row.vocabulary};
  const auto is_at = [&](int i) -> uint64_t { return KeyOf(row.Score(i)) == cut.key ? 1 : 0; };
  SumTokens(shared, row.vocabulary, is_at);
  return {cut.key, FindFirst(shared, row.vocabulary, wanted - 1, is_at)};
}

__device__ __forceinline__ int Draw(Shared* shared, const Row& row, const core::TokenDraw& draw) {
  uint32_t least = 0;
  if (draw.top_k > 0 && draw.top_k < row.vocabulary) {
    const auto one = [](float) -> uint64_t { return 1; };
    const auto count = [&](uint64_t) { return static_cast<uint64_t>(draw.top_k); };
    least = FindCut(shared, row, 0, one, count).key;
  }
  Kept kept = {least, row.vocabulary};
  if (draw.top_p < 1) kept = KeepTopP(shared, row, least, draw.top_p);
  const uint32_t least_score = KeyOf(draw.least_score);
  if (least_score > kept.key) kept = {least_score, row.vocabulary};
  const auto weight_at = [&](int i) -> uint64_t {
    const float score = row.Score(i);
    return kept.Has(KeyOf(score), i) ? WeightOf(score) : 0;
  };
  const uint64_t total = SumTokens(shared, row.vocabulary, weight_at);
  const auto target = static_cast<uint64_t>(draw.uniform * static_cast<double>(total));
  return FindFirst(shared, row.vocabulary, target, weight_at);
}

__global__ void __launch_bounds__(kThreads, 1) SampleKernel(const SampleKernelParams p) {
  auto* shared = reinterpret_cast<Shared*>(DynamicShared());
  if (Thread() == 0) shared->draw = p.draws[blockIdx.x];  // the host's memory: read once
  const float* logits = p.logits + static_cast<int64_t>(blockIdx.x) * p.vocabulary;
  core::DrawnToken token;
  int unusable = 0;
  const Likeliest best = FindLikeliest(shared, logits, p.vocabulary, &unusable);
  token.largest = best.logit;
  if (unusable < p.vocabulary) {
    token.unusable = unusable;
    token.logit = logits[unusable];
  } else if (best.logit > -kInfinity) {
    token.sum = SumExponentials(shared, logits, p.vocabulary, best.logit);
    const core::TokenDraw draw = shared->draw;
    const Row row = {logits, p.vocabulary, best.logit, draw.temperature};
    token.id = draw.temperature > 0 ? Draw(shared, row, draw) : best.id;
    token.logit = logits[token.id];
  }
  if (Thread() == 0) p.tokens[blockIdx.x] = token;
}

}  // namespace

cudaError_t LaunchSample(const SampleKernelParams& params, cudaStream_t stream) {
  return Launch(SampleKernel, dim3(static_cast<unsigned>(params.rows)), dim3(kThreads),
                sizeof(Shared), stream, params);
}

}  // namespace llmcore::cuda
