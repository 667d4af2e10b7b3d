// The source of a chat template, which is parsed and rendered with a conversation. Limits are
// small, so that no input is slow; whatever happens, the text is UTF-8 and within its limit.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "lib/base/json.h"
#include "lib/base/utf8.h"
#include "lib/chat/chat_template.h"

namespace {

constexpr absl::string_view kVariables = R"({
  "messages": [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "Gr\u00fc\u00dfe \ud83d\ude00"},
    {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function",
      "function": {"name": "f", "arguments": {"x": 1.5, "y": [true, null]}}}]},
    {"role": "tool", "content": "{}", "tool_call_id": "1"}],
  "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object",
    "properties": {"x": {"type": "number"}}}}}],
  "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace llmcore::core;
  static const JsonDocument* const variables = new JsonDocument(*ParseJson(kVariables));
  TemplateLimits limits;
  limits.max_steps = 20000;
  limits.max_output_bytes = 1 << 16;
  limits.max_value_bytes = 1 << 20;
  const auto parsed =
      ChatTemplate::Parse(absl::string_view(reinterpret_cast<const char*>(data), size), limits);
  if (!parsed.ok()) return 0;
  const auto text = parsed->Render(*variables->if_object(), 1752148800);
  if (!text.ok()) {
    if (text.status().message().empty()) std::abort();
    return 0;
  }
  if (text->size() > limits.max_output_bytes || !IsValidUtf8(*text)) std::abort();
  return 0;
}
