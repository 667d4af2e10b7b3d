// The passes of one instruction set. Included once by each passes_*.cc, which defines
// LLMCORE_PASS_SET, a namespace of passes.cc. Nothing here calls what is outside its object file,
// so that no function compiled for a wider instruction set can be picked by the linker for a
// narrower machine.
#include "lib/sampling/passes.h"
#include "lib/sampling/passes/lanes.h"

namespace llmcore::core::LLMCORE_PASS_SET {
namespace {

float MaxOf(const float* values, size_t count) {
  const Floats lowest = Floats{} - __builtin_inff();
  Floats largest[4] = {lowest, lowest, lowest, lowest};
  size_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    for (size_t part = 0; part < 4; ++part) {
      largest[part] = Max(largest[part], Load(values + i + part * kLanes));
    }
  }
  for (; i + kLanes <= count; i += kLanes) largest[0] = Max(largest[0], Load(values + i));
  if (i < count) largest[1] = Max(largest[1], LoadPart(values + i, count - i, -__builtin_inff()));
  const Floats all = Max(Max(largest[0], largest[1]), Max(largest[2], largest[3]));
  float result = all[0];
  for (size_t lane = 1; lane < kLanes; ++lane) result = all[lane] > result ? all[lane] : result;
  return result + 0.0f;
}

bool AllAtMost(const float* values, size_t count, float limit) {
  uint32_t others = 0;
  for (size_t i = 0; i < count; ++i) others |= static_cast<uint32_t>(!(values[i] <= limit));
  return others == 0;
}

bool AllAbove(const float* values, size_t count, float limit) {
  uint32_t others = 0;
  for (size_t i = 0; i < count; ++i) others |= static_cast<uint32_t>(!(values[i] > limit));
  return others == 0;
}

void ShiftAndDivide(float* values, size_t count, float shift, float divisor) {
  for (size_t i = 0; i < count; ++i) values[i] = (values[i] - shift) / divisor;
}

// Terms of a partial sum in f32: 16 sums of every 16th, whole fours at the end to the first four
// and what is left to the next.
constexpr size_t kSumBlock = 256;
constexpr size_t kSums = 16;

float BlockSum(const float* values, size_t count) {
  constexpr size_t kParts = kSums / kLanes;
  Floats vectors[kParts] = {};
  size_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (size_t part = 0; part < kParts; ++part) vectors[part] += Load(values + i + part * kLanes);
  }
  float sums[kSums];
  for (size_t part = 0; part < kParts; ++part) Store(vectors[part], sums + part * kLanes);
  for (; i + 4 <= count; i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) sums[lane] += values[i + lane];
  }
  for (size_t lane = 4; i < count; ++i, ++lane) sums[lane] += values[i];
  float quarter[4];
  for (size_t lane = 0; lane < 4; ++lane) {
    quarter[lane] = (sums[lane] + sums[4 + lane]) + (sums[8 + lane] + sums[12 + lane]);
  }
  return (quarter[0] + quarter[1]) + (quarter[2] + quarter[3]);
}

double ExpAndSum(const float* values, size_t count, float shift, float* out) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Store(ExpNonPositive(Load(values + i) - shift), out + i);
  }
  if (i < count) {
    StorePart(ExpNonPositive(LoadPart(values + i, count - i, shift) - shift), count - i, out + i);
  }
  double sum = 0;
  for (size_t begin = 0; begin < count; begin += kSumBlock) {
    const size_t left = count - begin;
    sum += static_cast<double>(BlockSum(out + begin, left < kSumBlock ? left : kSumBlock));
  }
  return sum;
}

double SumWeights(const float* weights, size_t count) {
  Doubles sums[4] = {};
  size_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    for (size_t part = 0; part < 4; ++part) sums[part] += LoadWide(weights + i + part * kLanes / 2);
  }
  double rest = 0;
  for (; i < count; ++i) rest += static_cast<double>(weights[i]);
  return SumOf((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

double Weigh(const float* values, size_t count, float shift, float* out) {
  Doubles sums[2] = {};
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Store(RoundWeights(ExpNonPositive(Load(values + i) - shift)), out + i);
    sums[0] += LoadWide(out + i);
    sums[1] += LoadWide(out + i + kLanes / 2);
  }
  if (i < count) {
    StorePart(RoundWeights(ExpNonPositive(LoadPart(values + i, count - i, shift) - shift)),
              count - i, out + i);
  }
  return SumOf(sums[0] + sums[1]) + SumWeights(out + i, count - i);
}

}  // namespace

extern const Passes kPasses;
constexpr Passes kTable = {.max = MaxOf,
                           .all_at_most = AllAtMost,
                           .all_above = AllAbove,
                           .shift_and_divide = ShiftAndDivide,
                           .exp_and_sum = ExpAndSum,
                           .weigh = Weigh,
                           .sum_weights = SumWeights};
const Passes kPasses = kTable;

}  // namespace llmcore::core::LLMCORE_PASS_SET
