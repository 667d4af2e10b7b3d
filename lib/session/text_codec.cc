#include "lib/session/text_codec.h"

#include <cstdlib>
#include <ctime>
#include <utility>

#include "absl/strings/numbers.h"

namespace llmcore::core {
namespace {

absl::StatusOr<int64_t> Now() {
  const char* const fixed = std::getenv("SOURCE_DATE_EPOCH");
  if (fixed == nullptr) return static_cast<int64_t>(std::time(nullptr));
  int64_t seconds = 0;
  if (!absl::SimpleAtoi(fixed, &seconds)) {
    return absl::InvalidArgumentError("SOURCE_DATE_EPOCH is not a number of seconds");
  }
  return seconds;
}

}  // namespace

std::shared_ptr<const TextCodec> TextCodec::Load(const std::string& directory) {
  std::shared_ptr<TextCodec> codec(new TextCodec(absl::UnknownError("")));
  codec->tokenizer_ = Tokenizer::Load(directory);
  codec->chat_templates_ = ChatTemplates::Load(directory);
  return codec;
}

std::shared_ptr<const TextCodec> TextCodec::None(absl::Status reason) {
  return std::shared_ptr<const TextCodec>(new TextCodec(std::move(reason)));
}

absl::StatusOr<std::string> TextCodec::RenderChat(absl::string_view messages_json,
                                                  bool add_generation_prompt) const {
  LLMCORE_RETURN_IF_ERROR(chat_templates_.status());
  LLMCORE_ASSIGN_OR_RETURN(const int64_t now, Now());
  return chat_templates_->Render(messages_json, add_generation_prompt, now);
}

}  // namespace llmcore::core
