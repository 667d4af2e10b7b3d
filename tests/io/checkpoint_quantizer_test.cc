#include "lib/io/checkpoint_quantizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/file.h"
#include "lib/config/model_config.h"
#include "lib/io/checkpoint.h"
#include "tests/io/temporary_directory.h"

namespace llmcore::core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// ---- A second implementation of the format, in exact steps -------------------------------------

// To 8 bits of significand, ties to even (no subnormal values occur here).
double RoundToBf16(double x) {
  if (x == 0) return 0;
  int exponent;
  const double fraction = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8);
}

double Quotient(double a, double b) {
  return static_cast<float>(a) / static_cast<float>(b);
}

struct Reference {
  std::vector<int> codes;      // [rows, columns]
  std::vector<double> scales;  // [rows, blocks]
};

Reference QuantizeSlowly(const std::vector<float>& values, size_t columns, bool int4) {
  Reference out;
  for (size_t row = 0; row < values.size(); row += columns) {
    for (size_t start = 0; start < columns; start += 128) {
      const size_t count = std::min<size_t>(128, columns - start);
      double absmax = 0;
      for (size_t i = 0; i < count; ++i) {
        absmax = std::max(absmax, std::abs(RoundToBf16(double{values[row + start + i]})));
      }
      if (absmax == 0) absmax = 1;
      const double scale = RoundToBf16(Quotient(absmax, int4 ? 7 : 127));
      out.scales.push_back(scale);
      for (size_t i = 0; i < count; ++i) {
        double q = Quotient(RoundToBf16(double{values[row + start + i]}), scale);
        if (int4) q = RoundToBf16(q);
        q = std::nearbyint(q);
        out.codes.push_back(
            static_cast<int>(int4 ? std::clamp(q, -8.0, 7.0) : std::clamp(q, -127.0, 127.0)));
      }
    }
  }
  return out;
}

double Bf16At(const TensorView& tensor, size_t index) {
  uint16_t bits;
  std::memcpy(&bits, tensor.data.data() + index * 2, 2);
  const uint32_t wide = uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return double{value};
}

int CodeAt(const TensorView& tensor, size_t row, size_t column, size_t columns, bool int4) {
  if (!int4) {
    return static_cast<int8_t>(std::to_integer<uint8_t>(tensor.data[row * columns + column]));
  }
  const int byte = std::to_integer<int>(tensor.data[row * ((columns + 1) / 2) + column / 2]);
  const int nibble = column % 2 == 0 ? byte / 16 : byte % 16;
  return nibble < 8 ? nibble : nibble - 16;
}

// ---- Models to quantize
// --------------------------------------------------------------------------

struct Source {
  std::string name;
  DType dtype;
  TensorShape shape;
  std::vector<float> values;
};

std::string Encode(const Source& source) {
  std::string bytes;
  for (const float value : source.values) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if (source.dtype == DType::kF32) {
      bytes.append(reinterpret_cast<const char*>(&bits), 4);
    } else {  // bf16; the tests use values that need no rounding
      bytes.append(reinterpret_cast<const char*>(&bits) + 2, 2);
    }
  }
  return bytes;
}

constexpr char kConfig[] =
    R"({"model_type":"llama","hidden_size":4,"intermediate_size":4,"num_hidden_layers":1,)"
    R"("num_attention_heads":2,"vocab_size":8,"tie_word_embeddings":true})";

void WriteModel(const TemporaryDirectory& directory, const std::vector<Source>& sources,
                const std::string& config = kConfig) {
  std::vector<SafetensorsWriter::Tensor> tensors;
  std::string data;
  for (const Source& source : sources) {
    tensors.push_back({source.name, source.dtype, source.shape});
    data += Encode(source);
  }
  auto writer =
      SafetensorsWriter::Create(directory.path() + "/model.safetensors", tensors, {{"a", "b"}});
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE(writer->Append(std::as_bytes(std::span(data.data(), data.size()))).ok());
  ASSERT_TRUE(writer->Commit().ok());
  directory.Write("config.json", config);
}

Source RandomMatrix(const std::string& name, int64_t rows, int64_t columns, std::mt19937* random) {
  Source source = {name, DType::kF32, {rows, columns}, {}};
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (int64_t i = 0; i < rows * columns; ++i) source.values.push_back(normal(*random));
  return source;
}

absl::Status Quantize(const std::string& source, const std::string& destination,
                      WeightFormat format, int threads = 1,
                      std::vector<QuantizedTensor>* reports = nullptr) {
  return QuantizeCheckpoint(source, destination, {format, threads}, WorkControl(),
                            [reports](const QuantizedTensor& tensor) {
                              if (reports != nullptr) reports->push_back(tensor);
                            });
}

TEST(CheckpointQuantizerTest, TheExampleOfTheFormatDocument) {
  const TemporaryDirectory directory;
  WriteModel(directory, {{"x.weight", DType::kBf16, {1, 3}, {7.0f, -3.5f, 1.0f}},
                         {"norm.weight", DType::kBf16, {3}, {1.0f, 2.0f, 3.0f}},
                         {"y.bias", DType::kF32, {1}, {0.1f}}});
  const std::string destination = directory.path() + "/out";
  const absl::Status status = Quantize(directory.path(), destination, WeightFormat::kInt4);
  ASSERT_TRUE(status.ok()) << status;
  const auto checkpoint = Checkpoint::Open(destination);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  std::vector<std::string> names;
  for (const TensorView* const tensor : checkpoint->tensors()) names.push_back(tensor->name);
  EXPECT_THAT(names, ElementsAre("y.bias", "norm.weight", "x.weight.int4", "x.weight.scale"));
  const TensorView& codes = *checkpoint->Find("x.weight.int4");
  EXPECT_EQ(codes.dtype, DType::kU8);
  EXPECT_THAT(codes.shape, ElementsAre(1, 2));
  EXPECT_THAT(codes.data, ElementsAre(std::byte{0x7C}, std::byte{0x10}));
  const TensorView& scale = *checkpoint->Find("x.weight.scale");
  EXPECT_EQ(scale.dtype, DType::kBf16);
  EXPECT_THAT(scale.shape, ElementsAre(1, 1));
  EXPECT_THAT(scale.data, ElementsAre(std::byte{0x80}, std::byte{0x3F}));
  EXPECT_THAT(checkpoint->files()[0]->metadata(),
              testing::Contains(testing::Pair("llmcore.layout", "rows")));
}

TEST(CheckpointQuantizerTest, CodesAndScalesEqualASecondImplementation) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  const std::pair<int64_t, int64_t> shapes[] = {{1, 1},   {3, 5},   {2, 128}, {5, 129},
                                                {7, 300}, {16, 64}, {4, 384}, {3, 0}};
  std::vector<Source> sources;
  for (const auto& [rows, columns] : shapes) {
    sources.push_back(
        RandomMatrix(absl::StrCat("m", rows, "x", columns, ".weight"), rows, columns, &random));
  }
  sources.push_back({"zero.weight", DType::kF32, {2, 130}, std::vector<float>(260, 0.0f)});
  const TemporaryDirectory directory;
  WriteModel(directory, sources);
  for (const bool int4 : {true, false}) {
    const std::string destination = directory.path() + (int4 ? "/int4" : "/int8");
    std::vector<QuantizedTensor> reports;
    const absl::Status status =
        Quantize(directory.path(), destination, int4 ? WeightFormat::kInt4 : WeightFormat::kInt8, 2,
                 &reports);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(reports.size(), sources.size());
    const auto checkpoint = Checkpoint::Open(destination);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    for (const Source& source : sources) {
      SCOPED_TRACE(source.name);
      const auto columns = static_cast<size_t>(source.shape[1]);
      const auto codes = checkpoint->Get(source.name + (int4 ? ".int4" : ".int8"));
      const auto scales = checkpoint->Get(source.name + ".scale");
      ASSERT_TRUE(codes.ok() && scales.ok());
      EXPECT_THAT((*scales)->shape, ElementsAre(source.shape[0], (source.shape[1] + 127) / 128));
      EXPECT_THAT((*codes)->shape,
                  ElementsAre(source.shape[0], int4 ? (source.shape[1] + 1) / 2 : source.shape[1]));
      if (columns == 0) continue;
      const Reference expected = QuantizeSlowly(source.values, columns, int4);
      for (size_t i = 0; i < expected.codes.size(); ++i) {
        ASSERT_EQ(CodeAt(**codes, i / columns, i % columns, columns, int4), expected.codes[i]) << i;
      }
      for (size_t i = 0; i < expected.scales.size(); ++i) {
        ASSERT_EQ(Bf16At(**scales, i), expected.scales[i]) << i;
      }
    }
    for (const QuantizedTensor& report : reports) {
      const bool exact = report.name == "zero.weight" || report.source_bytes == 0;
      EXPECT_LE(report.relative_error, exact ? 0.0 : int4 ? 0.2 : 0.02) << report.ToString();
      EXPECT_EQ(report.max_error == 0, exact) << report.ToString();
    }
  }
}

TEST(CheckpointQuantizerTest, TheBytesDoNotDependOnTheThreads) {
  std::mt19937 random(7);
  const TemporaryDirectory directory;
  WriteModel(directory, {RandomMatrix("a.weight", 300, 200, &random)});
  std::string first;
  for (const int threads : {1, 3}) {
    const std::string destination = absl::StrCat(directory.path(), "/", threads);
    ASSERT_TRUE(Quantize(directory.path(), destination, WeightFormat::kInt4, threads).ok());
    const std::string bytes = ReadFile(destination + "/model.safetensors", 1 << 20).value();
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first) << threads;
  }
}

TEST(CheckpointQuantizerTest, TheDirectoryIsAModel) {
  const TemporaryDirectory directory;
  WriteModel(directory, {{"lm_head.weight", DType::kF32, {1, 2}, {1, 2}},
                         {"model.embed_tokens.weight", DType::kF32, {1, 2}, {1, 2}}});
  for (const char* name : {"tokenizer.json", "generation_config.json", "chat_template.jinja",
                           "merges.txt", "LICENSE", "README.md", "tokenizer.model"}) {
    directory.Write(name, absl::StrCat("content of ", name));
  }
  for (const char* name : {"pytorch_model.bin", "pytorch_model.bin.index.json", "x.gguf",
                           "original/params.json", ".gitattributes"}) {
    directory.Write(name, "left behind");
  }
  const std::string destination = directory.path() + "/sub/out";
  const absl::Status status = Quantize(directory.path(), destination + "/", WeightFormat::kInt8);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(ListDirectory(destination).value(),
              ElementsAre("LICENSE", "README.md", "chat_template.jinja", "config.json",
                          "generation_config.json", "merges.txt", "model.safetensors",
                          "tokenizer.json", "tokenizer.model"));
  EXPECT_EQ(ReadFile(destination + "/merges.txt", 100).value(), "content of merges.txt");
  const auto config = LoadModelConfig(destination);
  ASSERT_TRUE(config.ok()) << config.status();
  ASSERT_TRUE(config->quantization.has_value());
  EXPECT_EQ(config->quantization->format, WeightFormat::kInt8);
  EXPECT_EQ(config->vocab_size, 8);
  const auto checkpoint = Checkpoint::Open(destination);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ(checkpoint->Find("lm_head.weight.int8"), nullptr);  // tied
  EXPECT_NE(checkpoint->Find("model.embed_tokens.weight.int8"), nullptr);

  const absl::Status again = Quantize(destination, directory.path() + "/b", WeightFormat::kInt4);
  EXPECT_THAT(std::string(again.message()), HasSubstr("is quantized already, to int8"));
}

// Runs a quantization that must fail, and checks that it leaves nothing behind.
void ExpectFailure(const TemporaryDirectory& directory, const WorkControl& control,
                   absl::StatusCode code, const std::string& message) {
  const TemporaryDirectory parent;
  const absl::Status status = QuantizeCheckpoint(directory.path(), parent.path() + "/out",
                                                 {WeightFormat::kInt4, 1}, control, nullptr);
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  EXPECT_THAT(ListDirectory(parent.path()).value(), testing::IsEmpty());
}

TEST(CheckpointQuantizerTest, WhatIsNotFiniteIsNamed) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(), 3.4e38f /* infinite in bf16 */}) {
    const TemporaryDirectory directory;
    std::vector<float> values(600, 1.0f);
    values[300 + 217] = bad;
    WriteModel(directory, {{"x.weight", DType::kF32, {2, 300}, values}});
    ExpectFailure(directory, WorkControl(), absl::StatusCode::kInvalidArgument,
                  "the value at row 1, column 217 is NaN or infinite");
  }
}

TEST(CheckpointQuantizerTest, FailuresLeaveNothingBehind) {
  const TemporaryDirectory directory;
  ExpectFailure(directory, WorkControl(), absl::StatusCode::kNotFound, "no config.json");
  directory.Write("config.json", kConfig);
  ExpectFailure(directory, WorkControl(), absl::StatusCode::kNotFound, "no *.safetensors");
  WriteModel(directory, {{"x.weight", DType::kU8, {0, 1}, {}}});
  ExpectFailure(directory, WorkControl(), absl::StatusCode::kUnimplemented, "tensor \"x.weight\"");
  WriteModel(directory, {{"x.weight", DType::kF32, {1, 2}, {1, 2}}});
  CancelToken cancel;
  cancel.Cancel();
  WorkControl cancelled;
  cancelled.cancel = &cancel;
  ExpectFailure(directory, cancelled, absl::StatusCode::kCancelled, "quantize");
  WorkControl stopped;
  stopped.progress = [](absl::string_view, uint64_t done, uint64_t) { return done == 0; };
  ExpectFailure(directory, stopped, absl::StatusCode::kCancelled, "quantize");
}

TEST(CheckpointQuantizerTest, NothingIsOverwritten) {
  const TemporaryDirectory directory;
  WriteModel(directory, {{"x.weight", DType::kF32, {1, 2}, {1, 2}}});
  const TemporaryDirectory taken;
  taken.Write("file", "kept");
  for (const std::string& destination : {taken.path(), taken.path() + "/file", directory.path()}) {
    EXPECT_EQ(Quantize(directory.path(), destination, WeightFormat::kInt4).code(),
              absl::StatusCode::kAlreadyExists);
  }
  EXPECT_EQ(ReadFile(taken.path() + "/file", 10).value(), "kept");
  const TemporaryDirectory empty;
  EXPECT_TRUE(Quantize(directory.path(), empty.path(), WeightFormat::kInt4).ok());
  EXPECT_EQ(Quantize(directory.path(), empty.path() + "/x", WeightFormat::kBf16).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CheckpointQuantizerTest, ProgressEndsWithAllBytes) {
  std::mt19937 random(1);
  const TemporaryDirectory directory;
  WriteModel(directory, {RandomMatrix("x.weight", 3, 500000, &random),
                         {"n.weight", DType::kF32, {2}, {1, 2}}});
  WorkControl control;
  std::vector<uint64_t> seen;
  uint64_t total_bytes = 0;
  control.progress = [&](absl::string_view stage, uint64_t done, uint64_t total) {
    EXPECT_EQ(stage, "quantize");
    seen.push_back(done);
    total_bytes = total;
    return true;
  };
  const std::string destination = directory.path() + "/out";
  ASSERT_TRUE(
      QuantizeCheckpoint(directory.path(), destination, {WeightFormat::kInt4, 2}, control, nullptr)
          .ok());
  EXPECT_EQ(total_bytes, 3u * 500000 * 4 + 8);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_GE(seen.size(), 4u);
  EXPECT_EQ(seen.back(), total_bytes);
}

TEST(CheckpointQuantizerTest, ATrainedModelKeepsItsValues) {
  const std::string model = LLMCORE_REFERENCE_DIR "/models/stories260K-bf16";
  if (!DirectoryExists(model)) GTEST_SKIP() << "no reference data in " << model;
  const TemporaryDirectory directory;
  std::vector<QuantizedTensor> reports;
  const absl::Status status =
      Quantize(model, directory.path() + "/out", WeightFormat::kInt4, 2, &reports);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(reports.size(), 5u * 7 + 1);
  for (const QuantizedTensor& report : reports) {
    EXPECT_LT(report.relative_error, 0.13) << report.ToString();
    EXPECT_GT(report.relative_error, 0.02) << report.ToString();
  }
}

}  // namespace
}  // namespace llmcore::core
