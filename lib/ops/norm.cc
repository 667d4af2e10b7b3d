#include "lib/ops/checks.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"

namespace llmcore::core {

absl::Status Norm(Backend& backend, const StepContext& context, const NormParams& params) {
  LLMCORE_CHECK_SHAPE("norm", params.weight != nullptr);
  LLMCORE_CHECK_SHAPE("norm", params.in.rows == params.out.rows);
  LLMCORE_CHECK_SHAPE("norm", params.in.columns == params.out.columns);
  return Traced(
      context.trace, [&] { return WorkOf(backend, params); },
      [&] { return backend.Norm(context, params); });
}

}  // namespace llmcore::core
