#include "lib/ops/checks.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"

namespace llmcore::core {

absl::Status Attention(Backend& backend, const StepContext& context,
                       const AttentionParams& params) {
  const KvShape& shape = params.cache.shape;
  LLMCORE_CHECK_SHAPE("attention", params.heads > 0 && params.heads % shape.kv_heads == 0);
  LLMCORE_CHECK_SHAPE(
      "attention",
      params.qkv.columns == (int64_t{params.heads} + 2 * int64_t{shape.kv_heads}) * shape.head_dim);
  LLMCORE_CHECK_SHAPE("attention",
                      params.out.columns == int64_t{params.heads} * int64_t{shape.head_dim});
  LLMCORE_CHECK_SHAPE("attention", params.out.rows == params.qkv.rows && params.window >= 0);
  LLMCORE_RETURN_IF_ERROR(
      CheckBatch("attention", params.batch, params.cache, params.layer, params.qkv.rows));
  return Traced(
      context.trace, [&] { return WorkOf(backend, params); },
      [&] { return backend.Attention(context, params); });
}

}  // namespace llmcore::core
