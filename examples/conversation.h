// A conversation as `chat` holds it: replies that are streamed to standard output, can be stopped,
// and are timed.
#ifndef LLMCORE_EXAMPLES_CONVERSATION_H_
#define LLMCORE_EXAMPLES_CONVERSATION_H_

#include <cstdint>
#include <llmcore/experimental.hpp>
#include <llmcore/llmcore.hpp>
#include <string>
#include <vector>

#include "common/interrupt.h"

namespace examples {

struct Speed {
  uint64_t prompt_tokens = 0;  // those that were new to the session
  double prompt_seconds = 0;   // until the first token of the reply
  uint64_t reply_tokens = 0;
  double reply_seconds = 0;  // from the first token of the reply to the last
};

struct ConversationOptions {
  std::string system;
  llmcore::SamplingParams sampling;
  bool raw = false;  // plain text instead of messages
};

class Conversation {
 public:
  Conversation(const llmcore::Model& model, const ConversationOptions& options,
               InterruptWatcher& interrupts);

  enum class Ending { kComplete, kInterrupted, kContextFull, kMaxTokens };

  // Adds the text, as the user's message or as it is, and streams the reply. After an exception the
  // conversation is as it was before the text, or holds the part of the reply that was printed.
  Ending Reply(const std::string& text);

  // Several replies to the text, best first, none of which becomes part of the conversation: the
  // `count` samples, or the best of a beam search of this width. Ctrl-C: kCancelled is thrown.
  std::vector<llmcore::experimental::Answer> Samples(const std::string& text, uint32_t count);
  std::vector<llmcore::experimental::Answer> Beams(const std::string& text, uint32_t count);

  void Reset();
  void Save(const std::string& path);
  // After an exception the conversation is as it was.
  void Load(const std::string& path);

  // Of the last reply.
  const Speed& speed() const { return speed_; }
  uint64_t length() const { return session_.length(); }

 private:
  llmcore::Session NewSession() const;
  void Add(const std::string& text);
  Ending Stream(llmcore::Generation generation);

  const llmcore::Model& model_;
  const ConversationOptions options_;
  InterruptWatcher& interrupts_;
  llmcore::Session session_;
  Speed speed_;
};

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_CONVERSATION_H_
