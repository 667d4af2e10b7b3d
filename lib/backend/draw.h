// The draw of a token on a device: what it is told and what it answers. For kernels too: plain
// C++17.
#ifndef LLMCORE_LIB_BACKEND_DRAW_H_
#define LLMCORE_LIB_BACKEND_DRAW_H_

#include <cstdint>

namespace llmcore::core {

// How a token is drawn from the logits of a row; fields as in SamplingParams.
struct TokenDraw {
  float temperature = 1;  // 0: the most likely token, the lowest of equal ones
  int32_t top_k = 0;
  float top_p = 1;
  float least_score = 0;  // log(min_p): what (logit - largest) / temperature is at least
  double uniform = 0;     // of [0, 1)
};

struct DrawnToken {
  int32_t id = -1;        // -1: none, since the largest logit is -infinity or one is unusable
  int32_t unusable = -1;  // the first token whose logit is NaN or +infinity
  float logit = 0;        // of either
  float largest = 0;      // logit
  double sum = 0;         // of exp(logit - largest), as LogSumExp adds it up
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BACKEND_DRAW_H_
