// The template language, case by case against what Jinja2 renders (language_cases.json, written by
// make_language_cases.py).
#include <string>

#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/chat/chat_template.h"

namespace llmcore::core {
namespace {

constexpr int64_t kNow = 1752148800;  // 2025-07-10 12:00:00 UTC, as in the script

TEST(TemplateLanguageTest, AgreesWithJinja2) {
  const auto file = ReadJsonObject(JoinPath(LLMCORE_SOURCE_DIR, "tests/chat/language_cases.json"));
  ASSERT_TRUE(file.ok()) << file.status();
  const JsonObject& variables = **file->GetObject("variables");
  for (const JsonValue& entry : **file->GetArray("cases")) {
    const JsonObject& item = *entry.if_object();
    const std::string name(*item.GetString("name"));
    const absl::StatusOr<ChatTemplate> parsed = ChatTemplate::Parse(*item.GetString("template"));
    const absl::StatusOr<std::string> text =
        parsed.ok() ? parsed->Render(variables, kNow) : parsed.status();
    if (item.Find("error") != nullptr) {
      EXPECT_FALSE(text.ok()) << name << "\nrenders as: " << *text << "\nJinja2 raises "
                              << *item.GetString("error");
    } else if (text.ok()) {
      EXPECT_EQ(*text, *item.GetString("expected")) << name;
    } else {
      ADD_FAILURE() << name << "\n" << text.status();
    }
  }
}

}  // namespace
}  // namespace llmcore::core
