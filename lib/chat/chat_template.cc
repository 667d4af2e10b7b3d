#include "lib/chat/chat_template.h"

#include "lib/chat/ast.h"
#include "lib/chat/interpreter.h"
#include "lib/chat/parser.h"

namespace llmcore::core {
namespace {

constexpr absl::string_view kContext = "chat template";

}  // namespace

absl::StatusOr<ChatTemplate> ChatTemplate::Parse(absl::string_view source,
                                                 const TemplateLimits& limits) {
  auto parsed = chat::ParseTemplate(source, limits);
  if (!parsed.ok()) return Annotate(parsed.status(), kContext);
  return ChatTemplate(*std::move(parsed));
}

absl::StatusOr<std::string> ChatTemplate::Render(const JsonObject& variables,
                                                 int64_t now_unix_seconds) const {
  const JsonObject* const layers[] = {&variables};
  return Render(layers, now_unix_seconds);
}

absl::StatusOr<std::string> ChatTemplate::Render(std::span<const JsonObject* const> variables,
                                                 int64_t now_unix_seconds) const {
  chat::Interpreter interpreter(*parsed_, variables, now_unix_seconds);
  absl::StatusOr<std::string> text = interpreter.Run();
  if (!text.ok()) return Annotate(text.status(), kContext);
  return text;
}

}  // namespace llmcore::core
