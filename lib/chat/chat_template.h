// Chat templates: the Jinja programs that models ship to turn messages into the text they were
// trained on. The language is Jinja2's as transformers configures it; what is not understood is
// refused by name, never guessed, and a hostile template cannot run, grow or recurse for ever.
#ifndef LLMCORE_LIB_CHAT_CHAT_TEMPLATE_H_
#define LLMCORE_LIB_CHAT_CHAT_TEMPLATE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/json.h"
#include "lib/base/status.h"

namespace llmcore::core {

namespace chat {
class Template;
}  // namespace chat

// What one rendering may use. Passing a limit is RESOURCE_EXHAUSTED, naming the limit and the line.
struct TemplateLimits {
  // Expressions and statements evaluated, items looped over, and 64-byte pieces of text handled.
  // A long conversation takes some 100,000; ten million take about a quarter of a second.
  uint64_t max_steps = 10'000'000;
  // Levels of nested statements and expressions while rendering, with those of the macros and
  // recursive loops that they call; the syntax alone may take half of them. A level takes up to
  // 1.2 KB of the thread's stack, so that 400 fit the 512 KB that some systems give a thread.
  uint32_t max_depth = 400;
  // Bytes of the rendered text.
  uint64_t max_output_bytes = uint64_t{64} << 20;
  // Bytes of all values that the rendering makes: strings, lists, dictionaries. They are freed
  // together at its end, so this bounds its memory (beside the output).
  uint64_t max_value_bytes = uint64_t{128} << 20;
  // Bytes of the template's source.
  uint64_t max_source_bytes = uint64_t{4} << 20;
};

// A parsed template. Immutable, cheap to copy, safe to render from several threads at once.
class ChatTemplate {
 public:
  // INVALID_ARGUMENT with the line for a syntax error, UNIMPLEMENTED naming a construct of Jinja2
  // that this library does not support.
  static absl::StatusOr<ChatTemplate> Parse(absl::string_view source,
                                            const TemplateLimits& limits = {});

  // `variables` are the template's globals: messages, add_generation_prompt, tools, bos_token and
  // whatever else it reads. `now_unix_seconds` is the time of strftime_now, in UTC.
  absl::StatusOr<std::string> Render(const JsonObject& variables, int64_t now_unix_seconds) const;
  // The same with variables from several objects; the first that has one gives it.
  absl::StatusOr<std::string> Render(std::span<const JsonObject* const> variables,
                                     int64_t now_unix_seconds) const;

 private:
  explicit ChatTemplate(std::shared_ptr<const chat::Template> parsed)
      : parsed_(std::move(parsed)) {}

  std::shared_ptr<const chat::Template> parsed_;
};

// The chat templates of a model directory, with the special tokens that they refer to.
class ChatTemplates {
 public:
  // Takes the templates of chat_template.jinja when that exists, else those of
  // tokenizer_config.json, else that of chat_template.json. NOT_FOUND when there is none.
  static absl::StatusOr<ChatTemplates> Load(const std::string& directory,
                                            const TemplateLimits& limits = {});

  // `messages_json` is an array of messages, or an object with `messages`, and optionally
  // `add_generation_prompt`, `tools` and further variables, which win over the argument and over
  // the special tokens. With an array `tools` and `documents` are none, as transformers passes
  // them; with an object what it leaves out is undefined. With tools a template named "tool_use"
  // is preferred to "default".
  absl::StatusOr<std::string> Render(absl::string_view messages_json, bool add_generation_prompt,
                                     int64_t now_unix_seconds) const;

  // Special tokens by the name of their variable, as (name, JSON value) in the order of the file.
  const JsonObject& special_tokens() const { return *special_tokens_; }

 private:
  ChatTemplates() = default;

  std::optional<ChatTemplate> default_template_;
  std::optional<ChatTemplate> tool_use_template_;
  std::shared_ptr<const JsonObject> special_tokens_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_CHAT_CHAT_TEMPLATE_H_
