// Angles of the rotary embedding (Su et al. 2021, RoFormer) for the rows of a step.
#ifndef LLMCORE_LIB_MODEL_ROTARY_TABLE_H_
#define LLMCORE_LIB_MODEL_ROTARY_TABLE_H_

#include "lib/backend/backend.h"
#include "lib/config/model_config.h"
#include "lib/config/rope.h"

namespace llmcore::core {

// Immutable, thread-safe. Allocates nothing after its construction.
class RotaryTable {
 public:
  explicit RotaryTable(const ModelConfig& config);

  // cos_sin: [rows, head_dim], for each row cos, then sin, of the head_dim / 2 angles of its
  // position. With dynamic scaling a position p past the trained context has the frequencies of a
  // sequence of p + 1 tokens, which is what decoding token by token gives in the model code; so the
  // angles of a position depend on nothing else.
  void Fill(const Batch& batch, float* cos_sin) const;

 private:
  void FillRow(int64_t position, float* cos_sin) const;

  const ModelConfig config_;
  const RopeFrequencies frequencies_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_MODEL_ROTARY_TABLE_H_
