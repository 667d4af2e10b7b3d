// What a session holds beside its tokens. Private to lib/session.
#ifndef LLMCORE_LIB_SESSION_SESSION_STATE_H_
#define LLMCORE_LIB_SESSION_SESSION_STATE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/cancel.h"
#include "lib/kv/kv_sequence.h"
#include "lib/sampling/sampler.h"
#include "lib/sampling/stop_matcher.h"
#include "lib/session/conversation.h"
#include "lib/session/session.h"

namespace llmcore::core {

// A reply that is being generated.
struct Generation {
  explicit Generation(SamplingParams resolved) : params(std::move(resolved)), stops(params.stop) {}

  // Adds what decoder and stop strings still hold back.
  void Flush(std::string* text) {
    if (decoder.has_value()) stops.Push(decoder->Flush(), text);
    stops.Finish(text);
  }

  SamplingParams params;
  size_t count = 0;                         // tokens generated
  std::optional<StreamingDecoder> decoder;  // none without a tokenizer
  StopMatcher stops;
  std::string reply;  // all text that was given out
};

struct Session::State {
  explicit State(KvSequence kv) : sequence(std::move(kv)) {}

  // The reply so far, as a message of the conversation; `length`: tokens of the session.
  void FinishReply(uint64_t length) {
    if (conversation.messages.empty() || generation->count == 0) return;
    generation->Flush(&generation->reply);
    std::vector<Message>& messages = conversation.messages;
    if (messages.back().role == "assistant") {  // a reply that was continued
      messages.back().content += generation->reply;
      messages.back().end = length;
    } else {
      messages.push_back({"assistant", generation->reply, length});
    }
  }

  // What a fork of a session with `length` tokens takes over; a running generation is not.
  void CopyHistory(const State& other, uint64_t length) {
    conversation = other.conversation;
    was_conversation = other.was_conversation;
    logits = other.logits;
    logits_position = other.logits_position;
    if (other.generation != nullptr && !conversation.messages.empty() &&
        other.generation->count > 0) {
      conversation.messages.push_back({"assistant", other.generation->reply, length});
    }
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

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_SESSION_STATE_H_
