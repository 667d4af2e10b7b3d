#include "lib/ops/checks.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"

namespace llmcore::core {

absl::Status SwapBlocks(Backend& backend, const StepContext& context,
                        const SwapBlocksParams& params) {
  LLMCORE_CHECK_SHAPE("swap_blocks", params.blocks.size() == params.places.size());
  for (size_t i = 0; i < params.blocks.size(); ++i) {
    LLMCORE_CHECK_SHAPE("swap_blocks",
                        params.blocks[i] >= 0 && params.blocks[i] < params.cache.blocks);
    LLMCORE_CHECK_SHAPE("swap_blocks",
                        params.places[i] >= 0 && params.places[i] < params.host_places);
  }
  return Traced(
      context.trace, [&] { return WorkOf(backend, params); },
      [&] { return backend.SwapBlocks(context, params); });
}

}  // namespace llmcore::core
