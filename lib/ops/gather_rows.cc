#include "lib/ops/checks.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"

namespace llmcore::core {

absl::Status GatherRows(Backend& backend, const StepContext& context,
                        const GatherRowsParams& params) {
  LLMCORE_CHECK_SHAPE("gather_rows", params.in.columns == params.out.columns);
  LLMCORE_CHECK_SHAPE("gather_rows", params.out.rows == static_cast<int64_t>(params.rows.size()));
  LLMCORE_RETURN_IF_ERROR(CheckRows("gather_rows", params.rows, params.in.rows));
  return Traced(
      context.trace, [&] { return WorkOf(backend, params); },
      [&] { return backend.GatherRows(context, params); });
}

}  // namespace llmcore::core
