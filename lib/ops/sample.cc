#include <cmath>

#include "lib/ops/checks.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"

namespace llmcore::core {

absl::Status Sample(Backend& backend, const StepContext& context, const SampleParams& params) {
  LLMCORE_CHECK_SHAPE("sample", params.logits.columns > 0);
  LLMCORE_CHECK_SHAPE("sample", backend.Samples(params.logits.columns));
  for (int64_t row = 0; row < params.logits.rows; ++row) {
    const TokenDraw& draw = params.draws[row];
    LLMCORE_CHECK_SHAPE("sample", draw.temperature >= 0 && std::isfinite(draw.temperature));
    LLMCORE_CHECK_SHAPE("sample", draw.top_k >= 0);
    LLMCORE_CHECK_SHAPE("sample", draw.top_p >= 0 && draw.top_p <= 1);
    LLMCORE_CHECK_SHAPE("sample", draw.least_score <= 0);
    LLMCORE_CHECK_SHAPE("sample", draw.uniform >= 0 && draw.uniform < 1);
  }
  return Traced(
      context.trace, [&] { return WorkOf(backend, params); },
      [&] { return backend.Sample(context, params); });
}

}  // namespace llmcore::core
