#ifndef LLMCORE_CAPI_SAMPLING_PARAMS_H_
#define LLMCORE_CAPI_SAMPLING_PARAMS_H_

#include "lib/session/generation_params.h"
#include "llmcore/llmcore.h"

struct llmcore_sampling_params {
  llmcore::core::GenerationParams params;
};

#endif  // LLMCORE_CAPI_SAMPLING_PARAMS_H_
