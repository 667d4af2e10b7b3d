// The messages of a session, and the text that the model's chat template makes of them.
#ifndef LLMCORE_LIB_SESSION_CONVERSATION_H_
#define LLMCORE_LIB_SESSION_CONVERSATION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/session/text_codec.h"

namespace llmcore::core {

struct Message {
  std::string role;
  std::string content;
  uint64_t end = 0;  // length of the session's tokens after this message
};

struct Conversation {
  std::vector<Message> messages;
  // Further variables of the template: the members of a JSON object, or empty.
  std::string variables;
  // The sequence ends with a message that the model has yet to answer.
  bool needs_prompt = false;

  // {"messages": [...], <variables>}
  std::string ToJson() const;

  // The ids of the rendered conversation.
  absl::StatusOr<std::vector<TokenId>> Encode(const TextCodec& text,
                                              bool add_generation_prompt) const;
};

// The members of a JSON object as text, without its braces. Refuses what is no object, and the
// names that a conversation sets itself.
absl::StatusOr<std::string> TemplateVariables(absl::string_view json);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_CONVERSATION_H_
