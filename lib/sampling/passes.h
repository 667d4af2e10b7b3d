// Passes over all logits of a vocabulary, compiled once for each instruction set
// (lib/sampling/passes/). All sets give the same bits: a draw does not depend on the machine.
#ifndef LLMCORE_LIB_SAMPLING_PASSES_H_
#define LLMCORE_LIB_SAMPLING_PASSES_H_

#include <cstddef>

#include "lib/base/cpu_features.h"

namespace llmcore::core {

// Pure functions of `count` values each, without NaN unless said otherwise.
struct Passes {
  // The largest, -infinity of none. Of +0 and -0 it is +0.
  float (*max)(const float* values, size_t count);
  // Whether each is at most `limit`, and so no NaN, which may be among them.
  bool (*all_at_most)(const float* values, size_t count, float limit);
  // Whether each is above `limit`.
  bool (*all_above)(const float* values, size_t count, float limit);
  // values[i] = (values[i] - shift) / divisor
  void (*shift_and_divide)(float* values, size_t count, float shift, float divisor);
  // out[i] = exp(values[i] - shift) within 3 ulp, and 0 below exp(-87); no value is above `shift`.
  // Returns the sum: of blocks of 256 in f32, those in f64, in an order that
  // cuda/kernels/sampling.cu shares.
  double (*exp_and_sum)(const float* values, size_t count, float shift, float* out);
  // The same rounded to multiples of 2^-34, so that sums of up to kMaxExactWeights are exact.
  double (*weigh)(const float* values, size_t count, float shift, float* out);
  // Of such weights.
  double (*sum_weights)(const float* weights, size_t count);
};

// Those of an instruction set that the processor has; baseline where it is not compiled for.
const Passes& PassesOf(Isa isa);
// Those of the widest (BestIsa).
const Passes& WidestPasses();

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SAMPLING_PASSES_H_
