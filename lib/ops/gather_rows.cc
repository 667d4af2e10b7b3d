#include "lib/ops/checks.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"

namespace llmcore::core {

absl::Status GatherRows(Backend& backend, const StepContext& context,
                        const GatherRowsParams& params) {
  LLMCORE_CHECK_SHAPE("gather_rows", params.in.columns == params.out.columns);
  LLMCORE_CHECK_SHAPE("gather_rows", params.out.rows == static_cast<int64_t>(params.rows.size()));
  for (const int32_t row : params.rows) {
    LLMCORE_CHECK_SHAPE("gather_rows", row >= 0 && row < params.in.rows);
  }
  return Traced(
      context.trace, [&] { return WorkOf(backend, params); },
      [&] { return backend.GatherRows(context, params); });
}

}  // namespace llmcore::core
