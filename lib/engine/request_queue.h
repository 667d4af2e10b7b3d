// The requests that wait for a step.
#ifndef LLMCORE_LIB_ENGINE_REQUEST_QUEUE_H_
#define LLMCORE_LIB_ENGINE_REQUEST_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lib/engine/request.h"
#include "lib/engine/schedule.h"

namespace llmcore::core {

// Not thread-safe: its owner's lock guards it, and what the requests hold for the engine.
class RequestQueue {
 public:
  explicit RequestQueue(int32_t max_batch_sequences)
      : shares_(static_cast<size_t>(max_batch_sequences)) {
    prompts_.reserve(shares_.size());
  }

  // Memory for so many requests, so that Push takes none.
  void Reserve(size_t requests);
  // Behind those of its priority that wait since an earlier step. `step`: now.
  void Push(Request* request, int64_t step);
  void Remove(const Request* request);
  // Forgets those that do not wait any more.
  void RemoveTaken();

  std::span<Request* const> requests() const { return requests_; }
  bool empty() const { return requests_.empty(); }
  size_t size() const { return requests_.size(); }

  // Looks at what all of them want now, and returns how many are decodes. `share_prompts`: one that
  // would compute the same block as another waits for it, see DemandOf.
  int32_t CollectDemands(bool share_prompts);
  // Parts of a step for the demands that were collected.
  std::span<const Share> Schedule(const StepBudget& budget);
  std::span<const Demand> demands() const { return demands_; }
  Demand& demand(const Share& share) { return demands_[share.demand]; }
  Request* request(const Share& share) const { return requests_[demands_[share.demand].request]; }

 private:
  Demand DemandOf(Request* request, bool share_prompts);

  std::vector<Request*> requests_;       // in order of arrival
  std::vector<const Request*> prompts_;  // scratch: those that others may wait for
  std::vector<Demand> demands_;
  std::vector<Share> shares_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_ENGINE_REQUEST_QUEUE_H_
