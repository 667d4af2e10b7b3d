#include "lib/io/zero_point_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/tensor/float16.h"
#include "lib/tensor/int4.h"
#include "tests/io/temporary_directory.h"

namespace llmcore::core {
namespace {

using testing::HasSubstr;
using Method = StoredQuantization::Method;

struct Tensor {
  DType dtype = DType::kI32;
  TensorShape shape;
  std::string bytes;
};

// A file of the tensors of one module, "m".
Checkpoint Write(const TemporaryDirectory& directory,
                 const std::map<std::string, Tensor>& tensors) {
  std::vector<SafetensorsWriter::Tensor> header;
  for (const auto& [name, tensor] : tensors) {
    header.push_back({"m" + name, tensor.dtype, tensor.shape});
  }
  auto writer =
      SafetensorsWriter::Create(directory.path() + "/model.safetensors", header, {}).value();
  for (const auto& [name, tensor] : tensors) {
    EXPECT_TRUE(writer.Append(std::as_bytes(std::span(tensor.bytes))).ok());
  }
  const absl::Status status = writer.Commit();
  EXPECT_TRUE(status.ok()) << status;
  return Checkpoint::Open(directory.path()).value();
}

struct Rows {
  std::string codes;
  std::string scales;
  std::string zeros;
};

absl::StatusOr<Rows> Read(const ZeroPointMatrix& matrix, int64_t columns, int64_t first,
                          int64_t count) {
  const auto rows = static_cast<uint64_t>(count);
  const uint64_t blocks = rows * Int4ScaleCount(static_cast<uint64_t>(columns));
  Rows out;
  out.codes.resize(rows * Int4PackedBytes(static_cast<uint64_t>(columns)));
  out.scales.resize(blocks * 2);
  out.zeros.resize(blocks);
  const auto bytes = [](std::string& text) { return reinterpret_cast<std::byte*>(text.data()); };
  LLMCORE_RETURN_IF_ERROR(
      matrix.ReadRows(first, count, bytes(out.codes), bytes(out.scales), bytes(out.zeros)));
  return out;
}

std::string Unhex(absl::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(
        static_cast<char>(std::strtol(std::string(hex.substr(i, 2)).c_str(), nullptr, 16)));
  }
  return bytes;
}

// What make_zero_point_cases.py packed, and the rows that it packed.
TEST(ZeroPointMatrixTest, ReadsWhatWasPackedElsewhere) {
  const std::string text =
      ReadFile(std::string(LLMCORE_SOURCE_DIR) + "/tests/io/zero_point_cases.json", 1 << 20)
          .value();
  const JsonDocument json = ParseJson(text).value();
  ASSERT_EQ(json.if_array()->size(), 5u);
  for (const JsonValue& value : *json.if_array()) {
    const JsonObject& fields = *value.if_object();
    const auto hex = [&fields](const char* key) { return Unhex(fields.GetString(key).value()); };
    const int64_t rows = fields.GetInt("outputs").value();
    const int64_t columns = fields.GetInt("inputs").value();
    const int64_t groups = (columns + 127) / 128;
    const bool awq = fields.GetString("method").value() == "awq";
    SCOPED_TRACE(absl::StrCat(awq ? "awq " : "gptq ", rows, " x ", columns));
    StoredQuantization stored;
    stored.method = awq ? Method::kAwq : Method::kGptq;
    stored.zero_offset = static_cast<int32_t>(fields.GetInt("zero_offset").value());
    std::map<std::string, Tensor> tensors = {
        {".qweight",
         {DType::kI32, awq ? TensorShape{columns, rows / 8} : TensorShape{columns / 8, rows},
          hex("qweight")}},
        {".qzeros", {DType::kI32, {groups, rows / 8}, hex("qzeros")}},
        {".scales", {DType::kF16, {groups, rows}, hex("scales")}}};
    if (!awq) tensors[".g_idx"] = {DType::kI32, {columns}, hex("g_idx")};
    const TemporaryDirectory directory;
    const Checkpoint checkpoint = Write(directory, tensors);
    const auto matrix = ZeroPointMatrix::Open(checkpoint, "m", stored, rows, columns);
    ASSERT_TRUE(matrix.ok()) << matrix.status();
    const auto all = Read(*matrix, columns, 0, rows);
    ASSERT_TRUE(all.ok()) << all.status();
    EXPECT_EQ(all->codes, hex("expected_codes"));
    EXPECT_EQ(all->scales, hex("expected_scales"));
    EXPECT_EQ(all->zeros, hex("expected_zeros"));
    // Any slice of whole words is a slice of all.
    for (int64_t first = 0; first < rows; first += 8) {
      const auto row_bytes = all->codes.size() / static_cast<size_t>(rows);
      const auto slice = Read(*matrix, columns, first, 8);
      ASSERT_TRUE(slice.ok()) << slice.status();
      EXPECT_EQ(slice->codes,
                all->codes.substr(static_cast<size_t>(first) * row_bytes, 8 * row_bytes));
      EXPECT_EQ(slice->scales, all->scales.substr(static_cast<size_t>(first * groups) * 2,
                                                  static_cast<size_t>(8 * groups) * 2));
    }
    EXPECT_EQ(Read(*matrix, columns, 4, 4).status().code(), absl::StatusCode::kInternal);
    EXPECT_EQ(Read(*matrix, columns, 0, rows + 8).status().code(), absl::StatusCode::kInternal);
  }
}

std::string Repeated(uint32_t word, int64_t count) {
  std::string bytes;
  for (int64_t i = 0; i < count; ++i) {
    bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  return bytes;
}

// [16, 256] in GPTQ: codes 5, zero points 8, scales 0.5.
class GptqMatrixTest : public testing::Test {
 protected:
  static constexpr int64_t kRows = 16;
  static constexpr int64_t kColumns = 256;

  GptqMatrixTest() {
    stored_.method = Method::kGptq;
    stored_.zero_offset = 1;
    SetGroup(128);
  }

  void SetGroup(int64_t group) {
    const int64_t groups = (kColumns + group - 1) / group;
    stored_.group_size = static_cast<int32_t>(group);
    tensors_[".qweight"] = {DType::kI32, {kColumns / 8, kRows}, Repeated(0x55555555, 512)};
    tensors_[".qzeros"] = {DType::kI32, {groups, kRows / 8}, Repeated(0x77777777, groups * 2)};
    tensors_[".scales"] = {DType::kF16, {groups, kRows}, Repeated(0x38003800, groups * 8)};
    std::string index;
    for (int64_t i = 0; i < kColumns; ++i) index += Repeated(static_cast<uint32_t>(i / group), 1);
    tensors_[".g_idx"] = {DType::kI32, {kColumns}, index};
  }

  template <typename T>
  void Put(const std::string& name, size_t index, T value) {
    std::memcpy(tensors_[name].bytes.data() + index * sizeof value, &value, sizeof value);
  }

  // Opens and reads all of it.
  absl::StatusOr<Rows> Result() const {
    const TemporaryDirectory directory;
    const Checkpoint checkpoint = Write(directory, tensors_);
    LLMCORE_ASSIGN_OR_RETURN(const ZeroPointMatrix matrix,
                             ZeroPointMatrix::Open(checkpoint, "m", stored_, kRows, kColumns));
    return Read(matrix, kColumns, 0, kRows);
  }

  void ExpectError(absl::StatusCode code, const std::string& message) const {
    const absl::Status status = Result().status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }

  StoredQuantization stored_;
  std::map<std::string, Tensor> tensors_;
};

TEST_F(GptqMatrixTest, LargeGroupsAreTheScaleOfEachOfTheirBlocks) {
  const auto two = Result();
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_EQ(two->zeros, std::string(kRows * 2, '\x08'));
  SetGroup(256);
  Put(".scales", 3, uint16_t{0x3C00});
  Put(".qzeros", 0, uint32_t{0x7777F777});
  for (const int32_t group : {256, 0, 1024}) {
    stored_.group_size = group;
    const auto one = Result();
    ASSERT_TRUE(one.ok()) << one.status();
    EXPECT_EQ(one->codes, two->codes);
    EXPECT_EQ(one->zeros.substr(0, 10), "\x08\x08\x08\x08\x08\x08\x10\x10\x08\x08");
    EXPECT_EQ(one->scales.substr(10, 8), Unhex("0038003c003c0038"));
  }
}

TEST_F(GptqMatrixTest, OrderOfGroupsIsLookedAt) {
  stored_.needs_g_idx = true;
  EXPECT_TRUE(Result().ok());
  Put(".g_idx", 127, 1);
  ExpectError(absl::StatusCode::kUnimplemented, "element 127 is 1 and not 0: groups of inputs");
  ExpectError(absl::StatusCode::kUnimplemented, "\"m.g_idx\" (I32 [256]");
  Put(".g_idx", 127, 2);
  ExpectError(absl::StatusCode::kInvalidArgument, "element 127 is 2, but there are 2 groups");
  Put(".g_idx", 127, -1);
  ExpectError(absl::StatusCode::kInvalidArgument, "element 127 is -1");
  Put(".g_idx", 127, std::numeric_limits<int32_t>::min());
  ExpectError(absl::StatusCode::kInvalidArgument, "element 127 is -2147483648");
  tensors_.erase(".g_idx");
  ExpectError(absl::StatusCode::kNotFound, "\"m.g_idx\"");
  stored_.needs_g_idx = false;
  EXPECT_TRUE(Result().ok());
}

TEST_F(GptqMatrixTest, OtherShapesAndTypesAreRefused) {
  const auto original = tensors_;
  for (const std::string name : {".qweight", ".qzeros", ".scales", ".g_idx"}) {
    SCOPED_TRACE(name);
    // A row less.
    Tensor& tensor = tensors_[name];
    const size_t row = tensor.bytes.size() / static_cast<size_t>(tensor.shape[0]);
    tensor.shape[0] -= 1;
    tensor.bytes.resize(tensor.bytes.size() - row);
    ExpectError(absl::StatusCode::kInvalidArgument, "the configuration asks for the shape");
    tensors_ = original;
    // As many elements in one more extent.
    tensors_[name].shape.insert(tensors_[name].shape.begin(), 1);
    ExpectError(absl::StatusCode::kInvalidArgument, "\"m" + name + "\"");
    tensors_ = original;
    tensors_[name].dtype = name == ".scales" ? DType::kI16 : DType::kF32;
    ExpectError(absl::StatusCode::kInvalidArgument, ": must be ");
    tensors_ = original;
    if (name != ".g_idx") {
      tensors_.erase(name);
      ExpectError(absl::StatusCode::kNotFound, "\"m" + name + "\"");
      tensors_ = original;
    }
  }
  const TemporaryDirectory directory;
  const Checkpoint checkpoint = Write(directory, tensors_);
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>(12, 256), {16, 252}}) {
    const absl::Status status =
        ZeroPointMatrix::Open(checkpoint, "m", stored_, rows, columns).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  }
}

TEST_F(GptqMatrixTest, ScalesAreKeptToTheBitOrRefused) {
  Put(".scales", 17, uint16_t{0x0001});  // the least subnormal
  Put(".scales", 18, uint16_t{0xFBFF});
  const auto halves = Result();
  ASSERT_TRUE(halves.ok()) << halves.status();
  EXPECT_EQ(halves->scales.substr(2 * (2 * 1 + 1), 6), Unhex("01000038fffb"));
  for (const uint16_t bad : {0x7C00, 0xFC00, 0x7E00}) {
    Put(".scales", 17, bad);
    ExpectError(absl::StatusCode::kInvalidArgument,
                "the scale of group 1, output 1 is NaN or infinite");
  }
  // bf16 holds values that f16 does not, and f32 many.
  tensors_[".scales"] = {DType::kBf16, {2, kRows}, Repeated(0x3F003F00, 16)};
  const auto converted = Result();
  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_EQ(converted->scales.substr(0, 4), Unhex("00380038"));
  for (const float bad : {65536.0f, 0x1p-25f, 0x1.02p-15f * 0x1p-8f}) {
    Put(".scales", 31, F32ToBf16(bad));
    ExpectError(absl::StatusCode::kInvalidArgument, "\"m.scales\" (BF16 [2, 16]");
    ExpectError(absl::StatusCode::kInvalidArgument,
                "the scale of group 1, output 15 is no value of f16");
  }
  Put(".scales", 31, F32ToBf16(0x1p-24f));
  EXPECT_TRUE(Result().ok());
  tensors_[".scales"] = {DType::kF32, {2, kRows}, Repeated(0x3F000000, 32)};
  EXPECT_EQ(Result()->scales, converted->scales);
  Put(".scales", 0, 0.1f);
  ExpectError(absl::StatusCode::kInvalidArgument,
              "the scale of group 0, output 0 is no value of f16");
}

}  // namespace
}  // namespace llmcore::core
