#include "lib/ops/checks.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"

namespace llmcore::core {

absl::Status RopeAppend(Backend& backend, const StepContext& context,
                        const RopeAppendParams& params) {
  const KvShape& shape = params.cache.shape;
  LLMCORE_CHECK_SHAPE("rope_append", params.heads > 0 && params.heads % shape.kv_heads == 0);
  LLMCORE_CHECK_SHAPE(
      "rope_append",
      params.qkv.columns == (int64_t{params.heads} + 2 * int64_t{shape.kv_heads}) * shape.head_dim);
  LLMCORE_CHECK_SHAPE("rope_append", params.cos_sin != nullptr && shape.head_dim % 2 == 0);
  LLMCORE_RETURN_IF_ERROR(
      CheckBatch("rope_append", params.batch, params.cache, params.layer, params.qkv.rows));
  return Traced(
      context.trace, [&] { return WorkOf(backend, params); },
      [&] { return backend.RopeAppend(context, params); });
}

}  // namespace llmcore::core
