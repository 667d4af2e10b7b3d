#include "lib/ops/checks.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"

namespace llmcore::core {

absl::Status Sample(Backend& backend, const StepContext& context, const SampleParams& params) {
  LLMCORE_CHECK_SHAPE("sample", params.logits.columns > 0);
  LLMCORE_CHECK_SHAPE("sample", backend.Samples(params.logits.columns));
  LLMCORE_RETURN_IF_ERROR(
      CheckDraws("sample", {params.draws, static_cast<size_t>(params.logits.rows)}));
  return Traced(
      context.trace, [&] { return WorkOf(backend, params); },
      [&] { return backend.Sample(context, params); });
}

}  // namespace llmcore::core
