// The text side of a model directory: tokenizer and chat templates. Either may be missing or not
// understood; the reason is kept and given to whoever needs that part.
#ifndef LLMCORE_LIB_SESSION_TEXT_CODEC_H_
#define LLMCORE_LIB_SESSION_TEXT_CODEC_H_

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/chat/chat_template.h"
#include "lib/tokenizer/tokenizer.h"

namespace llmcore::core {

// Immutable, thread-safe.
class TextCodec {
 public:
  // Reads what `directory` has. Never fails: see tokenizer() and RenderChat().
  static std::shared_ptr<const TextCodec> Load(const std::string& directory);
  // Neither tokenizer nor template, for `reason`.
  static std::shared_ptr<const TextCodec> None(absl::Status reason);

  // The tokenizer, or why there is none.
  const absl::StatusOr<std::shared_ptr<const Tokenizer>>& tokenizer() const { return tokenizer_; }

  // Messages (a JSON array, or an object with `messages` and further variables) -> text.
  // strftime_now is the time of the call, or SOURCE_DATE_EPOCH (seconds, UTC) where that is set.
  absl::StatusOr<std::string> RenderChat(absl::string_view messages_json,
                                         bool add_generation_prompt) const;

 private:
  explicit TextCodec(absl::Status reason) : tokenizer_(reason), chat_templates_(reason) {}

  absl::StatusOr<std::shared_ptr<const Tokenizer>> tokenizer_;
  absl::StatusOr<ChatTemplates> chat_templates_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_TEXT_CODEC_H_
