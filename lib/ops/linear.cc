#include "lib/ops/checks.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"

namespace llmcore::core {

absl::Status Linear(Backend& backend, const StepContext& context, const LinearParams& params) {
  const WeightShape& weight = params.weight.shape;
  LLMCORE_CHECK_SHAPE("linear", weight.kind == WeightKind::kPlain);
  LLMCORE_CHECK_SHAPE("linear", params.in.columns == weight.columns);
  LLMCORE_CHECK_SHAPE("linear", params.out.columns == weight.rows);
  LLMCORE_CHECK_SHAPE("linear", params.in.rows == params.out.rows);
  LLMCORE_CHECK_SHAPE("linear", params.activation_format != ActivationFormat::kAuto);
  LLMCORE_CHECK_SHAPE("linear", params.norm.weight == nullptr || backend.FusesNorm());
  return Traced(
      context.trace, [&] { return WorkOf(backend, params); },
      [&] { return backend.Linear(context, params); });
}

}  // namespace llmcore::core
