// What a session holds beside its tokens. Private to lib/session.
#ifndef LLMCORE_LIB_SESSION_SESSION_STATE_H_
#define LLMCORE_LIB_SESSION_SESSION_STATE_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/cancel.h"
#include "lib/engine/engine.h"
#include "lib/engine/request.h"
#include "lib/kv/kv_sequence.h"
#include "lib/sampling/device_draw.h"
#include "lib/sampling/sampler.h"
#include "lib/session/conversation.h"
#include "lib/session/generation.h"
#include "lib/session/session.h"

namespace llmcore::core {

// The next token while it is being computed. Stays where it is: its request refers to it.
class TokenRequest {
 public:
  // Asks for the token after the last of `tokens`, drawn as `input` says, but for its logits: by
  // the device, if it can, else by `sampler`. All that is passed is lent until the request is done.
  TokenRequest(const Engine& engine, KvSequence* sequence, std::span<const TokenId> tokens,
               const SampleInput& input, Sampler* sampler)
      : request(sequence, tokens, static_cast<int64_t>(tokens.size()),
                static_cast<int64_t>(tokens.size()) - 1, *this),
        input_(input),
        sampler_(sampler) {
    if (engine.draws()) request.draw = DeviceDraw(*input.params, input.key);
  }

  void operator()(int64_t, std::span<const float> row) const {
    SampleInput input = input_;
    input.logits = row;
    sampled_ = sampler_->Sample(input);
  }

  // Once the request is done without an error.
  absl::StatusOr<SampledToken> sampled() const {
    return request.draw.has_value() ? FinishDraw(request.drawn, input_.key.position) : sampled_;
  }

  Request request;

 private:
  const SampleInput input_;
  Sampler* const sampler_;
  mutable absl::StatusOr<SampledToken> sampled_ = absl::InternalError("a step gave no logits");
};

struct Session::State {
  explicit State(KvSequence kv) : sequence(std::move(kv)) {}

  // The reply so far, as a message of the conversation; `length`: tokens of the session.
  void FinishReply(uint64_t length) {
    if (conversation.messages.empty() || generation->count() == 0) return;
    std::string reply = generation->TakeReply();
    std::vector<Message>& messages = conversation.messages;
    if (messages.back().role == "assistant") {  // a reply that was continued
      messages.back().content += reply;
      messages.back().end = length;
    } else {
      messages.push_back({"assistant", std::move(reply), length});
    }
  }

  // What a fork of a session with `length` tokens takes over; a running generation is not.
  void CopyHistory(const State& other, uint64_t length) {
    conversation = other.conversation;
    was_conversation = other.was_conversation;
    logits = other.logits;
    logits_position = other.logits_position;
    terms = other.terms;
    if (other.generation != nullptr && !conversation.messages.empty() &&
        other.generation->count() > 0) {
      conversation.messages.push_back({"assistant", other.generation->reply(), length});
    }
  }

  // CANCELLED consumes the request to cancel: the next call runs.
  absl::Status TakeCancel(absl::Status status) {
    if (absl::IsCancelled(status)) cancel.Reset();
    return status;
  }

  // The error of a session that has no time left, or was cancelled, before it asks for anything.
  absl::Status CheckTime() {
    if (cancel.cancelled()) return TakeCancel(CancelledError("computing a step"));
    if (std::chrono::steady_clock::now() >= terms.deadline) {
      return absl::DeadlineExceededError("the deadline of the session has passed");
    }
    return absl::OkStatus();
  }

  // Forgets what was computed behind the first `length` tokens.
  void Rewind(int64_t length) {
    sequence.Truncate(length);
    if (logits_position >= length) logits_position = -1;
  }

  KvSequence sequence;
  RequestTerms terms;
  std::vector<float> logits;     // [vocabulary] of `logits_position`
  int64_t logits_position = -1;  // -1: none
  Conversation conversation;
  bool was_conversation = false;  // the tokens are those of messages, some perhaps truncated
  std::unique_ptr<Generation> generation;
  std::unique_ptr<Sampler> sampler;   // made by the first generation
  std::optional<TokenRequest> token;  // in flight between two calls of PollEvent
  CancelToken cancel;
};

// Lends the KV cache and the logits of a session to a prompt that may differ from its tokens. Only
// what the two have in common outlives the scope.
class Session::PromptScope {
 public:
  PromptScope(Session* session, std::span<const TokenId> prompt)
      : state_(*session->state_),
        common_(std::mismatch(prompt.begin(), prompt.end(), session->tokens_.begin(),
                              session->tokens_.end())
                    .first -
                prompt.begin()) {
    state_.Rewind(common_);
  }
  PromptScope(const PromptScope&) = delete;
  PromptScope& operator=(const PromptScope&) = delete;
  ~PromptScope() { state_.Rewind(common_); }

 private:
  State& state_;
  const int64_t common_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_SESSION_STATE_H_
