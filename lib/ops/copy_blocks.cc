#include "lib/ops/checks.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"

namespace llmcore::core {

absl::Status CopyBlocks(Backend& backend, const StepContext& context,
                        const CopyBlocksParams& params) {
  LLMCORE_CHECK_SHAPE("copy_blocks", params.from.size() == params.to.size());
  for (size_t i = 0; i < params.from.size(); ++i) {
    LLMCORE_CHECK_SHAPE("copy_blocks", params.from[i] >= 0 && params.from[i] < params.cache.blocks);
    LLMCORE_CHECK_SHAPE("copy_blocks", params.to[i] >= 0 && params.to[i] < params.cache.blocks);
  }
  return Traced(
      context.trace, [&] { return WorkOf(backend, params); },
      [&] { return backend.CopyBlocks(context, params); });
}

}  // namespace llmcore::core
