// The files of a model directory, cut off at each byte as a broken download leaves them: an error
// that names the file, or, where what is left has a meaning of its own, any answer at all but a
// crash.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

namespace fs = std::filesystem;

class TruncationTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(directory_);
    fs::copy(kModelPath, directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  llmcore_error* PlanModel() const {
    llmcore_plan* plan = nullptr;
    llmcore_error* error = llmcore_model_plan(directory_.data(), directory_.size(), nullptr, &plan);
    llmcore_plan_destroy(plan);
    return error;
  }

  llmcore_error* Encode() const {
    llmcore_tokenizer* tokenizer = nullptr;
    llmcore_tokens* ids = nullptr;
    llmcore_error* error = llmcore_tokenizer_load(directory_.data(), directory_.size(), &tokenizer);
    if (error == nullptr) error = llmcore_tokenizer_encode(tokenizer, "hello", 5, 0, &ids);
    llmcore_tokens_destroy(ids);
    llmcore_tokenizer_destroy(tokenizer);
    return error;
  }

  llmcore_error* RenderChat() const {
    constexpr std::string_view kMessages = R"([{"role": "user", "content": "hello"}])";
    llmcore_tokenizer* tokenizer = nullptr;
    llmcore_text* text = nullptr;
    llmcore_error* error = llmcore_tokenizer_load(directory_.data(), directory_.size(), &tokenizer);
    if (error == nullptr) {
      error = llmcore_tokenizer_render_chat(tokenizer, kMessages.data(), kMessages.size(),
                                            LLMCORE_RENDER_ADD_GENERATION_PROMPT, &text);
    }
    llmcore_text_destroy(text);
    llmcore_tokenizer_destroy(tokenizer);
    return error;
  }

  // Calls `check` with `file` cut down to each size below its first `bytes`, the large ones first;
  // of long files to some of the sizes.
  template <typename Check>
  void ForEachPrefix(const std::string& file, uintmax_t bytes, Check check) {
    const fs::path path = fs::path(directory_) / file;
    uintmax_t size = std::min(bytes, fs::file_size(path));
    const uintmax_t step = size > 8192 ? 7 : 1;
    int cases = 0;
    while (size > 0) {
      size -= std::min(size, step);
      fs::resize_file(path, size);
      SCOPED_TRACE(testing::Message() << file << " of " << size << " bytes");
      check();
      if (testing::Test::HasFailure()) return;
      ++cases;
    }
    EXPECT_GT(cases, 50);
  }

  // The size of a JSON file without the white space at its end, which nobody misses.
  uintmax_t JsonSize(const std::string& file) const {
    std::ifstream in(fs::path(directory_) / file, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    return text.find_last_of('}') + 1;
  }

  const std::string directory_ = testing::TempDir() + "llmcore_truncation";
};

testing::AssertionResult NamesFile(llmcore_error* error, std::string_view file) {
  const Error owned(error);
  if (error == nullptr) return testing::AssertionFailure() << "succeeded";
  const std::string_view message = llmcore_error_message(error);
  if (message.find(file) == std::string_view::npos) {
    return testing::AssertionFailure() << "no " << file << " in: " << message;
  }
  return testing::AssertionSuccess();
}

TEST_F(TruncationTest, Config) {
  ForEachPrefix("config.json", JsonSize("config.json"),
                [this] { EXPECT_TRUE(NamesFile(PlanModel(), "config.json")); });
}

TEST_F(TruncationTest, HeaderOfTheWeights) {
  // The header ends before 8 KiB; the data behind it is missing in all cases.
  ForEachPrefix("model.safetensors", 8192,
                [this] { EXPECT_TRUE(NamesFile(PlanModel(), "model.safetensors")); });
}

TEST_F(TruncationTest, IndexOfShards) {
  fs::rename(directory_ + "/model.safetensors", directory_ + "/model-00001-of-00001.safetensors");
  {
    std::ofstream index(directory_ + "/model.safetensors.index.json");
    index << R"({"metadata": {"total_size": 1706240}, "weight_map": {)"
          << R"("model.embed_tokens.weight": "model-00001-of-00001.safetensors",)"
          << R"("model.norm.weight": "model-00001-of-00001.safetensors"}})";
  }
  ForEachPrefix("model.safetensors.index.json", JsonSize("model.safetensors.index.json"),
                [this] { EXPECT_TRUE(NamesFile(PlanModel(), "model.safetensors.index.json")); });
}

TEST_F(TruncationTest, TokenizerJson) {
  ForEachPrefix("tokenizer.json", JsonSize("tokenizer.json"),
                [this] { EXPECT_TRUE(NamesFile(Encode(), "tokenizer.json")); });
}

TEST_F(TruncationTest, TokenizerConfig) {
  ForEachPrefix("tokenizer_config.json", JsonSize("tokenizer_config.json"),
                [this] { EXPECT_TRUE(NamesFile(RenderChat(), "tokenizer_config.json")); });
}

TEST_F(TruncationTest, SmallFilesThatMayBeMissing) {
  ForEachPrefix("special_tokens_map.json", 1 << 20,
                [this] { llmcore_error_destroy(RenderChat()); });
  ForEachPrefix("generation_config.json", 1 << 20, [this] { llmcore_error_destroy(PlanModel()); });
}

TEST_F(TruncationTest, ChatTemplate) {
  {
    std::ofstream file(directory_ + "/chat_template.jinja");
    file << "{%- for message in messages %}{%- if message['role'] not in ['user', \"system\"] %}"
         << "{{- raise_exception('role ' + message.role | trim ~ 1.5) }}{%- endif %}"
         << "{{- '<|' + message['role'] + '|>' + message.content[:-1] }}{# note #}{%- endfor %}"
         << "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif -%}";
  }
  ForEachPrefix("chat_template.jinja", 1 << 20, [this] { llmcore_error_destroy(RenderChat()); });
}

}  // namespace
}  // namespace llmcore::capi_test
