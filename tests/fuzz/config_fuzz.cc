// The text of a config.json, which is also tried as a generation_config.json. What is accepted must
// keep the promises that the decoder builds on.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "lib/base/json.h"
#include "lib/config/generation_config.h"
#include "lib/config/model_config.h"
#include "lib/config/rope.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace llmcore::core;
  const auto json = ParseJson(absl::string_view(reinterpret_cast<const char*>(data), size));
  if (!json.ok() || json->if_object() == nullptr) return 0;
  ParseGenerationConfig(*json->if_object()).IgnoreError();
  const auto config = ParseModelConfig(*json->if_object());
  if (!config.ok()) return 0;
  if (config->num_layers < 1 || config->head_dim < 2 || config->head_dim % 2 != 0 ||
      config->num_heads % config->num_kv_heads != 0 ||
      config->sliding_window.size() != static_cast<size_t>(config->num_layers)) {
    std::abort();
  }
  if (const auto& stored = config->quantization; stored.has_value()) {
    if (!IsQuantized(stored->format) || stored->group_size < 0 || stored->group_size % 128 != 0 ||
        stored->zero_offset < 0 || stored->zero_offset > 1) {
      std::abort();
    }
  }
  for (const int64_t length : {int64_t{0}, int64_t{1} << 30}) {
    for (const float frequency : RopeInverseFrequencies(*config, length).inverse) {
      if (!std::isfinite(frequency)) std::abort();
    }
  }
  return 0;
}
