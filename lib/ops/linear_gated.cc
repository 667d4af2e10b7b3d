#include "lib/ops/checks.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"

namespace llmcore::core {

absl::Status LinearGated(Backend& backend, const StepContext& context,
                         const LinearGatedParams& params) {
  const WeightShape& weight = params.weight.shape;
  LLMCORE_CHECK_SHAPE("linear_gated", weight.kind == WeightKind::kGated);
  LLMCORE_CHECK_SHAPE("linear_gated", params.in.columns == weight.columns);
  LLMCORE_CHECK_SHAPE("linear_gated", 2 * params.out.columns == weight.rows);
  LLMCORE_CHECK_SHAPE("linear_gated", params.in.rows == params.out.rows);
  LLMCORE_CHECK_SHAPE("linear_gated", params.activation_format != ActivationFormat::kAuto);
  LLMCORE_CHECK_SHAPE("linear_gated", params.norm.weight == nullptr || backend.FusesNorm());
  return Traced(
      context.trace, [&] { return WorkOf(backend, params); },
      [&] { return backend.LinearGated(context, params); });
}

}  // namespace llmcore::core
