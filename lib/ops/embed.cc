#include "lib/ops/checks.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"

namespace llmcore::core {

absl::Status Embed(Backend& backend, const StepContext& context, const EmbedParams& params) {
  const WeightShape& table = params.table.shape;
  LLMCORE_CHECK_SHAPE("embed", table.kind == WeightKind::kPlain);
  LLMCORE_CHECK_SHAPE("embed", params.out.columns == table.columns);
  LLMCORE_CHECK_SHAPE("embed", params.out.rows == static_cast<int64_t>(params.tokens.size()));
  LLMCORE_RETURN_IF_ERROR(CheckTokens(params.tokens, table.rows));
  return Traced(
      context.trace, [&] { return WorkOf(backend, params); },
      [&] { return backend.Embed(context, params); });
}

}  // namespace llmcore::core
