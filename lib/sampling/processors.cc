#include "lib/sampling/processors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "lib/sampling/passes.h"

namespace llmcore::core {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

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

// Appends candidates `begin` to `end` for which keep(index) is true to the first `kept` ones, and
// returns how many these are then. Without branches, since what is kept is hard to predict.
template <typename Keep>
size_t Append(const Candidates& candidates, size_t kept, size_t begin, size_t end, Keep keep) {
  float* const logits = candidates.logits;
  int32_t* const ids = candidates.ids;
  float* const weights = candidates.weights;
  for (size_t i = begin; i < end; ++i) {
    const bool stays = keep(i);
    logits[kept] = logits[i];
    ids[kept] = ids[i];
    weights[kept] = weights[i];
    kept += stays;
  }
  return kept;
}

// Drops the candidates for which keep(index) is false; the others stay in order.
template <typename Keep>
void Compact(Candidates* candidates, Keep keep) {
  candidates->size = Append(*candidates, 0, 0, candidates->size, keep);
}

// Drops those for which keep(values[index]) is false, where it holds for larger values than some
// for which it holds: most blocks are passed over by their largest value alone.
template <typename Keep>
void CompactLarge(Candidates* candidates, const float* values, Keep keep) {
  constexpr size_t kBlock = 128;
  const Passes& passes = WidestPasses();
  size_t kept = 0;
  for (size_t begin = 0; begin < candidates->size; begin += kBlock) {
    const size_t end = std::min(begin + kBlock, candidates->size);
    if (!keep(passes.max(values + begin, end - begin))) continue;
    kept = Append(*candidates, kept, begin, end, [&](size_t i) { return keep(values[i]); });
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
  if (!forced && WidestPasses().all_above(logits.data(), logits.size(), -kInfinity)) {
    std::copy(logits.begin(), logits.end(), candidates->logits);
    std::iota(candidates->ids, candidates->ids + logits.size(), 0);
    candidates->size = logits.size();
    return;
  }
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
  WidestPasses().shift_and_divide(candidates->logits, candidates->size, largest, temperature);
}

void KeepTopK(int32_t k, Candidates* candidates) {
  const auto count = static_cast<size_t>(k);
  if (count >= candidates->size) return;
  const float last = KthLargest(Logits(*candidates), count);
  CompactLarge(candidates, candidates->logits, [&](float logit) { return logit >= last; });
}

void KeepTopP(float p, Candidates* candidates) {
  if (p >= 1 || candidates->size == 0) return;
  const double sum_all = ComputeWeights(candidates);
  const double target = static_cast<double>(p) * sum_all;
  const float* weights = candidates->weights;
  // Tokens so unlikely that all of them together could not hold the mass that is cut off.
  const double hopeless =
      0.999 * (1 - static_cast<double>(p)) * sum_all / static_cast<double>(candidates->size);
  CompactLarge(candidates, weights,
               [&](float weight) { return static_cast<double>(weight) > hopeless; });
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
  CompactLarge(candidates, candidates->logits, [&](float logit) { return logit >= least; });
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
  const float largest = MaxLogit(Logits(*candidates));
  return WidestPasses().weigh(candidates->logits, candidates->size, largest, candidates->weights);
}

size_t DrawIndex(std::span<const float> weights, double sum_all, double uniform) {
  constexpr size_t kBlock = 256;
  const Passes& passes = WidestPasses();
  const double target = uniform * sum_all;
  double sum = 0;
  for (size_t begin = 0; begin < weights.size(); begin += kBlock) {
    const size_t count = std::min(kBlock, weights.size() - begin);
    const double block = passes.sum_weights(&weights[begin], count);
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
  return WidestPasses().max(logits.data(), logits.size());
}

double ExpAndSum(std::span<const float> logits, float shift, float* out) {
  return WidestPasses().exp_and_sum(logits.data(), logits.size(), shift, out);
}

// The k-th largest of the maxima of blocks bounds the k-th largest value from below, and few values
// reach it: most of the work is finding maxima.
float KthLargest(std::span<const float> values, size_t k) {
  constexpr size_t kBlocks = 2048;
  constexpr size_t kFew = 4096;
  constexpr size_t kLeastBlock = 8;
  const auto one = [](size_t) { return 1.0; };
  const auto target = static_cast<double>(k);
  const size_t block = values.size() / kBlocks + 1;
  const size_t blocks = (values.size() + block - 1) / block;
  if (k > blocks || block < kLeastBlock) return FindCut(values, target, one).value;

  const Passes& passes = WidestPasses();
  std::array<float, kBlocks> maxima;
  for (size_t i = 0; i < blocks; ++i) {
    const size_t begin = i * block;
    maxima[i] = passes.max(&values[begin], std::min(block, values.size() - begin));
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
