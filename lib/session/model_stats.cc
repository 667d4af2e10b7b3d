// What a model's sessions hold and wait for at the moment.
#include "absl/strings/str_cat.h"
#include "lib/engine/engine.h"
#include "lib/session/model.h"

namespace llmcore::core {

std::string Model::StatsJson() const {
  return absl::StrCat("{\"kv_blocks\": ", plan_.kv_blocks,
                      ", \"kv_blocks_free\": ", engine_->free_kv_blocks(),
                      ", \"kv_block_tokens\": ", plan_.kv_block_tokens,
                      ", \"waiting_requests\": ", engine_->waiting(),
                      ", \"prefix_cache\": ", PrefixCacheJson(), "}");
}

}  // namespace llmcore::core
