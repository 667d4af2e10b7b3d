// Sequences that go on from one prompt, share its KV blocks and grow together.
#ifndef LLMCORE_LIB_SESSION_BRANCHES_H_
#define LLMCORE_LIB_SESSION_BRANCHES_H_

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "lib/base/cancel.h"
#include "lib/base/status.h"
#include "lib/engine/engine.h"
#include "lib/kv/kv_sequence.h"
#include "lib/tokenizer/tokenizer.h"

namespace llmcore::core {

struct Branch {
  Branch(KvSequence kv, std::vector<TokenId> ids)
      : sequence(std::move(kv)), tokens(std::move(ids)) {
    sequence.SetReplying(true);  // it goes on at once, however long the others take
  }

  KvSequence sequence;
  std::vector<TokenId> tokens;  // prompt and answer, of which `sequence` may lack the end
  // Set: the device draws the next token, and `drawn` takes the place of the sink (Request::draw).
  std::optional<TokenDraw> draw;
  DrawnToken drawn;
};

// Computes what each branch lacks, in steps that they share, and calls `sink(i, logits)` with the
// logits of the last position of branches[i], as a LogitsSink is called: on threads of the engine,
// for several branches at the same time. The first error of any of them, when all have ended.
absl::Status ComputeTogether(
    Engine* engine, std::span<Branch* const> branches, const RequestTerms& terms,
    const CancelToken* cancel,
    absl::FunctionRef<void(size_t index, std::span<const float> logits)> sink);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_BRANCHES_H_
