// Equality with Hugging Face's `tokenizers` (and, for tokenizer.model, with `sentencepiece`) on
// random strings; generate_vectors.py made the hashes.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "lib/base/file.h"
#include "lib/tokenizer/parts.h"
#include "lib/tokenizer/tokenizer.h"
#include "tests/tokenizer/random_strings.h"

namespace llmcore::core {
namespace {

using TokenizerPtr = std::shared_ptr<const Tokenizer>;

std::string DataPath(const std::string& name) {
  return absl::StrCat(LLMCORE_SOURCE_DIR, "/tests/tokenizer/data/", name);
}

std::string Read(const std::string& path) {
  auto text = ReadFile(path, 16 << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : "";
}

// The streaming decoder must give the same text, and only whole characters.
std::string StreamedText(const TokenizerPtr& tokenizer, const std::vector<TokenId>& ids) {
  StreamingDecoder decoder(tokenizer, {});
  std::string all;
  for (const TokenId id : ids) {
    const std::string piece = decoder.Push(id).value();
    EXPECT_TRUE(IsValidUtf8(piece));
    all += piece;
  }
  return all + decoder.Flush();
}

struct Result {
  std::vector<TokenId> ids;
  std::string text;
};

Result RoundTrip(const TokenizerPtr& tokenizer, const std::string& text) {
  Result result;
  const auto ids = tokenizer->Encode(text, {.add_special = false});
  EXPECT_TRUE(ids.ok()) << ids.status() << " for " << text;
  if (!ids.ok()) return result;
  result.ids = *ids;
  result.text = tokenizer->Decode(*ids, {}).value();
  EXPECT_EQ(StreamedText(tokenizer, *ids), result.text);
  return result;
}

void ExpectHashes(const TokenizerPtr& tokenizer, const std::string& name, bool with_text) {
  const std::vector<std::string> lines =
      absl::StrSplit(Read(DataPath(name + ".hashes")), '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 400u);
  SplitMix random(20240607);
  int failures = 0;
  for (size_t line = 0; line < lines.size(); ++line) {
    ResultHash hash;
    std::string texts;
    for (int i = 0; i < kStringsPerLine; ++i) {
      const std::string text = RandomString(&random);
      texts += text + "\n---\n";
      const Result result = RoundTrip(tokenizer, text);
      hash.AddResult(result.ids, with_text && !result.ids.empty() ? result.text : "");
    }
    if (absl::StrFormat("%016x", hash.value()) == lines[line]) continue;
    if (++failures == 1) ADD_FAILURE() << "line " << line << ", one of the texts:\n" << texts;
  }
  EXPECT_EQ(failures, 0);
}

class OwnTokenizerTest : public testing::TestWithParam<const char*> {};

TEST_P(OwnTokenizerTest, EqualsHuggingFace) {
  const std::string name = GetParam();
  const auto tokenizer = Tokenizer::FromJson(Read(DataPath(name + ".json")), "");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  ExpectHashes(*tokenizer, name, /*with_text=*/true);
}

INSTANTIATE_TEST_SUITE_P(Families, OwnTokenizerTest,
                         testing::Values("byte_bpe", "llama3_bpe", "byte_fallback_bpe",
                                         "metaspace_bpe", "suffix_bpe", "unigram",
                                         "byte_fallback_unigram", "wordpiece", "wordlevel"));

class SentencePieceTest : public testing::TestWithParam<const char*> {};

TEST_P(SentencePieceTest, EqualsSentencePiece) {
  const std::string name = GetParam();
  auto parts = PartsFromSentencePiece(Read(DataPath(name + ".model")));
  ASSERT_TRUE(parts.ok()) << parts.status();
  // SentencePiece itself reads control pieces as text.
  for (AddedToken& token : (*parts)->added_tokens) {
    if (token.special) token.pattern = "\x01 none";
  }
  ASSERT_TRUE(FinishParts(parts->get()).ok());
  ExpectHashes(std::make_shared<const Tokenizer>(*std::move(parts)), name, /*with_text=*/false);
}

INSTANTIATE_TEST_SUITE_P(Models, SentencePieceTest,
                         testing::Values("sentencepiece_bpe", "sentencepiece_unigram"));

struct ReferenceModel {
  const char* name;
  const char* path;
};

class ReferenceTokenizerTest : public testing::TestWithParam<ReferenceModel> {};

TEST_P(ReferenceTokenizerTest, EqualsHuggingFace) {
  const std::string directory = JoinPath(LLMCORE_REFERENCE_DIR, GetParam().path);
  if (!DirectoryExists(directory)) GTEST_SKIP() << directory << " is not there";
  const auto tokenizer = Tokenizer::FromJson(Read(JoinPath(directory, "tokenizer.json")), "");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  ExpectHashes(*tokenizer, GetParam().name, /*with_text=*/true);
}

INSTANTIATE_TEST_SUITE_P(
    Published, ReferenceTokenizerTest,
    testing::Values(ReferenceModel{"reference_gpt2", "tokenizers/gpt2"},
                    ReferenceModel{"reference_llama-3.1", "tokenizers/llama-3.1"},
                    ReferenceModel{"reference_llama2", "tokenizers/llama2"},
                    ReferenceModel{"reference_qwen2.5", "tokenizers/qwen2.5"},
                    ReferenceModel{"reference_stories260K", "models/stories260K-f32"},
                    ReferenceModel{"reference_babyllama105", "models/babyllama105-f32"}));

// The text of `json` with the member `part` of its root replaced.
std::string Replaced(const std::string& json, const std::string& part, const std::string& value) {
  const std::string key = absl::StrCat("\"", part, "\":");
  const size_t at = json.find(key);
  EXPECT_NE(at, std::string::npos);
  // Members are written without spaces and the next one is known.
  const std::string next = part == "normalizer"      ? ",\"pre_tokenizer\":"
                           : part == "pre_tokenizer" ? ",\"post_processor\":"
                                                     : ",\"model\":";
  const size_t end = json.find(next, at);
  EXPECT_NE(end, std::string::npos);
  return absl::StrCat(json.substr(0, at), key, value, json.substr(end));
}

TEST(VariantsTest, EveryComponentEqualsHuggingFace) {
  for (const absl::string_view line :
       absl::StrSplit(Read(DataPath("variants.tsv")), '\n', absl::SkipEmpty())) {
    const std::vector<std::string> fields = absl::StrSplit(line, '\t');
    ASSERT_EQ(fields.size(), 3u);
    const std::string base = fields[0] == "decoder" ? "byte_fallback_bpe" : "byte_bpe";
    const auto tokenizer =
        Tokenizer::FromJson(Replaced(Read(DataPath(base + ".json")), fields[0], fields[1]), "");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status() << " in " << line;
    SplitMix random(20240608);
    ResultHash hash;
    for (int i = 0; i < 300; ++i) {
      const Result result = RoundTrip(*tokenizer, RandomString(&random));
      hash.AddResult(result.ids, result.ids.empty() ? "" : result.text);
    }
    EXPECT_EQ(absl::StrFormat("%016x", hash.value()), fields[2]) << line;
  }
}

}  // namespace
}  // namespace llmcore::core
