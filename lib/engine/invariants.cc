#include "lib/engine/invariants.h"

#include <algorithm>
#include <vector>

namespace llmcore::core {

absl::Status CheckRequests(std::span<Request* const> queue, std::span<Request* const> members) {
  std::vector<const KvSequence*> sequences;
  const auto check = [&sequences](const Request& request, bool in_state) -> absl::Status {
    if (!in_state) return absl::InternalError("a request is not in the state of its place");
    if (request.sequence->length() >= request.end) {
      return absl::InternalError("a request has nothing left to compute and is not done");
    }
    sequences.push_back(request.sequence);
    return absl::OkStatus();
  };
  for (const Request* request : queue) {
    LLMCORE_RETURN_IF_ERROR(check(*request, request->state == Request::State::kQueued));
  }
  for (const Request* request : members) {
    if (request == nullptr) continue;
    LLMCORE_RETURN_IF_ERROR(check(*request, request->state == Request::State::kRunning ||
                                                request->state == Request::State::kDelivering));
  }
  std::sort(sequences.begin(), sequences.end());
  if (std::adjacent_find(sequences.begin(), sequences.end()) != sequences.end()) {
    return absl::InternalError("two requests, or one twice, are of one sequence");
  }
  return absl::OkStatus();
}

}  // namespace llmcore::core
