#include "lib/engine/batcher.h"

#include <algorithm>
#include <new>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/engine/invariants.h"
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

// How often requests that found no blocks look again: whoever pins a sequence tells nobody when it
// is done.
constexpr std::chrono::milliseconds kRetry(2);

#ifdef NDEBUG
constexpr bool kChecked = false;
#else
constexpr bool kChecked = true;
#endif

bool HasDeadline(const Request& request) {
  return request.terms.deadline != std::chrono::steady_clock::time_point::max();
}

double SecondsOf(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double>(time).count();
}
double SecondsOf(std::chrono::steady_clock::time_point moment) {
  return SecondsOf(moment.time_since_epoch());
}

}  // namespace

Batcher::Batcher(const MemoryPlan& plan, Scheduler scheduler, const Device& device)
    : plan_(plan),
      scheduler_(scheduler),
      device_(device),
      buffers_(device.buffers),
      pacer_(plan.max_batch_tokens),
      out_of_memory_(ResourceExhaustedError("out of memory in a step", 0)),
      internal_error_(absl::InternalError("an exception in a step")),
      deadline_error_(absl::DeadlineExceededError("the deadline of the session has passed")),
      queue_(plan.max_batch_sequences) {
  members_.reserve(static_cast<size_t>(plan.max_batch_sequences));
}

absl::Status Batcher::Start() {
  if (scheduler_ == Scheduler::kManual) return absl::OkStatus();
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

absl::Status Batcher::Submit(Request* request) {
  if (request->sequence->length() >= request->end) return absl::OkStatus();
  const std::lock_guard<std::mutex> lock(mutex_);
  try {
    request->sequence->PrepareTable(request->end);
    // Room for all requests, those of the running step included: steps allocate nothing.
    queue_.Reserve(queue_.size() + members_.size() + 1);
  } catch (const std::bad_alloc&) {
    return out_of_memory_;
  }
  request->sequence->BeginRequest(kStepsPerPriority * request->terms.priority);
  queue_.Push(request, step_);
  ++arrived_;
  blocked_ = false;
  if (Clock::now() >= EarliestStepLocked()) work_.notify_one();
  return absl::OkStatus();
}

absl::Status Batcher::Wait(Request* request, const CancelToken* cancel) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!DoneLocked(request, cancel)) AwaitChange(&lock, request, cancel);
  return std::move(request->status);
}

bool Batcher::Poll(Request* request, const CancelToken* cancel) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return DoneLocked(request, cancel);
}

void Batcher::Withdraw(Request* request) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (request->state == Request::State::kDone) return;
  if (WithdrawLocked(request)) {
    CompleteLocked(request, absl::OkStatus());
    return;
  }
  std::condition_variable& changed = scheduler_ == Scheduler::kManual ? work_ : request->done;
  changed.wait(lock, [request] { return request->state == Request::State::kDone; });
}

// One turn of waiting for `request`: until something may have changed, or by hand for the length of
// a step, when nobody else runs one.
void Batcher::AwaitChange(std::unique_lock<std::mutex>* lock, Request* request,
                          const CancelToken* cancel) {
  const Clock::time_point look = std::min(Clock::now() + kCancelPoll, request->terms.deadline);
  if (scheduler_ == Scheduler::kBackground) {
    request->done.wait_until(*lock, look);
    return;
  }
  bool idle = stepping_ > 0;
  if (!idle) {
    ++stepping_;
    lock->unlock();
    idle = !StepOnce(request, cancel);
    lock->lock();
    --stepping_;
    work_.notify_all();
  }
  if (idle && request->state != Request::State::kDone) {
    work_.wait_until(*lock, blocked_ ? std::min(look, retry_at_) : look);
  }
}

bool Batcher::Step() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (queue_.empty()) return false;
    ++stepping_;
  }
  const bool stepped = StepOnce();
  const std::lock_guard<std::mutex> lock(mutex_);
  --stepping_;
  work_.notify_all();
  return stepped;
}

// Whether it is done, after a look at what may end it early.
bool Batcher::DoneLocked(Request* request, const CancelToken* cancel) {
  if (request->state == Request::State::kDone) return true;
  const bool cancelled = cancel != nullptr && cancel->cancelled();
  const bool late = HasDeadline(*request) && Clock::now() >= request->terms.deadline;
  if (!cancelled && !late) return false;
  // Made first, since there may be no memory for it.
  absl::Status status = cancelled ? CancelledError("computing a step") : deadline_error_;
  if (!WithdrawLocked(request)) return false;
  CompleteLocked(request, std::move(status));
  return true;
}

// False when it is too late to.
bool Batcher::WithdrawLocked(Request* request) {
  switch (request->state) {
    case Request::State::kQueued:
      queue_.Remove(request);
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

// From when on the next step may begin, if a request waits by then.
Batcher::Clock::time_point Batcher::EarliestStepLocked() const {
  const bool lingers = arrived_ < expected_;
  return std::max(lingers ? linger_until_ : Clock::time_point::min(),
                  blocked_ ? retry_at_ : Clock::time_point::min());
}

void Batcher::AwaitWork() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    const Clock::time_point earliest = EarliestStepLocked();
    if (Clock::now() < earliest) {
      work_.wait_until(lock, earliest);
    } else if (queue_.empty()) {
      work_.wait(lock);
    } else {
      return;
    }
  }
}

// Whether anything took part in the step. When only `driver`, whose thread this is and cannot leave
// the step, does, then `cancel` stops it.
bool Batcher::StepOnce(const Request* driver, const CancelToken* cancel) {
  const Turnstile::Pass pass = device_.turnstile->Enter();
  const Clock::time_point begin = Clock::now();
  absl::Status status;
  try {
    if (!Form()) {
      device_.sequences->SettleSwapOut(/*copied=*/false);  // room that nobody came to use
      return false;
    }
    status = Compute(cancel != nullptr && IsAlone(driver) ? cancel : &step_cancel_);
  } catch (const std::bad_alloc&) {
    status = out_of_memory_;
  } catch (...) {
    status = internal_error_;
  }
  Finish(status, Clock::now() - begin);
  if (kChecked) CheckStep();
  return true;
}

// From the first contradiction on every step fails with it.
void Batcher::CheckStep() {
  if (!broken_.ok()) return;
  try {
    broken_ = CheckInvariants();
  } catch (const std::bad_alloc&) {  // the next step looks again
  }
}

// Chooses the members of the next step, takes their blocks, and copies what they ask for: from
// then on the step needs nothing of a request but its sink. Whether there are any.
bool Batcher::Form() {
  const std::lock_guard<std::mutex> lock(mutex_);
  buffers_.Clear();
  step_cancel_.Reset();
  step_ = device_.sequences->NextStep();
  ExpireLocked();
  FillLocked(/*urgent=*/false);
  if (members_.empty()) FillLocked(/*urgent=*/true);
  queue_.RemoveTaken();
  blocked_ = members_.empty();
  if (blocked_) retry_at_ = Clock::now() + kRetry;
  return !members_.empty();
}

void Batcher::ExpireLocked() {
  for (Request* request : queue_.requests()) {
    if (HasDeadline(*request) && Clock::now() >= request->terms.deadline) {
      CompleteLocked(request, deadline_error_);
    }
  }
}

// Adds members while there is something left of the step. What those that find no blocks leave
// goes to the others. `urgent`: KvClaim::urgent.
void Batcher::FillLocked(bool urgent) {
  for (Request* request : queue_.requests()) request->missed = false;
  const int32_t decodes = queue_.CollectDemands(/*share_prompts=*/!urgent);
  StepBudget left;
  left.rows = plan_.max_batch_tokens;
  left.sequences = plan_.max_batch_sequences;
  left.logit_rows = plan_.max_batch_sequences;
  // Prompts leave a row to each decode, but are not starved by them.
  left.prefill_rows = std::max(1, left.rows - std::min(decodes, left.sequences));
  const int32_t paced = std::min(pacer_.rows(decodes, SecondsOf(Clock::now())), left.prefill_rows);
  if (BriefPromptsComeFirst(queue_.demands(), plan_.max_batch_tokens)) {
    left.long_rows = paced;
    left.brief = plan_.max_batch_tokens;
  } else {
    left.prefill_rows = paced;
  }
  while (true) {
    bool missed = false;
    for (const Share& share : queue_.Schedule(left)) {
      if (AddMemberLocked(share, urgent)) {
        left.Take(queue_.demand(share), share);
      } else {
        queue_.request(share)->missed = missed = true;
      }
    }
    if (!missed) return;
    queue_.CollectDemands(/*share_prompts=*/!urgent);
  }
}

bool Batcher::AddMemberLocked(const Share& share, bool urgent) {
  Request* const request = queue_.request(share);
  KvSequence& sequence = *request->sequence;
  const int64_t first = sequence.length();
  // It lost blocks to one that was added before it.
  if (request->end - first != queue_.demand(share).rows) return false;
  if (!device_.sequences->MakeRoom(sequence, first + share.rows, urgent)) return false;
  const auto reserve = [&]() -> absl::StatusOr<KvReservation> {
    try {
      return sequence.Reserve(first + share.rows, buffers_.next_table());
    } catch (const std::bad_alloc&) {
      return out_of_memory_;  // even for an error: this is no time to leave
    }
  };
  absl::StatusOr<KvReservation> reservation = reserve();
  // RESOURCE_EXHAUSTED: somebody was faster, who needs no step for it.
  if (!reservation.ok()) {
    if (!absl::IsResourceExhausted(reservation.status())) {
      CompleteLocked(request, reservation.status());
    }
    return false;
  }
  sequence.SetPinned(true);
  Member& member = members_.emplace_back();
  member.request = request;
  member.reservation = *std::move(reservation);
  member.first = first;
  member.rows = share.rows;
  member.draws = request->draw.has_value() && share.logit_rows > 0;
  member.logit_rows = member.draws ? 0 : share.logit_rows;
  const StepInput& input = buffers_.input();
  member.first_logit = member.draws ? input.draws.size() : input.logit_rows.size();
  buffers_.AddSwapIn(sequence.swapped_blocks(), member.reservation.swapped_in());
  buffers_.AddRun(
      request->tokens.subspan(static_cast<size_t>(first), static_cast<size_t>(share.rows)), first,
      member.logit_rows, member.reservation.copy());
  if (member.draws) buffers_.AddDraw(*request->draw);
  request->state = Request::State::kRunning;
  return true;
}

bool Batcher::IsAlone(const Request* request) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return members_.size() == 1 && members_.front().request == request;
}

absl::Status Batcher::Compute(const CancelToken* cancel) {
  LLMCORE_RETURN_IF_ERROR(broken_);
  const StepContext context{device_.workspace, cancel, tracing_ ? &trace_ : nullptr};
  const TracedStep traced(context.trace, buffers_.rows());
  LLMCORE_RETURN_IF_ERROR(Swap(context));
  if (!buffers_.copy_from().empty()) {
    LLMCORE_RETURN_IF_ERROR(
        CopyBlocks(*device_.backend, context,
                   {device_.decoder->cache(), buffers_.copy_from(), buffers_.copy_to()}));
  }
  LLMCORE_ASSIGN_OR_RETURN(const StepOutput output,
                           device_.decoder->Forward(*device_.backend, context, buffers_.input()));
  return Deliver(output);
}

// Copies blocks to the host before anything writes to them, and then those back that the members
// need.
absl::Status Batcher::Swap(const StepContext& context) {
  KvSequences& sequences = *device_.sequences;
  SwapBlocksParams params;
  params.cache = device_.decoder->cache();
  params.host = device_.swap;
  params.host_places = plan_.swap_blocks;
  if (!sequences.swap_out_blocks().empty()) {
    params.direction = SwapBlocksParams::Direction::kOut;
    params.blocks = sequences.swap_out_blocks();
    params.places = sequences.swap_out_places();
    LLMCORE_RETURN_IF_ERROR(SwapBlocks(*device_.backend, context, params));
    LLMCORE_RETURN_IF_ERROR(device_.backend->Synchronize());
    sequences.SettleSwapOut(/*copied=*/true);
  }
  if (buffers_.swap_in_blocks().empty()) return absl::OkStatus();
  params.direction = SwapBlocksParams::Direction::kIn;
  params.blocks = buffers_.swap_in_blocks();
  params.places = buffers_.swap_in_places();
  return SwapBlocks(*device_.backend, context, params);
}

// Gives drawn tokens to their requests and calls the sinks, those of several sequences at once on
// the threads of the backend: sampling from a large vocabulary takes a while.
absl::Status Batcher::Deliver(const StepOutput& output) {
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
    if (member.draws) member.request->drawn = output.tokens[member.first_logit];
    const int64_t first = member.first + member.rows - member.logit_rows;
    for (int32_t i = 0; i < member.logit_rows; ++i) {
      const size_t row = member.first_logit + static_cast<size_t>(i);
      member.request->sink(first + i, output.logits.subspan(row * vocabulary, vocabulary));
    }
  };
  return device_.backend->ForEachOnHost(static_cast<int64_t>(members_.size()), deliver);
}

// The step becomes part of all its sequences, or of none.
void Batcher::Finish(const absl::Status& status, Clock::duration time) {
  const std::lock_guard<std::mutex> lock(mutex_);
  device_.sequences->SettleSwapOut(/*copied=*/false);  // if it did not come to that
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
    request->sequence->SetPinned(false);
    if (request->sequence->length() < request->end) {
      request->begun = true;
      queue_.Push(request, step_);  // behind the others: prompts take turns
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

void Batcher::CompleteLocked(Request* request, absl::Status status) {
  request->sequence->EndRequest();
  request->status = std::move(status);
  request->state = Request::State::kDone;
  request->done.notify_one();
}

size_t Batcher::waiting() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return queue_.size();
}

absl::Status Batcher::CheckInvariants() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Request*> members;
  for (const Member& member : members_) members.push_back(member.request);
  LLMCORE_RETURN_IF_ERROR(CheckRequests(queue_.requests(), members));
  return device_.sequences->CheckInvariants();
}

void Batcher::SetTrace(bool enabled) {
  if (enabled) trace_.Reset();
  tracing_ = enabled;
}

}  // namespace llmcore::core
