#include "lib/io/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "tests/io/temporary_directory.h"

namespace llmcore::core {
namespace {

using testing::HasSubstr;

// Writes a file of U8 tensors [4] that each hold their own first letter four times.
void WriteShard(const TemporaryDirectory& directory, const std::string& file,
                const std::vector<std::string>& names) {
  std::vector<SafetensorsWriter::Tensor> tensors;
  std::string data;
  for (const std::string& name : names) {
    tensors.push_back({name, DType::kU8, {4}});
    data.append(4, name.front());
  }
  auto writer = SafetensorsWriter::Create(directory.path() + "/" + file, tensors, {});
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE(writer->Append(std::as_bytes(std::span(data.data(), data.size()))).ok());
  ASSERT_TRUE(writer->Commit().ok());
}

// {"weight_map": {tensor: file, ...}}
void WriteIndex(const TemporaryDirectory& directory,
                const std::vector<std::pair<std::string, std::string>>& map) {
  const std::string entries = absl::StrJoin(map, ",", [](std::string* out, const auto& entry) {
    AppendJsonString(entry.first, out);
    out->push_back(':');
    AppendJsonString(entry.second, out);
  });
  directory.Write("model.safetensors.index.json",
                  absl::StrCat(R"({"metadata":{"total_size":1},"weight_map":{)", entries, "}}"));
}

void ExpectError(const TemporaryDirectory& directory, absl::StatusCode code,
                 const std::string& message) {
  const auto checkpoint = Checkpoint::Open(directory.path());
  EXPECT_EQ(checkpoint.status().code(), code) << checkpoint.status();
  EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr(message));
  EXPECT_THAT(std::string(checkpoint.status().message()), HasSubstr(directory.path()));
}

std::string Content(const TensorView* tensor) {
  if (tensor == nullptr) return "none";
  return std::string(reinterpret_cast<const char*>(tensor->data.data()), tensor->data.size());
}

TEST(CheckpointTest, ASingleFile) {
  const TemporaryDirectory directory;
  WriteShard(directory, "model.safetensors", {"a", "b", "layers.0.rotary_emb.inv_freq"});
  auto opened = Checkpoint::Open(directory.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  const Checkpoint checkpoint = *std::move(opened);
  EXPECT_EQ(Content(checkpoint.Find("a")), "aaaa");
  EXPECT_EQ(Content(checkpoint.Find("b")), "bbbb");
  EXPECT_EQ(checkpoint.Find("layers.0.rotary_emb.inv_freq"), nullptr);
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.total_bytes(), 8u);
  EXPECT_EQ(checkpoint.Get("c").status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(checkpoint.Get("c").status().message()), HasSubstr("no tensor \"c\""));
  Checkpoint::Prefetch(*checkpoint.Find("a"), 0, 4);
  Checkpoint::Release(*checkpoint.Find("a"), 0, 4);
  EXPECT_EQ(Content(checkpoint.Find("a")), "aaaa");
}

TEST(CheckpointTest, ShardsOfAnIndex) {
  const TemporaryDirectory directory;
  WriteShard(directory, "m-00001-of-00002.safetensors", {"a", "b"});
  WriteShard(directory, "m-00002-of-00002.safetensors", {"c", "x.rotary_emb.inv_freq"});
  WriteIndex(directory, {{"c", "m-00002-of-00002.safetensors"},
                         {"a", "m-00001-of-00002.safetensors"},
                         {"b", "m-00001-of-00002.safetensors"}});
  const auto checkpoint = Checkpoint::Open(directory.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(Content(checkpoint->Find("b")), "bbbb");
  EXPECT_EQ(Content(checkpoint->Find("c")), "cccc");
  EXPECT_EQ(checkpoint->tensors().size(), 3u);
  EXPECT_THAT(checkpoint->Find("c")->Where(), HasSubstr("m-00002-of-00002.safetensors: tensor"));
}

TEST(CheckpointTest, LinksAreFollowedAsTheHuggingFaceCacheHasThem) {
  const TemporaryDirectory blobs;
  const TemporaryDirectory snapshot;
  WriteShard(blobs, "0123", {"a"});
  std::filesystem::create_symlink(blobs.path() + "/0123", snapshot.path() + "/model.safetensors");
  EXPECT_TRUE(Checkpoint::Open(snapshot.path()).ok());
}

TEST(CheckpointTest, NamesThatLeaveTheFolderAreRefused) {
  const TemporaryDirectory outside;
  WriteShard(outside, "o.safetensors", {"a"});
  for (const std::string& name :
       {outside.path() + "/o.safetensors", std::string("../o.safetensors"),
        std::string("sub/o.safetensors"), std::string(".."), std::string("."), std::string(),
        std::string("a\0.safetensors", 14), std::string("..\\o.safetensors"), std::string("o.bin"),
        std::string(300, 'a') + ".safetensors"}) {
    const TemporaryDirectory directory;
    WriteIndex(directory, {{"a", name}});
    ExpectError(directory, absl::StatusCode::kInvalidArgument, "not the name of a *.safetensors");
  }
}

TEST(CheckpointTest, IndexAndShardsMustAgree) {
  const std::string one = "m-00001-of-00002.safetensors";
  const std::string two = "m-00002-of-00002.safetensors";
  {
    const TemporaryDirectory directory;
    WriteShard(directory, one, {"a"});
    WriteIndex(directory, {{"a", one}, {"b", one}});
    ExpectError(directory, absl::StatusCode::kInvalidArgument, one + " has no tensor \"b\"");
  }
  {
    const TemporaryDirectory directory;
    WriteShard(directory, one, {"a", "extra"});
    WriteIndex(directory, {{"a", one}});
    ExpectError(directory, absl::StatusCode::kInvalidArgument, "tensor \"extra\"");
  }
  {
    const TemporaryDirectory directory;  // the same tensor twice
    WriteShard(directory, one, {"a"});
    WriteShard(directory, two, {"a", "b"});
    WriteIndex(directory, {{"a", one}, {"b", two}});
    ExpectError(directory, absl::StatusCode::kInvalidArgument, two + ": tensor \"a\"");
  }
  {
    const TemporaryDirectory directory;
    WriteShard(directory, one, {"a"});
    WriteIndex(directory, {{"a", one}, {"b", two}});
    ExpectError(directory, absl::StatusCode::kNotFound, "the download is incomplete");
  }
  {
    const TemporaryDirectory directory;
    WriteIndex(directory, {});
    ExpectError(directory, absl::StatusCode::kInvalidArgument, "\"weight_map\" is empty");
  }
}

TEST(CheckpointTest, BrokenIndexesAreNamed) {
  for (const char* text : {"", "{", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{"a":1}})",
                           R"({"weight_map":{"a":{"b":"c"}}})", R"({"weight_map":{"a":null}})"}) {
    const TemporaryDirectory directory;
    directory.Write("model.safetensors.index.json", text);
    ExpectError(directory, absl::StatusCode::kInvalidArgument, "model.safetensors.index.json");
  }
}

TEST(CheckpointTest, EveryTruncationOfAShardIsNamed) {
  const TemporaryDirectory directory;
  const std::string name = "m-00001-of-00001.safetensors";
  WriteShard(directory, name, {"a", "b"});
  WriteIndex(directory, {{"a", name}, {"b", name}});
  ASSERT_TRUE(Checkpoint::Open(directory.path()).ok());
  const std::string content = ReadFile(directory.path() + "/" + name, 10000).value();
  for (size_t length = 0; length < content.size(); ++length) {
    directory.Write(name, content.substr(0, length));
    const auto checkpoint = Checkpoint::Open(directory.path());
    ASSERT_EQ(checkpoint.status().code(), absl::StatusCode::kDataLoss) << length;
    ASSERT_THAT(std::string(checkpoint.status().message()), HasSubstr(name));
  }
}

TEST(CheckpointTest, WhatIsThereInsteadIsSaid) {
  const TemporaryDirectory empty;
  EXPECT_EQ(Checkpoint::Open(empty.path() + "/none").status().message(),
            "there is no directory " + empty.path() + "/none");
  ExpectError(empty, absl::StatusCode::kNotFound, "is empty");
  const struct {
    std::vector<std::string> files;
    absl::StatusCode code;
    const char* message;
  } cases[] = {
      {{"config.json"}, absl::StatusCode::kNotFound, "no weights to load"},
      {{"config.json", "pytorch_model.bin"}, absl::StatusCode::kNotFound, "PyTorch pickles"},
      {{"pytorch_model-00001-of-00002.bin"}, absl::StatusCode::kNotFound, "save_pretrained"},
      {{"q4.gguf"}, absl::StatusCode::kNotFound, "GGUF files, which are not supported"},
      {{"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"},
       absl::StatusCode::kNotFound,
       "no model.safetensors.index.json: the download is incomplete"},
      {{"a.safetensors", "b.safetensors"},
       absl::StatusCode::kInvalidArgument,
       "a.safetensors and b.safetensors among them"},
      {{"adapter_model.safetensors"}, absl::StatusCode::kUnimplemented, "merge it"},
      {{"consolidated.safetensors"}, absl::StatusCode::kUnimplemented, "Mistral's own naming"},
      {{"model.safetensors"}, absl::StatusCode::kDataLoss, "the file is empty"},
      {{"weights.safetensors"}, absl::StatusCode::kDataLoss, "weights.safetensors: the file is"},
  };
  for (const auto& c : cases) {
    const TemporaryDirectory directory;
    for (const std::string& file : c.files) directory.Write(file, "");
    ExpectError(directory, c.code, c.message);
  }
}

TEST(CheckpointTest, ReferenceModelsOpen) {
  const std::string models = LLMCORE_REFERENCE_DIR "/models";
  if (!DirectoryExists(models)) GTEST_SKIP() << "no reference data in " << models;
  const auto sharded = Checkpoint::Open(models + "/tiny-llama-sharded");
  ASSERT_TRUE(sharded.ok()) << sharded.status();
  const auto single = Checkpoint::Open(models + "/tiny-llama");
  ASSERT_TRUE(single.ok()) << single.status();
  EXPECT_EQ(sharded->files().size(), 2u);
  EXPECT_EQ(sharded->total_bytes(), single->total_bytes());
  ASSERT_EQ(sharded->tensors().size(), single->tensors().size());
  for (const TensorView* const tensor : sharded->tensors()) {
    EXPECT_EQ(Content(single->Find(tensor->name)), Content(tensor)) << tensor->name;
  }
  const auto bf16 = Checkpoint::Open(models + "/stories260K-bf16");
  ASSERT_TRUE(bf16.ok()) << bf16.status();
  EXPECT_EQ(bf16->Find("model.embed_tokens.weight")->dtype, DType::kBf16);
  EXPECT_THAT(bf16->Find("model.embed_tokens.weight")->shape, testing::ElementsAre(512, 64));
}

}  // namespace
}  // namespace llmcore::core
