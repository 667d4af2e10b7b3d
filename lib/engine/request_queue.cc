#include "lib/engine/request_queue.h"

#include <algorithm>

namespace llmcore::core {

void RequestQueue::Reserve(size_t requests) {
  requests_.reserve(requests);
  demands_.reserve(requests_.capacity());
}

void RequestQueue::Push(Request* request, int64_t step) {
  request->state = Request::State::kQueued;
  request->turn = step - kStepsPerPriority * request->terms.priority;
  requests_.push_back(request);
}

void RequestQueue::Remove(const Request* request) {
  requests_.erase(std::find(requests_.begin(), requests_.end(), request));
}

void RequestQueue::RemoveTaken() {
  std::erase_if(requests_,
                [](const Request* request) { return request->state != Request::State::kQueued; });
}

int32_t RequestQueue::CollectDemands(bool share_prompts) {
  demands_.clear();
  prompts_.clear();
  for (const Request* request : requests_) {  // those that the step has already
    const bool prompt = request->state == Request::State::kRunning && !request->decode;
    if (prompt && prompts_.size() < shares_.size()) prompts_.push_back(request);
  }
  for (size_t i = 0; i < requests_.size(); ++i) {
    const Request& request = *requests_[i];
    if (request.state != Request::State::kQueued || request.missed) continue;
    demands_.push_back({.turn = request.turn, .request = i});
  }
  // Who comes first computes what several want: it would be served first without the others too.
  std::sort(demands_.begin(), demands_.end(), ComesBefore);
  int32_t decodes = 0;
  for (Demand& demand : demands_) {
    const size_t index = demand.request;
    demand = DemandOf(requests_[index], share_prompts);
    demand.request = index;
    decodes += demand.decode ? 1 : 0;
  }
  return decodes;
}

// What is left of a request after the prefix cache. A prompt whose next block another computes in
// this step sits it out, and adopts the block in the next: so that what many ask at the same time
// is computed once. The first of them that finds blocks goes on, however many there are.
Demand RequestQueue::DemandOf(Request* request, bool share_prompts) {
  KvSequence& sequence = *request->sequence;
  const auto is_decode = [&] {
    return request->end - sequence.length() == 1 && request->first_logits < request->end;
  };
  request->decode = is_decode();
  // A block that is swapped out may be in the prefix cache still.
  if (!request->decode || !sequence.swapped_blocks().empty()) {
    sequence.AdoptPrefix(request->adoptable());
    request->decode = is_decode();
  }
  const int64_t length = sequence.length();
  Demand demand{request->decode, request->end - length,
                std::max<int64_t>(0, request->first_logits - length), request->begun,
                request->turn};
  if (request->decode || !share_prompts) return demand;
  for (const Request* other : prompts_) {
    if (sequence.NextBlockEquals(*other->sequence, request->adoptable(),
                                 other->tokens.first(static_cast<size_t>(other->end)))) {
      demand.rows = 0;
      return demand;
    }
  }
  if (prompts_.size() < shares_.size()) prompts_.push_back(request);
  return demand;
}

std::span<const Share> RequestQueue::Schedule(const StepBudget& budget) {
  return std::span(shares_).first(core::Schedule(demands_, budget, shares_));
}

}  // namespace llmcore::core
