// What a model's sessions hold and wait for at the moment.
#include "absl/strings/str_cat.h"
#include "lib/engine/engine.h"
#include "lib/session/model.h"

namespace llmcore::core {

std::string Model::StatsJson() const {
  const PrefixCacheStatistics cache = engine_->prefix_cache();
  const SwapStatistics swap = engine_->swap();
  return absl::StrCat(
      "{\"kv_blocks\": ", plan_.kv_blocks, ", \"kv_blocks_free\": ", engine_->free_kv_blocks(),
      ", \"kv_block_tokens\": ", plan_.kv_block_tokens,
      ", \"waiting_requests\": ", engine_->waiting(),
      ", \"prefix_cache\": {\"enabled\": ", cache.enabled ? "true" : "false",
      ", \"hit_tokens\": ", cache.hit_tokens, ", \"computed_tokens\": ", cache.computed_tokens,
      ", \"indexed_blocks\": ", cache.indexed_blocks, ", \"cached_blocks\": ", cache.cached_blocks,
      ", \"evicted_blocks\": ", cache.evicted_blocks, "}, \"swap\": {\"blocks\": ", swap.blocks,
      ", \"free_blocks\": ", swap.free_blocks, ", \"out_blocks\": ", swap.out_blocks,
      ", \"in_blocks\": ", swap.in_blocks, ", \"dropped_blocks\": ", swap.dropped_blocks, "}}");
}

}  // namespace llmcore::core
