#include "lib/session/branches.h"

#include <deque>

namespace llmcore::core {
namespace {

using BranchSink = absl::FunctionRef<void(size_t index, std::span<const float> logits)>;

// The request of one branch. It is waited for, whatever becomes of those beside it.
class Part {
 public:
  Part(Engine* engine, Branch* branch, size_t index, BranchSink sink)
      : engine_(engine),
        branch_(branch),
        receiver_{index, sink},
        request_(&branch->sequence, branch->tokens, static_cast<int64_t>(branch->tokens.size()),
                 static_cast<int64_t>(branch->tokens.size()) - 1, receiver_) {}
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;
  ~Part() { Wait(nullptr).IgnoreError(); }

  absl::Status Submit(const RequestTerms& terms) {
    request_.terms = terms;
    request_.draw = branch_->draw;
    const absl::Status status = engine_->Submit(&request_);
    pending_ = status.ok();
    return status;
  }
  absl::Status Wait(const CancelToken* cancel) {
    if (!std::exchange(pending_, false)) return absl::OkStatus();
    absl::Status status = engine_->Wait(&request_, cancel);
    branch_->drawn = request_.drawn;
    return status;
  }

 private:
  struct Receiver {
    size_t index;
    BranchSink sink;
    void operator()(int64_t, std::span<const float> logits) const { sink(index, logits); }
  };

  Engine* const engine_;
  Branch* const branch_;
  const Receiver receiver_;
  Request request_;
  bool pending_ = false;
};

}  // namespace

absl::Status ComputeTogether(Engine* engine, std::span<Branch* const> branches,
                             const RequestTerms& terms, const CancelToken* cancel,
                             BranchSink sink) {
  if (cancel != nullptr && cancel->cancelled()) return CancelledError("computing a step");
  std::deque<Part> parts;
  for (size_t i = 0; i < branches.size(); ++i) parts.emplace_back(engine, branches[i], i, sink);
  absl::Status status;
  for (Part& part : parts) {
    if (status.ok()) status = part.Submit(terms);
  }
  for (Part& part : parts) status.Update(part.Wait(cancel));
  return status;
}

}  // namespace llmcore::core
