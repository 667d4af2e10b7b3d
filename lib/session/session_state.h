// What a session holds beside its tokens. Private to lib/session.
#ifndef LLMCORE_LIB_SESSION_SESSION_STATE_H_
#define LLMCORE_LIB_SESSION_SESSION_STATE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/cancel.h"
#include "lib/kv/kv_sequence.h"
#include "lib/sampling/sampler.h"
#include "lib/session/conversation.h"
#include "lib/session/generation.h"
#include "lib/session/session.h"

namespace llmcore::core {

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

  // Forgets what was computed behind the first `length` tokens.
  void Rewind(int64_t length) {
    sequence.Truncate(length);
    if (logits_position >= length) logits_position = -1;
  }

  KvSequence sequence;
  std::vector<float> logits;     // [vocabulary] of `logits_position`
  int64_t logits_position = -1;  // -1: none
  Conversation conversation;
  bool was_conversation = false;  // the tokens are those of messages, some perhaps truncated
  std::unique_ptr<Generation> generation;
  std::unique_ptr<Sampler> sampler;  // made by the first generation
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
