#include "lib/session/conversation.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "lib/base/json.h"

namespace llmcore::core {

std::string Conversation::ToJson() const {
  std::string json = "{\"messages\": [";
  for (size_t i = 0; i < messages.size(); ++i) {
    absl::StrAppend(&json, i == 0 ? "" : ", ", "{\"role\": ");
    AppendJsonString(messages[i].role, &json);
    absl::StrAppend(&json, ", \"content\": ");
    AppendJsonString(messages[i].content, &json);
    absl::StrAppend(&json, "}");
  }
  absl::StrAppend(&json, "]", variables.empty() ? "" : ", ", variables, "}");
  return json;
}

absl::StatusOr<std::vector<TokenId>> Conversation::Encode(const TextCodec& text,
                                                          bool add_generation_prompt) const {
  LLMCORE_RETURN_IF_ERROR(text.tokenizer().status());
  LLMCORE_ASSIGN_OR_RETURN(const std::string rendered,
                           text.RenderChat(ToJson(), add_generation_prompt));
  // The template writes the special tokens itself.
  EncodeOptions options;
  options.add_special = false;
  options.parse_special = true;
  return (*text.tokenizer())->Encode(rendered, options);
}

absl::StatusOr<std::string> TemplateVariables(absl::string_view json) {
  LLMCORE_ASSIGN_OR_RETURN(const JsonDocument value, ParseJson(json));
  LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const object, value.AsObject());
  for (const absl::string_view reserved : {"messages", "add_generation_prompt"}) {
    if (object->Find(reserved) != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", reserved, "\" is set by the session itself"));
    }
  }
  absl::string_view members = absl::StripAsciiWhitespace(json);
  members = absl::StripAsciiWhitespace(members.substr(1, members.size() - 2));
  return std::string(members);
}

}  // namespace llmcore::core
