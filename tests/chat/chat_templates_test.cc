// Chat templates of model directories.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/chat/chat_template.h"

namespace llmcore::core {
namespace {

using testing::HasSubstr;

constexpr absl::string_view kHello = R"([{"role": "user", "content": "Hi"}])";

class ChatTemplatesTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::path(testing::TempDir()) /
                 ("chat_templates_" + std::to_string(getpid()) + "_" +
                  testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& name, absl::string_view text) {
    const std::filesystem::path path = directory_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  absl::StatusOr<ChatTemplates> Load() { return ChatTemplates::Load(directory_.string()); }
  std::string Render(absl::string_view messages, bool add_generation_prompt = false) {
    const absl::StatusOr<ChatTemplates> templates = Load();
    if (!templates.ok()) return templates.status().ToString();
    const absl::StatusOr<std::string> text = templates->Render(messages, add_generation_prompt, 0);
    return text.ok() ? *text : text.status().ToString();
  }

  std::filesystem::path directory_;
};

TEST_F(ChatTemplatesTest, ADirectoryWithoutATemplateIsNotFound) {
  EXPECT_EQ(Load().status().code(), absl::StatusCode::kNotFound);
  Write("tokenizer_config.json", R"({"bos_token": "<s>", "chat_template": null})");
  EXPECT_EQ(Load().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(Load().status().message()), HasSubstr(directory_.string()));
}

TEST_F(ChatTemplatesTest, TheTemplateOfTheConfigSeesMessagesAndTokens) {
  Write("tokenizer_config.json",
        R"({"bos_token": "<s>", "eos_token": {"__type": "AddedToken", "content": "</s>"},
            "pad_token": null, "additional_special_tokens": ["<a>", {"content": "<b>"}],
            "extra_special_tokens": {"image_token": "<image>"},
            "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token is defined }}{{ additional_special_tokens }}{{ image_token }}{{ add_generation_prompt }}{{ tools is none }}"})");
  EXPECT_EQ(Render(kHello, true), "<s>Hi</s>False['<a>', '<b>']<image>TrueTrue");
  EXPECT_EQ(*(*Load()).special_tokens().GetString("eos_token"), "</s>");
}

TEST_F(ChatTemplatesTest, AnObjectGivesVariablesThatWin) {
  Write("tokenizer_config.json",
        R"({"bos_token": "<s>", "chat_template":
            "{{ bos_token }}{{ add_generation_prompt }}{{ messages | length }}{{ extra }}{{ tools }}"})");
  EXPECT_EQ(Render(R"({"messages": []})", true), "<s>True0");
  EXPECT_EQ(Render(R"({"messages": [1], "bos_token": "B", "add_generation_prompt": false,
                       "extra": {"k": [1.0]}, "tools": []})",
                   true),
            "BFalse1{'k': [1.0]}[]");
}

TEST_F(ChatTemplatesTest, TheJinjaFileWinsOverTheConfigAndThatOverTheProcessor) {
  Write("chat_template.json", R"({"chat_template": "processor"})");
  EXPECT_EQ(Render(kHello), "processor");
  Write("tokenizer_config.json", R"({"bos_token": "<s>", "chat_template": "config"})");
  EXPECT_EQ(Render(kHello), "config");
  Write("chat_template.jinja", "file {{ bos_token }}\n");
  EXPECT_EQ(Render(kHello), "file <s>");
}

TEST_F(ChatTemplatesTest, ToolsChooseTheTemplateForTools) {
  Write("tokenizer_config.json",
        R"({"chat_template": [{"name": "default", "template": "plain"},
                              {"name": "rag", "template": "rag"},
                              {"name": "tool_use", "template": "tools {{ tools | length }}"}]})");
  EXPECT_EQ(Render(kHello), "plain");
  EXPECT_EQ(Render(R"({"messages": [], "tools": [{}]})"), "tools 1");
  EXPECT_EQ(Render(R"({"messages": [], "tools": null})"), "plain");
  Write("additional_chat_templates/tool_use.jinja", "second file");
  Write("chat_template.jinja", "first file");
  EXPECT_EQ(Render(kHello), "first file");
  EXPECT_EQ(Render(R"({"messages": [], "tools": []})"), "second file");
}

TEST_F(ChatTemplatesTest, OldDirectoriesKeepTheirTokensInAMap) {
  Write("special_tokens_map.json", R"({"bos_token": "<map>", "eos_token": {"content": "</map>"}})");
  Write("tokenizer_config.json",
        R"({"bos_token": "<s>", "chat_template": "{{ bos_token }}{{ eos_token }}"})");
  EXPECT_EQ(Render(kHello), "<s></map>");
}

TEST_F(ChatTemplatesTest, ErrorsNameTheFile) {
  Write("tokenizer_config.json", R"({"chat_template": "{% if %}"})");
  EXPECT_THAT(Render(kHello), HasSubstr("tokenizer_config.json: chat template: line 1"));
  Write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_THAT(Render(kHello), HasSubstr("tokenizer_config.json"));
  Write("tokenizer_config.json", "{");
  EXPECT_THAT(Render(kHello), HasSubstr("tokenizer_config.json"));
  Write("chat_template.jinja", "ok");
  Write("tokenizer_config.json", "{}");
  EXPECT_THAT(Render("nonsense"), HasSubstr("chat messages"));
  EXPECT_THAT(Render("5"), HasSubstr("must be an array"));
  EXPECT_THAT(Render("{}"), HasSubstr("\"messages\" must be an array"));
  EXPECT_THAT(Render("null"), HasSubstr("they are null"));
  EXPECT_THAT(Render(R"({"messages": 1})"), HasSubstr("\"messages\" must be an array"));
}

TEST_F(ChatTemplatesTest, NumbersBeyond64BitsAreRefusedWhereTheyAreRead) {
  Write("chat_template.jinja", "{{ 'x' if 1 else messages }}{{ used if used is defined }}");
  EXPECT_EQ(Render(R"({"messages": [12345678901234567890]})"), "x");
  EXPECT_THAT(Render(R"({"messages": [], "used": 12345678901234567890})"),
              HasSubstr("a number beyond 64 bits is not supported"));
}

TEST_F(ChatTemplatesTest, OneTemplateRendersInManyThreads) {
  Write(
      "chat_template.jinja",
      "{% macro m(x) %}<{{ x.role }}>{{ x.content }}{% endmacro %}{% set ns = namespace(n=0) %}"
      "{% for x in messages %}{{ m(x) }}{% set ns.n = ns.n + loop.index %}{% endfor %}{{ ns.n }}");
  const absl::StatusOr<ChatTemplates> templates = Load();
  ASSERT_TRUE(templates.ok()) << templates.status();
  std::vector<std::thread> threads;
  std::vector<int> right(8, 0);
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 50; ++i) {
        const std::string content = absl::StrCat(thread, "-", i);
        const auto text = templates->Render(
            absl::StrCat(R"([{"role": "user", "content": ")", content, "\"}]"), false, 0);
        if (text.ok() && *text == absl::StrCat("<user>", content, "1")) ++right[thread];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(right, testing::Each(50));
}

}  // namespace
}  // namespace llmcore::core
