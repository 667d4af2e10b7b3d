// rope_theta, rope_scaling and rope_parameters of config.json. Internal to lib/config.
#ifndef LLMCORE_LIB_CONFIG_ROPE_CONFIG_H_
#define LLMCORE_LIB_CONFIG_ROPE_CONFIG_H_

#include "lib/base/json.h"
#include "lib/base/status.h"
#include "lib/config/model_config.h"

namespace llmcore::core {

// `json` is the whole config.json.
absl::StatusOr<RopeConfig> ParseRopeConfig(const JsonObject& json, int32_t max_position_embeddings);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_CONFIG_ROPE_CONFIG_H_
