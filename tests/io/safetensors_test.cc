#include "lib/io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "tests/io/temporary_directory.h"

namespace llmcore::core {
namespace {

using testing::HasSubstr;

std::string FileOf(const std::string& header, absl::string_view data) {
  const uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return absl::StrCat(bytes, header, data);
}

std::span<const std::byte> Bytes(absl::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

absl::Status ParseStatus(const std::string& file) {
  return SafetensorsFile::Parse(Bytes(file), "f").status();
}

absl::Status HeaderStatus(const std::string& header, size_t data_bytes) {
  return ParseStatus(FileOf(header, std::string(data_bytes, 'x')));
}

// A file with what the format has: metadata, a scalar, an empty tensor, several types.
std::string ValidFile() {
  return FileOf(R"({"__metadata__":{"format":"pt"},)"
                R"("b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
                R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                R"("empty":{"dtype":"F64","shape":[3,0],"data_offsets":[16,16]},)"
                R"("c":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})",
                "aaaabbbbbbbbbbbbccc");
}

TEST(SafetensorsTest, TensorsAreViewsIntoTheFile) {
  const std::string bytes = ValidFile();
  const auto file = SafetensorsFile::Parse(Bytes(bytes), "f");
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ((*file)->tensors().size(), 4u);
  const TensorView* const b = (*file)->Find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype, DType::kBf16);
  EXPECT_THAT(b->shape, testing::ElementsAre(2, 3));
  EXPECT_EQ(b->elements(), 6u);
  EXPECT_EQ(b->data.data(), Bytes(bytes).data() + b->offset);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(b->data.data()), b->data.size()),
            "bbbbbbbbbbbb");
  EXPECT_EQ(b->Where(), absl::StrCat("f: tensor \"b\" (BF16 [2, 3] at byte ", b->offset, ")"));
  EXPECT_EQ((*file)->Find("a")->elements(), 1u);
  EXPECT_EQ((*file)->Find("empty")->elements(), 0u);
  EXPECT_EQ((*file)->Find("d"), nullptr);
  EXPECT_THAT((*file)->metadata(), testing::ElementsAre(testing::Pair("format", "pt")));
}

TEST(SafetensorsTest, PublishedCasesHaveTheirPublishedOutcome) {
  const std::string directory = LLMCORE_REFERENCE_DIR "/safetensors";
  if (!DirectoryExists(directory)) GTEST_SKIP() << "no reference data in " << directory;
  // What our message says for each error of the reference implementation.
  const std::vector<std::pair<std::string, std::string>> kinds = {
      {"HeaderTooLarge", "more than the limit"},
      {"HeaderTooSmall", "the file is empty"},
      {"InvalidHeaderLength", "its header ends at byte"},
      {"InvalidHeader", "header at byte 8: JSON"},
      {"InvalidHeaderDeserialization", "header at byte 8: JSON"},
      {"TensorInvalidInfo", "bytes, \"data_offsets\""},
      {"ValidationOverflow", ""},
      {"InvalidOffset", "inside that of another tensor"},
      {"MetadataIncompleteBuffer", "the file"},
  };
  const auto expected = ReadJsonObject(JoinPath(directory, "expected.json"));
  ASSERT_TRUE(expected.ok()) << expected.status();
  const auto cases = expected->GetArray("cases");
  ASSERT_TRUE(cases.ok());
  EXPECT_GE((*cases)->size(), 17u);
  for (const JsonValue& value : **cases) {
    const std::string name(value.if_object()->GetString("file").value());
    const std::string expect(value.if_object()->GetString("expect").value());
    SCOPED_TRACE(name);
    const auto file = SafetensorsFile::Open(JoinPath(directory, name));
    EXPECT_EQ(file.ok(), expect == "ok") << file.status();
    if (expect == "ok") continue;
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(name));
    bool known = false;
    for (const auto& [kind, text] : kinds) {
      if (kind != expect) continue;
      known = true;
      EXPECT_THAT(std::string(file.status().message()), HasSubstr(text));
    }
    EXPECT_TRUE(known) << expect;
  }
}

TEST(SafetensorsTest, EveryDefectIsNamed) {
  const struct {
    const char* header;
    size_t data;
    const char* message;
  } cases[] = {
      {"[]", 0, "must be an object, is an array"},
      {R"({"a":1})", 0, "tensor \"a\": must be an object"},
      {R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4, "\"dtype\" is missing"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, "\"shape\" is missing"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", 4, "\"data_offsets\" is missing"},
      {R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", 4, "unknown dtype \"F33\""},
      {R"({"a":{"dtype":4,"shape":[1],"data_offsets":[0,4]}})", 4, "must be a string"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":0}})", 4, "unknown key \"x\""},
      {R"({"a":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", 4, "must be an array"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "negative number -1"},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4, "must hold sizes"},
      {R"({"a":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}})", 4, "must hold sizes"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", 4,
       "more than any file"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
       "overflows"},
      {R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0,
       "overflows"},
      {R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}})", 2, "does not end at a byte"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "must hold 2 numbers"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "end before they begin"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,5]}})", 5, "takes 4 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3, "truncated"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5, "goes on to byte"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "leaves a hole"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
       R"("b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})",
       7, "inside that of another"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
       R"("a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
       8, "twice"},
      {R"({"__metadata__":{"a":1}})", 0, "values must be strings, \"a\" is an integer"},
      {R"({"__metadata__":[]})", 0, "must be an object"},
      {R"({"__metadata__":{"a":{"b":{"c":"d"}}}})", 0, "nested deeper"},
      {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4, "nested deeper"},
  };
  for (const auto& c : cases) {
    const absl::Status status = HeaderStatus(c.header, c.data);
    EXPECT_FALSE(status.ok()) << c.header;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.message)) << c.header;
    EXPECT_THAT(std::string(status.message()), testing::StartsWith("f: ")) << c.header;
  }
}

TEST(SafetensorsTest, SubByteTypesAreMeasuredInBits) {
  EXPECT_TRUE(HeaderStatus(R"({"a":{"dtype":"F4","shape":[3,2],"data_offsets":[0,3]}})", 3).ok());
  EXPECT_TRUE(
      HeaderStatus(R"({"a":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3]}})", 3).ok());
}

TEST(SafetensorsTest, HostileHeadersAreRefusedBeforeTheyCost) {
  std::string deep(1 << 20, '[');
  EXPECT_THAT(std::string(HeaderStatus(deep, 0).message()), HasSubstr("nested deeper"));
  std::string many = "[0";
  for (int i = 0; i < 5'000'000; ++i) many += ",0";
  many += "]";
  EXPECT_THAT(std::string(HeaderStatus(many, 0).message()), HasSubstr("more than 4194304 values"));
  const std::string long_name(100'000, 'n');
  const absl::Status status = HeaderStatus("{\"" + long_name + "\":1}", 0);
  EXPECT_LT(status.message().size(), 300u);
}

TEST(SafetensorsTest, WhatIsNotSafetensorsIsSaidToBeSo) {
  EXPECT_EQ(ParseStatus("").message(), "f: the file is empty");
  EXPECT_EQ(ParseStatus("").code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(ParseStatus("version https://git-lfs.github.com/spec/v1\n").message()),
              HasSubstr("git lfs pull"));
  EXPECT_THAT(std::string(ParseStatus("<!DOCTYPE html>").message()), HasSubstr("no safetensors"));
  EXPECT_EQ(ParseStatus(std::string(7, '\0')).code(), absl::StatusCode::kDataLoss);
}

TEST(SafetensorsTest, EveryTruncationAndExtensionIsRefused) {
  const std::string bytes = ValidFile();
  ASSERT_TRUE(ParseStatus(bytes).ok());
  for (size_t length = 0; length < bytes.size(); ++length) {
    // A copy of exactly this size, so that AddressSanitizer sees every byte read past it.
    const std::vector<char> prefix(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
    const auto file =
        SafetensorsFile::Parse(std::as_bytes(std::span(prefix.data(), prefix.size())), "f");
    ASSERT_FALSE(file.ok()) << length;
  }
  EXPECT_FALSE(ParseStatus(bytes + "x").ok());
}

TEST(SafetensorsTest, FlippedBytesNeverGiveViewsOutsideTheFile) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  const std::string original = ValidFile();
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = original;
    const int flips = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < flips; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto file = SafetensorsFile::Parse(Bytes(bytes), "f");
    if (!file.ok()) continue;
    ++accepted;
    uint64_t total = 0;
    for (const TensorView& tensor : (*file)->tensors()) {
      ASSERT_LE(tensor.offset + tensor.data.size(), bytes.size());
      ASSERT_EQ(tensor.data.size() * 8,
                tensor.elements() * static_cast<uint64_t>(DTypeBits(tensor.dtype)));
      total += tensor.data.size();
    }
    ASSERT_LE(total, bytes.size());
  }
  EXPECT_GT(accepted, 0);  // changes of data and names
}

TEST(SafetensorsTest, WrittenFilesAreReadBack) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/w.safetensors";
  const std::string name = "quote\" and \xC3\xBC";
  auto writer = SafetensorsWriter::Create(
      path, {{name, DType::kI32, {2, 2}}, {"e", DType::kF16, {0}}, {"s", DType::kU8, {}}},
      {{"format", "pt"}, {"k\n", "v\\"}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_FALSE(writer->Commit().ok());
  ASSERT_TRUE(writer->Append(Bytes("0123456789")).ok());
  EXPECT_FALSE(writer->Append(Bytes("01234567")).ok());
  ASSERT_TRUE(writer->Append(Bytes("ABCDEF!")).ok());
  EXPECT_FALSE(FileExists(path));
  ASSERT_TRUE(writer->Commit().ok());

  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  const TensorView* const first = (*file)->Find(name);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->offset % 8, 0u);
  EXPECT_THAT(first->shape, testing::ElementsAre(2, 2));
  EXPECT_EQ(std::memcmp(first->data.data(), "0123456789ABCDEF", 16), 0);
  EXPECT_EQ((*file)->Find("s")->data[0], std::byte{'!'});
  EXPECT_TRUE((*file)->Find("e")->shape == TensorShape{0});
  EXPECT_THAT((*file)->metadata(),
              testing::ElementsAre(testing::Pair("format", "pt"), testing::Pair("k\n", "v\\")));
  (*file)->Prefetch(*first, 0, 100);
  (*file)->Release(*first, 4, UINT64_MAX);
  EXPECT_EQ(first->data[15], std::byte{'F'});
}

TEST(SafetensorsTest, WritersRefuseWhatReadersWould) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/w.safetensors";
  const auto status = [&path](std::vector<SafetensorsWriter::Tensor> tensors) {
    return SafetensorsWriter::Create(path, tensors, {}).status();
  };
  EXPECT_FALSE(status({{"a", DType::kF32, {1}}, {"a", DType::kF32, {1}}}).ok());
  EXPECT_FALSE(status({{"__metadata__", DType::kF32, {1}}}).ok());
  EXPECT_FALSE(status({{"a", DType::kF32, {-1}}}).ok());
  EXPECT_FALSE(status({{"a", DType::kF4, {1}}}).ok());
  EXPECT_FALSE(status({{"a", DType::kF32, {int64_t{1} << 40, int64_t{1} << 40}}}).ok());
  EXPECT_FALSE(status({{"a", DType::kU8, {INT64_MAX}},
                       {"b", DType::kU8, {INT64_MAX}},
                       {"c", DType::kU8, {INT64_MAX}}})
                   .ok());
  EXPECT_TRUE(status({}).ok());
}

}  // namespace
}  // namespace llmcore::core
