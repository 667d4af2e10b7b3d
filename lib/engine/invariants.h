// What holds of the requests of an engine between two changes of them.
#ifndef LLMCORE_LIB_ENGINE_INVARIANTS_H_
#define LLMCORE_LIB_ENGINE_INVARIANTS_H_

#include <span>

#include "lib/base/status.h"
#include "lib/engine/request.h"

namespace llmcore::core {

// `queue`: the requests that wait; `members`: those of the step that runs, which it may have to
// itself (NULL: withdrawn). INTERNAL unless each is in one of the two and once, in the state that
// belongs there, has something left to compute, and is the only one of its sequence.
absl::Status CheckRequests(std::span<Request* const> queue, std::span<Request* const> members);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_ENGINE_INVARIANTS_H_
