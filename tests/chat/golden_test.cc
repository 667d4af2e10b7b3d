// Published chat templates, rendered by Jinja2 in transformers' environment.
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/chat/chat_template.h"

namespace llmcore::core {
namespace {

constexpr int64_t kNow =
    1752148800;  // 2025-07-10 12:00:00 UTC, where the goldens stopped the clock

std::string ReferencePath(absl::string_view name) {
  return JoinPath(JoinPath(LLMCORE_REFERENCE_DIR, "chat_templates"), name);
}

absl::StatusOr<std::string> RenderSource(absl::string_view source, const JsonObject& variables) {
  absl::StatusOr<ChatTemplate> parsed = ChatTemplate::Parse(source);
  if (!parsed.ok()) return parsed.status();
  return parsed->Render(variables, kNow);
}

// What of the message of an exception of Python ours must have too.
std::string MessageOf(absl::string_view error) {
  const size_t colon = error.find(": ");
  return std::string(colon == absl::string_view::npos ? error : error.substr(colon + 2));
}

TEST(ChatTemplateGoldenTest, RendersPublishedTemplatesAsJinja2Does) {
  const std::string path = ReferencePath("golden.json");
  if (!FileExists(path)) GTEST_SKIP() << "no reference data at " << path;
  const auto golden = ReadJsonObject(path);
  ASSERT_TRUE(golden.ok()) << golden.status();
  const JsonObject& contexts = **golden->GetObject("contexts");
  int renderings = 0;
  for (const JsonValue& entry : **golden->GetArray("templates")) {
    const JsonObject& item = *entry.if_object();
    const std::string name(*item.GetString("name"));
    for (const auto& [context, rendering] : (*item.GetObject("renderings"))->members()) {
      ++renderings;
      const absl::StatusOr<std::string> text =
          RenderSource(*item.GetString("template"), **contexts.GetObject(context));
      const JsonObject& wanted = *rendering.if_object();
      if (wanted.Find("error") != nullptr) {
        EXPECT_FALSE(text.ok()) << name << " " << context << ": should be an error";
        EXPECT_THAT(std::string(text.status().message()),
                    testing::HasSubstr(MessageOf(*wanted.GetString("error"))))
            << name << " " << context;
      } else if (text.ok()) {
        EXPECT_EQ(*text, *wanted.GetString("expected")) << name << " " << context;
      } else {
        ADD_FAILURE() << name << " " << context << ": " << text.status();
      }
    }
  }
  EXPECT_EQ(renderings, 220);
}

TEST(ChatTemplateGoldenTest, AgreesOnTheLanguageCases) {
  const std::string path = ReferencePath("language.json");
  if (!FileExists(path)) GTEST_SKIP() << "no reference data at " << path;
  const absl::StatusOr<std::string> text = ReadFile(path, 1 << 24);
  ASSERT_TRUE(text.ok()) << text.status();
  const auto cases = ParseJson(*text);
  ASSERT_TRUE(cases.ok()) << cases.status();
  for (const JsonValue& entry : *cases->if_array()) {
    const JsonObject& item = *entry.if_object();
    const absl::StatusOr<std::string> rendered =
        RenderSource(*item.GetString("template"), **item.GetObject("data"));
    ASSERT_TRUE(rendered.ok()) << *item.GetString("name") << ": " << rendered.status();
    EXPECT_EQ(*rendered, *item.GetString("expected")) << *item.GetString("name");
  }
}

}  // namespace
}  // namespace llmcore::core
