#include "lib/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "lib/base/file.h"
#include "lib/tokenizer/parts.h"

namespace llmcore::core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using TokenizerPtr = std::shared_ptr<const Tokenizer>;

// A byte-level tokenizer with one of each kind of added token.
constexpr char kJson[] = R"({"version":"1.0","added_tokens":[
  {"id":20,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},
  {"id":21,"content":"<l>","single_word":false,"lstrip":true,"rstrip":false,"normalized":false,"special":false},
  {"id":22,"content":"<r>","single_word":false,"lstrip":false,"rstrip":true,"normalized":false,"special":false},
  {"id":23,"content":"wo","single_word":true,"lstrip":false,"rstrip":false,"normalized":false,"special":false},
  {"id":24,"content":"<s><s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
 "normalizer":null,
 "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},
 "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},
  {"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[20],"tokens":["<s>"]}}},
 "decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
 "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,
  "end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,
  "vocab":{"a":0,"b":1,"Ġ":2,"ab":3,"Ġa":4,"abab":5,"w":6,"o":7,"<":8,"s":9,">":10,"ð":11,"Ł":12,"ĺ":13,"Ģ":14},
  "merges":["a b","ab ab","Ġ a"]}})";

TokenizerPtr Make(absl::string_view json = kJson, absl::string_view config = "") {
  auto tokenizer = Tokenizer::FromJson(json, config);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *tokenizer : nullptr;
}

std::vector<TokenId> Encode(const TokenizerPtr& tokenizer, absl::string_view text,
                            bool parse_special = true) {
  const auto ids = tokenizer->Encode(text, {.add_special = false, .parse_special = parse_special});
  EXPECT_TRUE(ids.ok()) << ids.status();
  return ids.ok() ? *ids : std::vector<TokenId>();
}

TEST(TokenizerTest, AddedTokensTakeWhatTheirFlagsSay) {
  const TokenizerPtr tokenizer = Make();
  EXPECT_THAT(Encode(tokenizer, "a <l> a"), ElementsAre(0, 21, 4));
  EXPECT_THAT(Encode(tokenizer, "a <r> a"), ElementsAre(0, 2, 22, 0));
  EXPECT_THAT(Encode(tokenizer, "wo wow"), ElementsAre(23, 2, 6, 7, 6));
  EXPECT_THAT(Encode(tokenizer, "<s><s><s>"), ElementsAre(24, 20));
  EXPECT_THAT(Encode(tokenizer, "<s><l>", /*parse_special=*/false), ElementsAre(8, 9, 10, 21));
}

TEST(TokenizerTest, SpecialTokensAreAddedOnRequest) {
  const TokenizerPtr tokenizer = Make();
  EXPECT_THAT(*tokenizer->Encode("ab", {}), ElementsAre(20, 3));
  EXPECT_THAT(*tokenizer->Encode("", {}), ElementsAre(20));
  EXPECT_THAT(*tokenizer->Encode("", {.add_special = false}), ElementsAre());
}

TEST(TokenizerTest, EqualRanksMergeFromTheLeft) {
  const TokenizerPtr tokenizer = Make();
  EXPECT_THAT(Encode(tokenizer, "ababab"), ElementsAre(5, 3));
  EXPECT_THAT(Encode(tokenizer, std::string(80, 'a') + "b").back(), 3);  // the heap's path
}

TEST(TokenizerTest, DecodingSkipsSpecialTokensAndPadding) {
  const TokenizerPtr tokenizer = Make();
  const std::vector<TokenId> ids = {20, 3, 21, 4, 19, 1000000};
  EXPECT_EQ(*tokenizer->Decode(ids, {}), "<s>ab<l> a");
  EXPECT_EQ(*tokenizer->Decode(ids, {.skip_special = true}), "ab<l> a");
  const std::vector<TokenId> negative = {-1};
  EXPECT_EQ(tokenizer->Decode(negative, {}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(TokenizerTest, InvalidUtf8IsRefusedWithItsPlace) {
  const auto ids = Make()->Encode("ab\xC3(", {});
  EXPECT_EQ(ids.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(ids.status().message()), HasSubstr("byte 2"));
}

TEST(TokenizerTest, PiecesAndIdsAreInverse) {
  const TokenizerPtr tokenizer = Make();
  EXPECT_EQ(tokenizer->vocabulary_size(), 25);
  EXPECT_EQ(tokenizer->IdOf("abab"), 5);
  EXPECT_EQ(tokenizer->IdOf("<s>"), 20);
  EXPECT_EQ(tokenizer->IdOf("zz"), std::nullopt);
  EXPECT_EQ(*tokenizer->PieceOf(4), "Ġa");
  EXPECT_EQ(tokenizer->PieceOf(19).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(tokenizer->PieceOf(-1).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(tokenizer->IsSpecial(20));
  EXPECT_FALSE(tokenizer->IsSpecial(21));
  EXPECT_FALSE(tokenizer->IsSpecial(0));
}

TEST(TokenizerTest, ConfigNamesRoles) {
  const TokenizerPtr tokenizer = Make(
      kJson,
      R"({"bos_token":{"content":"<s>"},"eos_token":"b","pad_token":"[PAD]","unk_token":null})");
  EXPECT_EQ(tokenizer->bos(), 20);
  EXPECT_EQ(tokenizer->eos(), 1);
  EXPECT_TRUE(tokenizer->IsSpecial(1));
  EXPECT_EQ(tokenizer->pad(), std::nullopt);
  EXPECT_EQ(tokenizer->unk(), std::nullopt);
  EXPECT_EQ(Make()->bos(), std::nullopt);
}

TEST(TokenizerTest, LlamaClassesReplaceThePostProcessor) {
  const TokenizerPtr tokenizer =
      Make(kJson, R"({"tokenizer_class":"LlamaTokenizer","bos_token":"<s><s>","eos_token":"<s>",
                 "add_bos_token":true,"add_eos_token":true})");
  EXPECT_THAT(*tokenizer->Encode("ab", {}), ElementsAre(24, 3, 20));
  const TokenizerPtr other = Make(
      kJson, R"({"tokenizer_class":"Qwen2Tokenizer","bos_token":"<s><s>","add_eos_token":true})");
  EXPECT_THAT(*other->Encode("ab", {}), ElementsAre(20, 3));
}

TEST(TokenizerTest, ConfigAddsTokensAndFlags) {
  const TokenizerPtr tokenizer = Make(
      kJson, R"({"added_tokens_decoder":{"30":{"content":"<new>","special":true,"normalized":false},
                 "21":{"content":"<l>","special":true,"lstrip":false,"normalized":false}}})");
  EXPECT_THAT(Encode(tokenizer, "a <l><new>"), ElementsAre(0, 2, 21, 30));
  EXPECT_TRUE(tokenizer->IsSpecial(21));
  EXPECT_EQ(tokenizer->vocabulary_size(), 31);
}

TEST(StreamingDecoderTest, HoldsBackIncompleteCharacters) {
  StreamingDecoder decoder(Make(), {});
  EXPECT_EQ(*decoder.Push(3), "ab");
  for (const TokenId id : {11, 12, 13}) EXPECT_EQ(*decoder.Push(id), "");
  EXPECT_EQ(*decoder.Push(14), "\xF0\x9F\x98\x80");
  EXPECT_EQ(*decoder.Push(11), "");
  EXPECT_EQ(*decoder.Push(3),
            "\xEF\xBF\xBD"
            "ab");
  EXPECT_EQ(*decoder.Push(11), "");
  EXPECT_EQ(decoder.Flush(), "\xEF\xBF\xBD");
  EXPECT_EQ(*decoder.Push(4), " a");  // a new sequence
  EXPECT_EQ(decoder.Flush(), "");
}

TEST(StreamingDecoderTest, HoldsBackWhatADecoderMayStrip) {
  const std::string json = absl::StrReplaceAll(
      kJson,
      {{R"("decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true})",
        R"("decoder":{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"Strip","content":"a","start":2,"stop":1}]})"}});
  const TokenizerPtr tokenizer = Make(json);
  StreamingDecoder decoder(tokenizer, {});
  EXPECT_EQ(*decoder.Push(0), "");
  EXPECT_EQ(*decoder.Push(0), "");
  EXPECT_EQ(*decoder.Push(0), "");  // may be the last
  EXPECT_EQ(*decoder.Push(1), "ab");
  EXPECT_EQ(*decoder.Push(0), "");
  EXPECT_EQ(*decoder.Push(0), "a");
  EXPECT_EQ(decoder.Flush(), "");
  const std::vector<TokenId> ids = {0, 0, 0, 1, 0, 0};
  EXPECT_EQ(*tokenizer->Decode(ids, {}), "aba");
}

// What replaces a part of kJson, and what the refusal says.
struct Refusal {
  const char* from;
  const char* to;
  absl::StatusCode code;
  const char* message;
};

constexpr auto kUnimplemented = absl::StatusCode::kUnimplemented;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class RefusalTest : public testing::TestWithParam<Refusal> {};

TEST_P(RefusalTest, NamesThePart) {
  const std::string json = absl::StrReplaceAll(kJson, {{GetParam().from, GetParam().to}});
  ASSERT_NE(json, kJson);
  const auto tokenizer = Tokenizer::FromJson(json, "");
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_EQ(tokenizer.status().code(), GetParam().code) << tokenizer.status();
  EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Parts, RefusalTest,
    testing::Values(
        Refusal{R"("normalizer":null)", R"("normalizer":{"type":"Magic"})", kUnimplemented,
                R"(tokenizer.json: normalizer: the type "Magic")"},
        Refusal{
            R"("normalizer":null)",
            R"("normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"NFC","x":1}]})",
            kUnimplemented, R"(normalizer.normalizers[1]: the option "x" of NFC)"},
        Refusal{R"("normalizer":null)", R"("normalizer":7)", kInvalid, "normalizer"},
        Refusal{R"("type":"BPE")", R"("type":"Neural")", kUnimplemented,
                R"(model: the type "Neural")"},
        Refusal{R"("dropout":null)", R"("dropout":0.1)", kUnimplemented, "dropout"},
        Refusal{R"("fuse_unk":false)", R"("fuse_unk":false,"magic":1)", kUnimplemented, "magic"},
        Refusal{R"("unk_token":null)", R"("unk_token":"??")", kInvalid, "??"},
        Refusal{R"("a b","ab ab")", R"("a b","ab zz")", kInvalid, R"("merges"[1] needs "zz")"},
        Refusal{R"("a b","ab ab")", R"("a b","abab")", kInvalid, R"("merges"[1])"},
        Refusal{R"("b":1)", R"("b":0)", kInvalid, "same id"},
        Refusal{R"("b":1)", R"("b":-1)", kInvalid, "id -1"},
        Refusal{R"("b":1)", R"("b":99999999999)", kInvalid, "99999999999"},
        Refusal{R"("b":1)", R"("b":1,"a":2)", kInvalid, "twice"},
        Refusal{R"("id":21)", R"("id":20)", kInvalid, "added_tokens[1]"},
        Refusal{R"("id":21)", R"("id":5000000)", kInvalid, "added_tokens[1]"},
        Refusal{R"("content":"<l>")", R"("content":"ab")", kInvalid, "vocabulary gives it"},
        Refusal{R"("ids":[20])", R"("ids":[77])", kInvalid, "post_processor: adds the id 77"},
        Refusal{R"({"Sequence":{"id":"A","type_id":0}})", R"({"Sequence":{"id":"B","type_id":0}})",
                kUnimplemented, "post_processor"},
        Refusal{R"("decoder":{"type":"ByteLevel")", R"("decoder":{"type":"CTC")", kUnimplemented,
                R"(decoder: the type "CTC")"},
        Refusal{R"("pre_tokenizer":{"type":"ByteLevel")",
                R"("pre_tokenizer":{"type":"UnicodeScripts")", kUnimplemented,
                R"(pre_tokenizer: the type "UnicodeScripts")"},
        Refusal{R"("version":"1.0")", R"("version":"9")", kUnimplemented, "version"}));

TEST(TokenizerTest, DeepSequencesAreRefused) {
  std::string nested = R"({"type":"NFC"})";
  for (int i = 0; i < 12; ++i) nested = R"({"type":"Sequence","normalizers":[)" + nested + "]}";
  const auto tokenizer = Tokenizer::FromJson(
      absl::StrReplaceAll(kJson, {{R"("normalizer":null)", "\"normalizer\":" + nested}}), "");
  EXPECT_EQ(tokenizer.status().code(), kInvalid) << tokenizer.status();
}

TEST(TokenizerTest, MissingFilesAreNamed) {
  const auto tokenizer = Tokenizer::Load("/nonexistent/model");
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr("/nonexistent/model"));
}

TEST(SentencePieceTest, DamagedFilesAreRefused) {
  const std::string model =
      ReadFile(LLMCORE_SOURCE_DIR "/tests/fuzz/corpus/tokenizer/bpe.model", 1 << 20).value();
  auto parts = PartsFromSentencePiece(model);
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_EQ((*parts)->prefix.size(), 1u);
  EXPECT_FALSE(PartsFromSentencePiece("").ok());
  EXPECT_FALSE(PartsFromSentencePiece("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01").ok());
  EXPECT_FALSE(PartsFromSentencePiece(model.substr(0, 3)).ok());
}

// A million of one character: as one word for the model, or one run for the pattern.
class LongRunTest : public testing::TestWithParam<const char*> {};

TEST_P(LongRunTest, TakesTimeInProportion) {
  std::string text;
  for (int i = 0; i < 1000000; ++i) text += GetParam();
  for (const char* const name : {"byte_bpe", "llama3_bpe", "byte_fallback_bpe", "unigram"}) {
    const std::string json =
        ReadFile(absl::StrCat(LLMCORE_SOURCE_DIR, "/tests/tokenizer/data/", name, ".json"), 1 << 20)
            .value();
    const TokenizerPtr tokenizer = Make(json);
    ASSERT_NE(tokenizer, nullptr);
    const auto ids = tokenizer->Encode(text, {});
    ASSERT_TRUE(ids.ok()) << ids.status();
    EXPECT_TRUE(tokenizer->Decode(*ids, {}).ok());
  }
}

INSTANTIATE_TEST_SUITE_P(Characters, LongRunTest,
                         testing::Values("a", " ", "1", "\n", "!", "an", " \n", "\xF0\x9F\x98\x80",
                                         "\xCC\x81", "\xE3\x81\x82", "\xEA\xB0\x80"));

}  // namespace
}  // namespace llmcore::core
