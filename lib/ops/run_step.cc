#include "lib/ops/checks.h"
#include "lib/ops/ops.h"

namespace llmcore::core {

absl::Status RunStep(StepRecorder* recorder, const StepContext& context, const StepParams& params,
                     absl::FunctionRef<absl::Status()> operations) {
  if (recorder == nullptr) return operations();
  const StepInput& input = params.input;
  const int64_t rows = input.batch.rows();
  LLMCORE_CHECK_SHAPE("step", input.tokens.size() == static_cast<size_t>(rows));
  LLMCORE_CHECK_SHAPE("step", input.draws.size() == input.drawn_rows.size());
  LLMCORE_RETURN_IF_ERROR(CheckTokens(input.tokens, params.vocabulary));
  LLMCORE_RETURN_IF_ERROR(CheckBatch("step", input.batch, params.cache, /*layer=*/0, rows));
  LLMCORE_RETURN_IF_ERROR(CheckRows("step", input.logit_rows, rows));
  LLMCORE_RETURN_IF_ERROR(CheckRows("step", input.drawn_rows, rows));
  LLMCORE_RETURN_IF_ERROR(CheckDraws("step", input.draws));
  return recorder->Run(context, input, operations);
}

}  // namespace llmcore::core
