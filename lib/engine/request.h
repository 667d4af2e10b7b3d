// Work of one sequence that waits for its part in the steps of the engine.
#ifndef LLMCORE_LIB_ENGINE_REQUEST_H_
#define LLMCORE_LIB_ENGINE_REQUEST_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/functional/function_ref.h"
#include "lib/backend/draw.h"
#include "lib/base/cancel.h"
#include "lib/base/status.h"
#include "lib/engine/schedule.h"
#include "lib/kv/kv_sequence.h"

namespace llmcore::core {

// Receives the logits of a position, [vocabulary], valid during the call. It is called on a thread
// of the engine while the step ends, in order of the positions; those of other sequences get theirs
// at the same time. It must not block.
using LogitsSink = absl::FunctionRef<void(int64_t position, std::span<const float> logits)>;

struct RequestTerms {
  int32_t priority = 0;  // -kMaxPriority to kMaxPriority; higher ones come earlier
  // When it fails with DEADLINE_EXCEEDED, unless it is done.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

// Computes positions [sequence->length(), end) of `tokens`, those of the whole sequence, and gives
// `sink` the logits of those from `first_logits` on. Positions before may come from the prefix
// cache instead, with the same bits. Its sequence may lose blocks to another request before a step
// takes it, and is then computed from further back. What it names belongs to the engine from
// Engine::Submit until the request is done.
struct Request {
  Request(KvSequence* kv, std::span<const int32_t> ids, int64_t to, int64_t logits_from,
          LogitsSink receive)
      : sequence(kv), tokens(ids), end(to), first_logits(logits_from), sink(receive) {}
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;

  KvSequence* const sequence;
  const std::span<const int32_t> tokens;
  const int64_t end;
  const int64_t first_logits;
  const LogitsSink sink;
  RequestTerms terms;
  // Set: the device draws a token from the last position, the only one that logits are wanted of,
  // and `drawn` takes the place of the sink. Where Engine::draws().
  std::optional<TokenDraw> draw;
  DrawnToken drawn;  // when done without an error

  // What the prefix cache may save: nothing that logits are wanted of, and never all of it.
  std::span<const int32_t> adoptable() const {
    return tokens.first(static_cast<size_t>(std::max<int64_t>(0, std::min(first_logits, end - 1))));
  }

  // The engine's, under its lock.
  enum class State : uint8_t {
    kQueued,      // waits for a step
    kRunning,     // is part of the step that runs; may be withdrawn
    kDelivering,  // its sink runs
    kDone,
  };
  State state = State::kDone;  // until it is submitted, there is nothing to wait for
  bool decode = false;         // wants one position; as a step last looked at it
  int64_t turn = 0;            // Demand::turn
  bool begun = false;          // Demand::begun
  bool missed = false;         // found no blocks for the step that is being formed
  absl::Status status;         // when done
  std::condition_variable done;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_ENGINE_REQUEST_H_
