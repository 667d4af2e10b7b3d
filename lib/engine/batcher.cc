#include "lib/engine/batcher.h"

#include <algorithm>
#include <new>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/ops/ops.h"

namespace llmcore::core {
namespace {

// How often a waiting caller looks at its cancel token.
constexpr std::chrono::milliseconds kCancelPoll(20);

// The next step waits for the members of the last one at most an eighth of its time: what a full
// batch saves is worth several times that, and a member that does not come back costs no more. At
// least what it takes to wake some threads up.
constexpr int kLingerShare = 8;
constexpr std::chrono::microseconds kLeastLinger(200);
constexpr std::chrono::microseconds kMostLinger(5000);

double SecondsOf(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double>(time).count();
}
double SecondsOf(std::chrono::steady_clock::time_point moment) {
  return SecondsOf(moment.time_since_epoch());
}

}  // namespace

Batcher::Batcher(const MemoryPlan& plan, const Device& device)
    : plan_(plan),
      device_(device),
      buffers_(device.buffers),
      pacer_(plan.max_batch_tokens),
      out_of_memory_(ResourceExhaustedError("out of memory in a step", 0)),
      internal_error_(absl::InternalError("an exception in a step")) {
  members_.reserve(static_cast<size_t>(plan.max_batch_sequences));
  shares_.resize(static_cast<size_t>(plan.max_batch_sequences));
  prompts_.reserve(shares_.size());
}

absl::Status Batcher::Start() {
  try {
    thread_ = std::thread([this] { Loop(); });
  } catch (const std::system_error& error) {
    return ResourceExhaustedError(
        absl::StrCat("the thread of the engine could not be started: ", error.what()), 0);
  }
  return absl::OkStatus();
}

Batcher::~Batcher() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    work_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Batcher::Submit(Request* request) {
  const int64_t length = request->sequence->length();
  if (length >= request->end) {
    request->state = Request::State::kDone;
    return;
  }
  request->sequence->PrepareTable(request->end);
  request->decode = request->end - length == 1 && request->first_logits < request->end;

  const std::lock_guard<std::mutex> lock(mutex_);
  // Room for all requests, those of the running step included: steps allocate nothing.
  queue_.reserve(queue_.size() + members_.size() + 1);
  demands_.reserve(queue_.capacity());
  queue_.push_back(request);
  ++arrived_;
  if (ReadyLocked()) work_.notify_one();
}

absl::Status Batcher::Wait(Request* request, const CancelToken* cancel) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (request->state != Request::State::kDone) {
    if (cancel != nullptr && cancel->cancelled() && WithdrawLocked(request)) {
      request->state = Request::State::kDone;
      request->status = CancelledError("computing a step");
      break;
    }
    request->done.wait_for(lock, kCancelPoll);
  }
  return std::move(request->status);
}

// False when it is too late to.
bool Batcher::WithdrawLocked(Request* request) {
  switch (request->state) {
    case Request::State::kQueued:
      queue_.erase(std::find(queue_.begin(), queue_.end(), request));
      return true;
    case Request::State::kRunning: {
      bool wanted = false;
      for (Member& member : members_) {
        if (member.request == request) member.request = nullptr;
        wanted |= member.request != nullptr;
      }
      if (!wanted) step_cancel_.Cancel();
      return true;
    }
    case Request::State::kDelivering:
    case Request::State::kDone:
      break;
  }
  return false;
}

void Batcher::Loop() noexcept {
  while (true) {
    AwaitWork();
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stop_) return;
    }
    StepOnce();
  }
}

bool Batcher::ReadyLocked() const {
  return !queue_.empty() && (arrived_ >= expected_ || Clock::now() >= linger_until_);
}

void Batcher::AwaitWork() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_ && !ReadyLocked()) {
    if (Clock::now() < linger_until_) {
      work_.wait_until(lock, linger_until_);
    } else {
      work_.wait(lock);
    }
  }
}

void Batcher::StepOnce() {
  const Turnstile::Pass pass = device_.turnstile->Enter();
  const Clock::time_point begin = Clock::now();
  absl::Status status;
  try {
    Form();
    status = Compute();
  } catch (const std::bad_alloc&) {
    status = out_of_memory_;
  } catch (...) {
    status = internal_error_;
  }
  Finish(status, Clock::now() - begin);
}

// Chooses the members of the next step, takes their blocks, and copies what they ask for: from
// then on the step needs nothing of a request but its sink.
void Batcher::Form() {
  const std::lock_guard<std::mutex> lock(mutex_);
  buffers_.Clear();
  step_cancel_.Reset();
  demands_.clear();
  int32_t decodes = 0;
  prompts_.clear();
  for (Request* request : queue_) {
    demands_.push_back(DemandLocked(request));
    decodes += request->decode ? 1 : 0;
  }
  const int32_t prefill_rows = pacer_.rows(decodes, SecondsOf(Clock::now()));
  const StepBudget budget{plan_.max_batch_tokens, prefill_rows, plan_.max_batch_sequences};
  const size_t count = Schedule(demands_, budget, shares_);
  for (const Share& share : std::span(shares_).first(count)) AddMemberLocked(share);
  std::erase_if(queue_,
                [](const Request* request) { return request->state != Request::State::kQueued; });
}

// What is left of a request after the prefix cache. A prompt whose next block another computes in
// this step sits it out, and adopts the block in the next: so that what many ask at the same time
// is computed once. The first of them goes on, however many there are.
Demand Batcher::DemandLocked(Request* request) {
  KvSequence& sequence = *request->sequence;
  if (!request->decode) sequence.AdoptPrefix(request->adoptable());
  const int64_t length = sequence.length();
  Demand demand{request->decode, request->end - length,
                std::max<int64_t>(0, request->first_logits - length)};
  if (request->decode) return demand;
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

void Batcher::AddMemberLocked(const Share& share) {
  Request* const request = queue_[share.demand];
  const KvSequence& sequence = *request->sequence;
  const int64_t first = sequence.length();
  const auto reserve = [&]() -> absl::StatusOr<KvReservation> {
    try {
      return sequence.Reserve(first + share.rows, buffers_.next_table());
    } catch (const std::bad_alloc&) {
      return out_of_memory_;
    }
  };
  absl::StatusOr<KvReservation> reservation = reserve();
  if (!reservation.ok()) {
    CompleteLocked(request, reservation.status());
    return;
  }
  Member& member = members_.emplace_back();
  member.request = request;
  member.reservation = *std::move(reservation);
  member.first = first;
  member.rows = share.rows;
  member.logit_rows = share.logit_rows;
  member.first_logit = buffers_.input().logit_rows.size();
  buffers_.AddRun(
      request->tokens.subspan(static_cast<size_t>(first), static_cast<size_t>(share.rows)), first,
      share.logit_rows, member.reservation.copy());
  request->state = Request::State::kRunning;
}

absl::Status Batcher::Compute() {
  if (buffers_.rows() == 0) return absl::OkStatus();
  const StepContext context{device_.workspace, &step_cancel_, tracing_ ? &trace_ : nullptr};
  const TracedStep traced(context.trace, buffers_.rows());
  if (!buffers_.copy_from().empty()) {
    LLMCORE_RETURN_IF_ERROR(
        CopyBlocks(*device_.backend, context,
                   {device_.decoder->cache(), buffers_.copy_from(), buffers_.copy_to()}));
  }
  LLMCORE_ASSIGN_OR_RETURN(const std::span<const float> logits,
                           device_.decoder->Forward(*device_.backend, context, buffers_.input()));
  return Deliver(logits);
}

// Calls the sinks, those of several sequences at once on the threads of the backend: sampling from
// a large vocabulary takes a while.
absl::Status Batcher::Deliver(std::span<const float> logits) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const Member& member : members_) {
      if (member.request != nullptr) member.request->state = Request::State::kDelivering;
    }
  }
  // Nobody else touches the members while their requests are being delivered.
  const auto vocabulary = static_cast<size_t>(device_.vocabulary);
  const auto deliver = [&](int64_t index) {
    const Member& member = members_[static_cast<size_t>(index)];
    if (member.request == nullptr) return;
    const int64_t first = member.first + member.rows - member.logit_rows;
    for (int32_t i = 0; i < member.logit_rows; ++i) {
      const size_t row = member.first_logit + static_cast<size_t>(i);
      member.request->sink(first + i, logits.subspan(row * vocabulary, vocabulary));
    }
  };
  return device_.backend->ForEachOnHost(static_cast<int64_t>(members_.size()), deliver);
}

// The step becomes part of all its sequences, or of none.
void Batcher::Finish(const absl::Status& status, Clock::duration time) {
  const std::lock_guard<std::mutex> lock(mutex_);
  size_t completed = 0;
  int32_t decodes = 0;
  int32_t prefill_rows = 0;
  for (Member& member : members_) {
    Request* const request = member.request;
    if (request == nullptr) continue;
    (request->decode ? decodes : prefill_rows) += member.rows;
    if (!status.ok()) {
      CompleteLocked(request, status);
      continue;
    }
    request->sequence->Commit(std::move(member.reservation));
    request->sequence->PublishBlocks(request->tokens);
    if (request->sequence->length() < request->end) {
      request->state = Request::State::kQueued;  // behind the others: prompts take turns
      queue_.push_back(request);
    } else {
      CompleteLocked(request, status);
      ++completed;
    }
  }
  members_.clear();  // gives back what was reserved and not committed
  if (status.ok()) {
    prompt_tokens_ += prefill_rows;
    pacer_.Record(decodes, prefill_rows, SecondsOf(time), SecondsOf(Clock::now()));
  }
  arrived_ = 0;
  expected_ = completed;
  linger_until_ =
      Clock::now() + std::clamp<Clock::duration>(time / kLingerShare, kLeastLinger, kMostLinger);
}

void Batcher::CompleteLocked(Request* request, const absl::Status& status) {
  request->status = status;
  request->state = Request::State::kDone;
  request->done.notify_one();
}

size_t Batcher::waiting() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return queue_.size();
}

void Batcher::SetTrace(bool enabled) {
  if (enabled) trace_.Reset();
  tracing_ = enabled;
}

}  // namespace llmcore::core
