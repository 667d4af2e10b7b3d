#include "lib/sampling/processors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "lib/sampling/lanes.h"

namespace llmcore::core {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Terms of a partial sum in f32. Sums of exponentials run in an order that this and the lanes fix,
// so that they have the same bits everywhere (cuda/kernels/sampling.cu runs in it, too).
constexpr size_t kSumBlock = 256;

float BlockSum(const float* values, size_t count) {
  Floats sums[4] = {};
  size_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    for (size_t part = 0; part < 4; ++part) sums[part] += Load(values + i + part * kLanes);
  }
  for (; i + kLanes <= count; i += kLanes) sums[0] += Load(values + i);
  sums[1] += LoadPart(values + i, count - i, 0);
  const Floats sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

double Sum(std::span<const float> values) {
  double sum = 0;
  for (size_t i = 0; i < values.size(); i += kSumBlock) {
    sum += static_cast<double>(BlockSum(&values[i], std::min(kSumBlock, values.size() - i)));
  }
  return sum;
}

// Of weights as ComputeWeights leaves them: exact, and so the same in any order.
double SumWeights(const float* weights, size_t count) {
  Doubles sums[4] = {};
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (size_t part = 0; part < 4; ++part) sums[part] += LoadWide(weights + i + 2 * part);
  }
  double rest = 0;
  for (; i < count; ++i) rest += static_cast<double>(weights[i]);
  const Doubles sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  return sum[0] + sum[1] + rest;
}

// Unsigned integers in the order of the floats; -0 is +0.
inline uint32_t OrderedKey(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value + 0.0f);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

inline float FromOrderedKey(uint32_t key) {
  return std::bit_cast<float>(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key);
}

struct Cut {
  float value;   // the largest value v such that the weight of all values >= v reaches the target
  double above;  // weight of the values > v
};

// Radix selection by weight, kBits of the key at a time: linear whatever the values, where sorting
// a flat distribution over 150,000 tokens takes 10 ms. Values without weight are never the cut; at
// least one weight is positive.
template <int kBits, typename Weight>
Cut RadixCut(std::span<const float> values, double target, Weight weight_of) {
  uint32_t prefix = 0;
  uint32_t prefix_mask = 0;
  double above = 0;
  for (int end = 32; end > 0; end -= kBits) {
    const int shift = std::max(end - kBits, 0);
    const uint32_t bin_mask = (1u << (end - shift)) - 1;
    // Two histograms in turns: neighbours often fall in one bin, and its sum would be waited for.
    std::array<std::array<double, 1 << kBits>, 2> histograms = {};
    for (size_t i = 0; i < values.size(); ++i) {
      const uint32_t key = OrderedKey(values[i]);
      if (((key ^ prefix) & prefix_mask) != 0) continue;
      histograms[i & 1][(key >> shift) & bin_mask] += weight_of(i);
    }
    uint32_t chosen = 0;
    double chosen_above = above;
    double running = above;
    for (uint32_t bin = bin_mask + 1; bin-- > 0;) {
      const double weight = histograms[0][bin] + histograms[1][bin];
      if (weight == 0) continue;
      chosen = bin;
      chosen_above = running;
      running += weight;
      if (running >= target) break;
    }
    above = chosen_above;
    prefix |= chosen << shift;
    prefix_mask |= bin_mask << shift;
  }
  return {FromOrderedKey(prefix), above};
}

// Few values are not worth the clearing of large histograms.
template <typename Weight>
Cut FindCut(std::span<const float> values, double target, Weight weight_of) {
  return values.size() < 4096 ? RadixCut<8>(values, target, weight_of)
                              : RadixCut<11>(values, target, weight_of);
}

// Drops the candidates for which keep(index) is false; the others stay in order. Without branches,
// since what is kept is hard to predict.
template <typename Keep>
void Compact(Candidates* candidates, Keep keep) {
  float* logits = candidates->logits;
  int32_t* ids = candidates->ids;
  float* weights = candidates->weights;
  size_t kept = 0;
  for (size_t i = 0; i < candidates->size; ++i) {
    const bool stays = keep(i);
    logits[kept] = logits[i];
    ids[kept] = ids[i];
    weights[kept] = weights[i];
    kept += stays;
  }
  candidates->size = kept;
}

std::span<const float> Logits(const Candidates& candidates) {
  return {candidates.logits, candidates.size};
}

}  // namespace

void ApplyLogitBias(std::span<const std::pair<int32_t, float>> bias, std::span<float> logits) {
  for (const auto& [id, value] : bias) {
    float& logit = logits[static_cast<size_t>(id)];
    logit = std::isinf(value) ? value : logit + value;
  }
}

void ApplyRepetitionPenalty(float penalty, std::span<const int32_t> history,
                            std::span<int32_t> seen, std::span<float> logits) {
  for (const int32_t token : history) {
    const size_t id = static_cast<uint32_t>(token);
    if (id >= logits.size() || seen[id] != 0) continue;
    seen[id] = 1;
    logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
  }
  for (const int32_t token : history) {
    const size_t id = static_cast<uint32_t>(token);
    if (id < logits.size()) seen[id] = 0;
  }
}

void ApplyFrequencyAndPresencePenalties(float frequency, float presence,
                                        std::span<const int32_t> generated,
                                        std::span<int32_t> counts, std::span<float> logits) {
  for (const int32_t token : generated) {
    const size_t id = static_cast<uint32_t>(token);
    if (id < logits.size()) ++counts[id];
  }
  for (const int32_t token : generated) {
    const size_t id = static_cast<uint32_t>(token);
    if (id >= logits.size() || counts[id] == 0) continue;
    logits[id] -= static_cast<float>(counts[id]) * frequency + presence;
    counts[id] = 0;
  }
}

void GatherCandidates(std::span<const float> logits, Candidates* candidates) {
  const bool forced = MaxLogit(logits) == kInfinity;
  size_t kept = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float logit = logits[i];
    candidates->logits[kept] = forced ? 0.0f : logit;
    candidates->ids[kept] = static_cast<int32_t>(i);
    kept += forced ? logit == kInfinity : logit != -kInfinity;
  }
  candidates->size = kept;
}

void ApplyTemperature(float temperature, Candidates* candidates) {
  const float largest = MaxLogit(Logits(*candidates));
  for (size_t i = 0; i < candidates->size; ++i) {
    candidates->logits[i] = (candidates->logits[i] - largest) / temperature;
  }
}

void KeepTopK(int32_t k, Candidates* candidates) {
  const auto count = static_cast<size_t>(k);
  if (count >= candidates->size) return;
  const float last = KthLargest(Logits(*candidates), count);
  Compact(candidates, [&](size_t i) { return candidates->logits[i] >= last; });
}

void KeepTopP(float p, Candidates* candidates) {
  if (p >= 1 || candidates->size == 0) return;
  const double sum_all = ComputeWeights(candidates);
  const double target = static_cast<double>(p) * sum_all;
  const float* weights = candidates->weights;
  // Tokens so unlikely that all of them together could not hold the mass that is cut off.
  const double hopeless =
      0.999 * (1 - static_cast<double>(p)) * sum_all / static_cast<double>(candidates->size);
  Compact(candidates, [&](size_t i) { return static_cast<double>(weights[i]) > hopeless; });
  const Cut cut = FindCut(Logits(*candidates), target,
                          [&](size_t i) { return static_cast<double>(weights[i]); });
  double sum = cut.above;
  bool first = true;
  Compact(candidates, [&](size_t i) {
    if (candidates->logits[i] != cut.value) return candidates->logits[i] > cut.value;
    const bool keep = first || sum < target;
    first = false;
    sum += static_cast<double>(weights[i]);
    return keep;
  });
}

void KeepMinP(float min_p, Candidates* candidates) {
  if (min_p <= 0) return;
  const float least = MaxLogit(Logits(*candidates)) + std::log(min_p);
  Compact(candidates, [&](size_t i) { return candidates->logits[i] >= least; });
}

void KeepTypical(float p, Candidates* candidates) {
  if (p >= 1 || candidates->size == 0) return;
  const double sum = ComputeWeights(candidates);
  const float largest = MaxLogit(Logits(*candidates));
  // With s = logit - largest, -log(probability) = log(sum) - s and the entropy is
  // log(sum) - E[s], so that their distance is |s - E[s]|.
  double mean = 0;
  for (size_t i = 0; i < candidates->size; ++i) {
    if (candidates->weights[i] == 0) continue;
    mean += static_cast<double>(candidates->weights[i]) *
            static_cast<double>(candidates->logits[i] - largest);
  }
  const float shift = static_cast<float>(static_cast<double>(largest) + mean / sum);
  for (size_t i = 0; i < candidates->size; ++i) {
    candidates->scores[i] = -std::abs(candidates->logits[i] - shift);
  }
  const Cut cut = FindCut({candidates->scores, candidates->size}, static_cast<double>(p) * sum,
                          [&](size_t i) { return static_cast<double>(candidates->weights[i]); });
  Compact(candidates, [&](size_t i) { return candidates->scores[i] >= cut.value; });
}

double ComputeWeights(Candidates* candidates) {
  const std::span<const float> logits = Logits(*candidates);
  float* const weights = candidates->weights;
  const float largest = MaxLogit(logits);
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    Store(RoundWeights(ExpNonPositive(Load(&logits[i]) - largest)), weights + i);
  }
  if (i < logits.size()) {
    const Floats part =
        RoundWeights(ExpNonPositive(LoadPart(&logits[i], logits.size() - i, largest) - largest));
    for (size_t lane = 0; i + lane < logits.size(); ++lane) weights[i + lane] = part[lane];
  }
  return SumWeights(weights, logits.size());
}

size_t DrawIndex(std::span<const float> weights, double uniform) {
  const double target = uniform * SumWeights(weights.data(), weights.size());
  double sum = 0;
  for (size_t begin = 0; begin < weights.size(); begin += kSumBlock) {
    const size_t count = std::min(kSumBlock, weights.size() - begin);
    const double block = SumWeights(&weights[begin], count);
    if (sum + block <= target) {
      sum += block;
      continue;
    }
    for (size_t i = begin; i < begin + count; ++i) {
      sum += static_cast<double>(weights[i]);
      if (sum > target) return i;
    }
  }
  // Not reached: the sum is exact, and the target below it.
  return static_cast<size_t>(std::max_element(weights.begin(), weights.end()) - weights.begin());
}

float MaxLogit(std::span<const float> logits) {
  const Floats lowest = Floats{} - kInfinity;
  Floats largest[4] = {lowest, lowest, lowest, lowest};
  size_t i = 0;
  for (; i + 4 * kLanes <= logits.size(); i += 4 * kLanes) {
    for (size_t part = 0; part < 4; ++part) {
      largest[part] = Max(largest[part], Load(&logits[i + part * kLanes]));
    }
  }
  for (; i < logits.size(); i += kLanes) {
    const size_t left = logits.size() - i;
    largest[0] =
        Max(largest[0], left < kLanes ? LoadPart(&logits[i], left, -kInfinity) : Load(&logits[i]));
  }
  const Floats all = Max(Max(largest[0], largest[1]), Max(largest[2], largest[3]));
  return std::max(std::max(all[0], all[1]), std::max(all[2], all[3]));
}

double ExpAndSum(std::span<const float> logits, float shift, float* out) {
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    Store(ExpNonPositive(Load(&logits[i]) - shift), out + i);
  }
  if (i < logits.size()) {
    const Floats part = ExpNonPositive(LoadPart(&logits[i], logits.size() - i, shift) - shift);
    for (size_t lane = 0; i + lane < logits.size(); ++lane) out[i + lane] = part[lane];
  }
  return Sum({out, logits.size()});
}

// The k-th largest of the maxima of blocks bounds the k-th largest value from below, and few values
// reach it: most of the work is finding maxima.
float KthLargest(std::span<const float> values, size_t k) {
  constexpr size_t kBlocks = 2048;
  constexpr size_t kFew = 4096;
  const auto one = [](size_t) { return 1.0; };
  const auto target = static_cast<double>(k);
  const size_t block = values.size() / kBlocks + 1;
  const size_t blocks = (values.size() + block - 1) / block;
  if (k > blocks || block < 2 * kLanes) return FindCut(values, target, one).value;

  std::array<float, kBlocks> maxima;
  for (size_t i = 0; i < blocks; ++i) {
    const size_t begin = i * block;
    maxima[i] = MaxLogit(values.subspan(begin, std::min(block, values.size() - begin)));
  }
  const float least = FindCut({maxima.data(), blocks}, target, one).value;
  std::array<float, kFew> few;
  size_t found = 0;
  for (size_t i = 0; i < blocks; ++i) {
    if (maxima[i] < least) continue;
    const size_t end = std::min((i + 1) * block, values.size());
    if (found + block > kFew) return FindCut(values, target, one).value;
    for (size_t j = i * block; j < end; ++j) {
      few[found] = values[j];
      found += values[j] >= least;
    }
  }
  return FindCut({few.data(), found}, target, one).value;
}

}  // namespace llmcore::core
