#include <filesystem>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

// A case of examples/models/golden.json.
constexpr std::string_view kMessages = R"([{"role": "user", "content": "1.1+2.3=?"}])";
constexpr std::string_view kRendered = "<|bos|><|user|>1.1+2.3=?<|end|><|assistant|>";
const std::vector<llmcore_token> kRenderedIds = {506, 509, 49, 46, 49,  43, 50,
                                                 46,  51,  61, 63, 511, 510};

class TokenizerTest : public testing::Test {
 protected:
  void SetUp() override {
    llmcore_tokenizer* tokenizer = nullptr;
    ASSERT_TRUE(Works(llmcore_tokenizer_load(kModelPath, strlen(kModelPath), &tokenizer)));
    tokenizer_.reset(tokenizer);
  }

  std::vector<llmcore_token> Encode(std::string_view text, uint32_t flags) {
    llmcore_tokens* ids = nullptr;
    EXPECT_TRUE(
        Works(llmcore_tokenizer_encode(tokenizer_.get(), text.data(), text.size(), flags, &ids)));
    const Tokens owned(ids);
    const llmcore_token* data = llmcore_tokens_data(ids);
    return std::vector<llmcore_token>(data, data + llmcore_tokens_size(ids));
  }

  std::string Decode(const std::vector<llmcore_token>& ids, uint32_t flags) {
    llmcore_text* text = nullptr;
    EXPECT_TRUE(
        Works(llmcore_tokenizer_decode(tokenizer_.get(), ids.data(), ids.size(), flags, &text)));
    return Take(text);
  }

  Tokenizer tokenizer_;
};

TEST_F(TokenizerTest, SpecialTokensAreReadOnlyWhenAskedFor) {
  EXPECT_EQ(Encode(kRendered, LLMCORE_ENCODE_PARSE_SPECIAL), kRenderedIds);
  const std::vector<llmcore_token> plain = Encode(kRendered, 0);
  EXPECT_GT(plain.size(), kRenderedIds.size());
  for (const llmcore_token id : plain) EXPECT_LT(id, 506);
  EXPECT_EQ(Decode(plain, 0), kRendered);
}

TEST_F(TokenizerTest, DecodesWithAndWithoutSpecialTokens) {
  EXPECT_EQ(Decode(kRenderedIds, 0), kRendered);
  EXPECT_EQ(Decode(kRenderedIds, LLMCORE_DECODE_SKIP_SPECIAL), "1.1+2.3=?");
  EXPECT_EQ(Decode({}, 0), "");
}

TEST_F(TokenizerTest, EmptyTextHasNoTokens) {
  EXPECT_TRUE(Encode("", 0).empty());
  EXPECT_TRUE(Encode(std::string_view(), 0).empty());
}

TEST_F(TokenizerTest, TextWithZeroBytesSurvives) {
  const std::string_view text("a\0b", 3);
  EXPECT_EQ(Decode(Encode(text, 0), 0), text);
}

TEST_F(TokenizerTest, RefusesWhatItDoesNotTake) {
  llmcore_tokens* ids = Poison<llmcore_tokens>();
  llmcore_text* text = Poison<llmcore_text>();
  const llmcore_token negative = -1;
  EXPECT_TRUE(Fails(llmcore_tokenizer_encode(tokenizer_.get(), "a", 1, 4, &ids),
                    LLMCORE_INVALID_ARGUMENT, "flags"));
  EXPECT_EQ(ids, nullptr);
  EXPECT_TRUE(Fails(llmcore_tokenizer_encode(tokenizer_.get(), "a\xff", 2, 0, &ids),
                    LLMCORE_INVALID_ARGUMENT, "offset 1"));
  EXPECT_TRUE(Fails(llmcore_tokenizer_decode(tokenizer_.get(), nullptr, 1, 0, &text),
                    LLMCORE_INVALID_ARGUMENT, "ids"));
  EXPECT_TRUE(Fails(llmcore_tokenizer_decode(tokenizer_.get(), &negative, 1, 0, &text),
                    LLMCORE_INVALID_ARGUMENT));
  EXPECT_TRUE(Fails(llmcore_tokenizer_decode(tokenizer_.get(), nullptr, 0, 2, &text),
                    LLMCORE_INVALID_ARGUMENT, "flags"));
  EXPECT_TRUE(Fails(llmcore_tokenizer_render_chat(tokenizer_.get(), "[]", 2, 2, &text),
                    LLMCORE_INVALID_ARGUMENT, "flags"));
  EXPECT_TRUE(Fails(llmcore_tokenizer_render_chat(tokenizer_.get(), "[{", 2, 0, &text),
                    LLMCORE_INVALID_ARGUMENT));
  EXPECT_EQ(text, nullptr);
}

TEST_F(TokenizerTest, RendersMessages) {
  llmcore_text* text = nullptr;
  ASSERT_TRUE(
      Works(llmcore_tokenizer_render_chat(tokenizer_.get(), kMessages.data(), kMessages.size(),
                                          LLMCORE_RENDER_ADD_GENERATION_PROMPT, &text)));
  EXPECT_EQ(Take(text), kRendered);
  ASSERT_TRUE(Works(llmcore_tokenizer_render_chat(tokenizer_.get(), kMessages.data(),
                                                  kMessages.size(), 0, &text)));
  EXPECT_EQ(Take(text), "<|bos|><|user|>1.1+2.3=?<|end|>");
}

TEST_F(TokenizerTest, ATemplateThatRaisesGivesItsWords) {
  const std::string_view messages = R"([{"role": "parrot", "content": "hello"}])";
  llmcore_text* text = Poison<llmcore_text>();
  EXPECT_TRUE(Fails(
      llmcore_tokenizer_render_chat(tokenizer_.get(), messages.data(), messages.size(), 0, &text),
      LLMCORE_INVALID_ARGUMENT, "parrot"));
  EXPECT_EQ(text, nullptr);
}

TEST_F(TokenizerTest, KnowsItsVocabulary) {
  EXPECT_EQ(llmcore_tokenizer_vocabulary_size(tokenizer_.get()), 512u);
  EXPECT_EQ(llmcore_tokenizer_bos_token(tokenizer_.get()), 506);
  llmcore_text* text = nullptr;
  ASSERT_TRUE(Works(llmcore_tokenizer_token_text(tokenizer_.get(), 511, &text)));
  EXPECT_EQ(Take(text), "<|end|>");
  EXPECT_TRUE(Fails(llmcore_tokenizer_token_text(tokenizer_.get(), 512, &text), LLMCORE_NOT_FOUND));
  EXPECT_EQ(text, nullptr);
}

TEST_F(TokenizerTest, OfAModelEqualsTheOneLoadedAlone) {
  llmcore_tokenizer* of_model = nullptr;
  ASSERT_TRUE(Works(llmcore_tokenizer_of(SharedModel(), &of_model)));
  tokenizer_.reset(of_model);
  EXPECT_EQ(Encode(kRendered, LLMCORE_ENCODE_PARSE_SPECIAL), kRenderedIds);
}

TEST(TokenizerDirectoryTest, ATokenizerThatIsMissingIsTheErrorOfTheCallThatNeedsIt) {
  const std::string path = testing::TempDir() + "llmcore_capi_no_tokenizer";
  std::filesystem::create_directory(path);
  llmcore_tokenizer* tokenizer = nullptr;
  ASSERT_TRUE(Works(llmcore_tokenizer_load(path.data(), path.size(), &tokenizer)));
  const Tokenizer owned(tokenizer);
  llmcore_tokens* ids = Poison<llmcore_tokens>();
  llmcore_text* text = Poison<llmcore_text>();
  EXPECT_TRUE(Fails(llmcore_tokenizer_encode(tokenizer, "a", 1, 0, &ids), LLMCORE_NOT_FOUND));
  EXPECT_TRUE(
      Fails(llmcore_tokenizer_render_chat(tokenizer, "[]", 2, 0, &text), LLMCORE_NOT_FOUND));
  EXPECT_EQ(llmcore_tokenizer_vocabulary_size(tokenizer), 0u);
  EXPECT_EQ(llmcore_tokenizer_eos_token(tokenizer), LLMCORE_NO_TOKEN);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace llmcore::capi_test
