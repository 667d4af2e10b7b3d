// JSON into values, and values into JSON as Python's json.dumps writes it.
#ifndef LLMCORE_LIB_CHAT_JSON_TEXT_H_
#define LLMCORE_LIB_CHAT_JSON_TEXT_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/json.h"
#include "lib/base/status.h"
#include "lib/chat/runtime.h"
#include "lib/chat/value.h"

namespace llmcore::core::chat {

// Strings are borrowed from `json`.
absl::StatusOr<Value> FromJson(Runtime& runtime, const JsonValue& json);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // none: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

absl::Status AppendJson(Runtime& runtime, const JsonStyle& style, const Value& value,
                        std::string* out);

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_JSON_TEXT_H_
