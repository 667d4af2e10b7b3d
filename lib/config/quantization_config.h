// quantization_config of config.json. Internal to lib/config.
#ifndef LLMCORE_LIB_CONFIG_QUANTIZATION_CONFIG_H_
#define LLMCORE_LIB_CONFIG_QUANTIZATION_CONFIG_H_

#include <optional>
#include <string>

#include "lib/base/json.h"
#include "lib/base/status.h"
#include "lib/config/model_config.h"

namespace llmcore::core {

// `json` is the whole config.json. What the tensors show by themselves is not asked here: which
// modules were left as they are, and whether the head was quantized.
absl::StatusOr<std::optional<StoredQuantization>> ParseQuantization(const JsonObject& json);

// The same of a directory whose config.json does not say: AutoGPTQ wrote quantize_config.json, and
// AutoAWQ quant_config.json, before there was a place for it there. Errors name the file.
absl::StatusOr<std::optional<StoredQuantization>> LoadQuantizationFile(
    const std::string& directory);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_CONFIG_QUANTIZATION_CONFIG_H_
