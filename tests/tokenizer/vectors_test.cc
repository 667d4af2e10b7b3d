// The published vectors: texts parted by lines `__ggml_vocab_test__`, and their ids, a line a text.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "lib/base/file.h"
#include "lib/tokenizer/tokenizer.h"

namespace llmcore::core {
namespace {

class VectorsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    directory_ = JoinPath(JoinPath(LLMCORE_REFERENCE_DIR, "tokenizers"), GetParam());
    if (!DirectoryExists(directory_)) GTEST_SKIP() << directory_ << " is not there";
  }
  std::string Read(const std::string& name) const {
    return ReadFile(JoinPath(directory_, name), 1 << 20).value();
  }

  std::string directory_;
};

std::vector<TokenId> ParseIds(absl::string_view line) {
  std::vector<TokenId> ids;
  for (const absl::string_view word : absl::StrSplit(line, ' ', absl::SkipEmpty())) {
    TokenId id = -1;
    EXPECT_TRUE(absl::SimpleAtoi(word, &id)) << line;
    ids.push_back(id);
  }
  return ids;
}

TEST_P(VectorsTest, EveryLineEncodesAsPublished) {
  const std::vector<std::string> texts =
      absl::StrSplit(Read("vectors.inp"), "\n__ggml_vocab_test__\n");
  const std::vector<std::string> lines = absl::StrSplit(Read("vectors.out"), '\n');
  ASSERT_EQ(texts.size(), lines.size());
  const auto tokenizer = Tokenizer::Load(directory_);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto ids = (*tokenizer)->Encode(texts[i], {.add_special = false});
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_EQ(*ids, ParseIds(lines[i])) << "text " << i << ": " << texts[i];
    const auto text = (*tokenizer)->Decode(*ids, {});
    ASSERT_TRUE(text.ok()) << text.status();
    EXPECT_EQ(*text, texts[i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Published, VectorsTest,
                         testing::Values("gpt2", "llama-3.1", "llama2", "qwen2.5"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           for (char& c : name) {
                             if (c == '-' || c == '.') c = '_';
                           }
                           return name;
                         });

}  // namespace
}  // namespace llmcore::core
