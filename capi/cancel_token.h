#ifndef LLMCORE_CAPI_CANCEL_TOKEN_H_
#define LLMCORE_CAPI_CANCEL_TOKEN_H_

#include <memory>

#include "lib/base/cancel.h"
#include "llmcore/llmcore.h"

// Shared with the options and the work that were given it.
struct llmcore_cancel_token {
  std::shared_ptr<llmcore::core::CancelToken> token;
};

#endif  // LLMCORE_CAPI_CANCEL_TOKEN_H_
