// llmcore_text and llmcore_tokens: results that the caller owns.
#ifndef LLMCORE_CAPI_TEXT_H_
#define LLMCORE_CAPI_TEXT_H_

#include <string>
#include <vector>

#include "llmcore/llmcore.h"

struct llmcore_text {
  std::string value;
};

struct llmcore_tokens {
  std::vector<llmcore_token> value;
};

#endif  // LLMCORE_CAPI_TEXT_H_
