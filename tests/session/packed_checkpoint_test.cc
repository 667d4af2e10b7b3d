// Checkpoints that store weights as the CPU backend holds them: mapped, not copied, with the logits
// of the other ways to the same format, and refused by name where they are not what they say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "lib/base/file.h"
#include "lib/cpu/layout.h"
#include "lib/io/checkpoint.h"
#include "lib/session/quantize_model.h"
#include "lib/session/session.h"
#include "tests/io/temporary_directory.h"

namespace llmcore::core {
namespace {

using testing::HasSubstr;

constexpr uint64_t kMost = uint64_t{1} << 28;

std::string Abacus() {
  return std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus";
}

ModelOptions CpuOptions(WeightFormat format = WeightFormat::kAuto) {
  ModelOptions options;
  options.device = "cpu";
  options.weight_format = format;
  return options;
}

// Quantizes the small model into `layout` and returns the new directory.
std::string Quantize(const TemporaryDirectory& parent, WeightFormat format,
                     const std::string& layout) {
  const std::string destination =
      absl::StrCat(parent.path(), "/", WeightFormatName(format), "-", layout);
  ModelOptions options = CpuOptions(format);
  options.checkpoint_layout = layout;
  const absl::Status status = QuantizeModel(Abacus(), destination, options);
  EXPECT_TRUE(status.ok()) << status;
  return destination;
}

std::vector<float> LogitsOf(const std::string& directory, const ModelOptions& options) {
  const auto model = Model::Load(directory, options);
  EXPECT_TRUE(model.ok()) << model.status();
  if (!model.ok()) return {};
  const auto session = *Session::Create(*model);
  const std::vector<TokenId> tokens = {506, 17, 300, 4, 99, 250, 31, 8, 77, 410};
  EXPECT_TRUE(session->AppendTokens(tokens).ok());
  std::vector<float> logits;
  const absl::Status status = session->AllLogits(0, &logits);
  EXPECT_TRUE(status.ok()) << status;
  return logits;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return !a.empty() && a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

absl::Status LoadStatus(const std::string& directory, ModelOptions options = CpuOptions()) {
  return Model::Load(directory, options).status();
}

void Rewrite(const std::string& path, const std::string& content) {
  auto writer = AtomicFileWriter::Create(path);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE(writer->Append(content).ok());
  ASSERT_TRUE(writer->Commit().ok());
}

class PackedCheckpointTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = Quantize(parent_, WeightFormat::kInt4, "cpu");
    weights_ = directory_ + "/model.safetensors";
    config_ = directory_ + "/config.json";
    bytes_ = ReadFile(weights_, kMost).value();
  }

  const TemporaryDirectory parent_;
  std::string directory_;
  std::string weights_;
  std::string config_;
  std::string bytes_;  // of the weights
};

TEST_F(PackedCheckpointTest, GivesTheBitsOfRowsAndOfQuantizingAtLoad) {
  for (const WeightFormat format : {WeightFormat::kInt4, WeightFormat::kInt8}) {
    SCOPED_TRACE(WeightFormatName(format));
    const TemporaryDirectory parent;
    const std::vector<float> at_load = LogitsOf(Abacus(), CpuOptions(format));
    const std::string rows = Quantize(parent, format, "rows");
    const std::string packed = Quantize(parent, format, "cpu");
    for (const int threads : {1, 3}) {
      ModelOptions options = CpuOptions();
      options.threads = threads;
      EXPECT_TRUE(SameBits(LogitsOf(rows, options), at_load));
      EXPECT_TRUE(SameBits(LogitsOf(packed, options), at_load));
    }
    // The exact path reads the same panels.
    ModelOptions exact = CpuOptions();
    exact.activation_format = ActivationFormat::kF32;
    EXPECT_TRUE(SameBits(LogitsOf(packed, exact), LogitsOf(rows, exact)));
  }
}

TEST_F(PackedCheckpointTest, TheBytesDoNotDependOnTheThreads) {
  ModelOptions options = CpuOptions(WeightFormat::kInt4);
  options.checkpoint_layout = "cpu";
  options.threads = 3;
  ASSERT_TRUE(QuantizeModel(Abacus(), parent_.path() + "/again", options).ok());
  EXPECT_TRUE(ReadFile(parent_.path() + "/again/model.safetensors", kMost).value() == bytes_);
}

TEST_F(PackedCheckpointTest, ThePlanSaysWhatIsMapped) {
  const auto packed = Model::Plan(directory_, CpuOptions());
  ASSERT_TRUE(packed.ok()) << packed.status();
  const auto rows = Model::Plan(Quantize(parent_, WeightFormat::kInt4, "rows"), CpuOptions());
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(packed->total(), rows->total());
  EXPECT_EQ(rows->mapped_bytes, 0u);
  uint64_t stored = 0;
  const auto checkpoint = Checkpoint::Open(directory_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  for (const TensorView* tensor : checkpoint->tensors()) {
    if (tensor->dtype == DType::kU8) stored += tensor->data.size();
  }
  EXPECT_EQ(packed->mapped_bytes, stored);
  EXPECT_LT(packed->mapped_bytes, packed->bytes[static_cast<int>(MemoryCategory::kWeights)]);
  EXPECT_THAT(packed->ToJson(), HasSubstr(absl::StrCat("\"mapped_bytes\": ", stored)));
  // Mapped bytes count towards a budget: they must be there for a step to be fast.
  ModelOptions options = CpuOptions();
  options.kv_cache_tokens = 256;
  const uint64_t needed = Model::Plan(directory_, options)->total();
  options.memory_budget = needed - 1;
  EXPECT_EQ(LoadStatus(directory_, options).code(), absl::StatusCode::kResourceExhausted);
  options.memory_budget = needed;
  EXPECT_TRUE(LoadStatus(directory_, options).ok());
}

TEST_F(PackedCheckpointTest, WeightsAreAlignedAndTheModelOutlivesItsFile) {
  const auto checkpoint = Checkpoint::Open(directory_);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  for (const TensorView* tensor : checkpoint->tensors()) {
    EXPECT_EQ(tensor->offset % (tensor->dtype == DType::kU8 ? 64 : 2), 0u) << tensor->Where();
  }
  EXPECT_EQ(checkpoint->tensors().front()->offset,
            4096u * (checkpoint->tensors()[0]->offset / 4096));
  // A mapping keeps the file that was opened, whatever comes under its name.
  const auto model = Model::Load(directory_, CpuOptions());
  ASSERT_TRUE(model.ok()) << model.status();
  const std::vector<float> expected = LogitsOf(directory_, CpuOptions());
  std::filesystem::remove_all(directory_);
  const auto session = *Session::Create(*model);
  const std::vector<TokenId> tokens = {506, 17, 300, 4, 99, 250, 31, 8, 77, 410};
  ASSERT_TRUE(session->AppendTokens(tokens).ok());
  std::vector<float> logits;
  ASSERT_TRUE(session->AllLogits(0, &logits).ok());
  EXPECT_TRUE(SameBits(logits, expected));
}

TEST_F(PackedCheckpointTest, AnotherLayoutIsRefusedByName) {
  const std::string known = absl::StrCat("cpu-int4-", cpu::kPanelLayoutVersion);
  const std::string config = ReadFile(config_, kMost).value();
  ASSERT_THAT(config, HasSubstr(known));
  for (const std::string other : {"cpu-int4-v0", "cuda-int4-v1", "", "Rows"}) {
    Rewrite(config_, absl::StrReplaceAll(config, {{known, other}}));
    for (const absl::Status& status :
         {LoadStatus(directory_), Model::Plan(directory_, CpuOptions()).status()}) {
      if (other.empty()) {
        EXPECT_FALSE(status.ok());
        continue;
      }
      EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(other));
      EXPECT_THAT(std::string(status.message()), HasSubstr(known));
      EXPECT_THAT(std::string(status.message()), HasSubstr("quantize the original again"));
    }
  }
  // Packed bytes that claim to be rows, or another format, lack its tensors.
  Rewrite(config_, absl::StrReplaceAll(config, {{known, "rows"}}));
  EXPECT_EQ(LoadStatus(directory_).code(), absl::StatusCode::kNotFound);
  Rewrite(config_, absl::StrReplaceAll(config, {{"int4", "int8"}}));
  EXPECT_EQ(LoadStatus(directory_).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(PackedCheckpointTest, AConfigurationOfOtherShapesIsRefused) {
  const std::string config = ReadFile(config_, kMost).value();
  for (const auto& [from, to] :
       {std::pair("\"intermediate_size\": 384", "\"intermediate_size\": 448"),
        std::pair("\"vocab_size\": 512", "\"vocab_size\": 576"),
        std::pair("\"hidden_size\": 128", "\"hidden_size\": 4611686018427387904"),
        std::pair("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4")}) {
    ASSERT_THAT(config, HasSubstr(from));
    Rewrite(config_, absl::StrReplaceAll(config, {{from, to}}));
    const absl::Status status = LoadStatus(directory_);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << to << ": " << status;
  }
  const std::string more =
      absl::StrReplaceAll(config, {{"\"num_hidden_layers\": 4", "\"num_hidden_layers\": 5"}});
  Rewrite(config_, more);
  EXPECT_EQ(LoadStatus(directory_).code(), absl::StatusCode::kNotFound);
}

TEST_F(PackedCheckpointTest, AWeightThatIsNotAlignedIsRefused) {
  // Eight spaces more in the header move all data by eight bytes.
  uint64_t length = 0;
  std::memcpy(&length, bytes_.data(), sizeof length);
  std::string moved = bytes_;
  moved.insert(8 + length, 8, ' ');
  length += 8;
  std::memcpy(moved.data(), &length, sizeof length);
  Rewrite(weights_, moved);
  const absl::Status status = LoadStatus(directory_);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("must begin at a multiple of 64"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("embed_tokens.weight.packed"));
}

TEST_F(PackedCheckpointTest, TruncationsAreRefused) {
  for (size_t size = 0; size < bytes_.size(); size += 1 + size / 3) {
    Rewrite(weights_, bytes_.substr(0, size));
    EXPECT_FALSE(LoadStatus(directory_).ok()) << size;
  }
  Rewrite(weights_, bytes_.substr(0, bytes_.size() - 1));
  EXPECT_EQ(LoadStatus(directory_).code(), absl::StatusCode::kDataLoss);
}

TEST_F(PackedCheckpointTest, AScaleThatIsNotFiniteIsNamedAndAnyCodeIsHarmless) {
  uint64_t begin = 0;
  uint64_t size = 0;
  {
    const auto checkpoint = Checkpoint::Open(directory_);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    const TensorView* const tensor = checkpoint->Find(
        "model.layers.1.mlp.gate_proj.weight+model.layers.1.mlp.up_proj.weight"
        ".packed");
    ASSERT_NE(tensor, nullptr);
    begin = tensor->offset;
    size = tensor->data.size();
  }
  const uint16_t nan = 0x7FC0;
  std::string damaged = bytes_;
  // The last scale of the second block.
  std::memcpy(damaged.data() + begin + cpu::kInt4BlockBytes + cpu::kScaleBytes - 2, &nan, 2);
  Rewrite(weights_, damaged);
  const absl::Status status = LoadStatus(directory_);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("layers.1.mlp.gate_proj"));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(absl::StrCat("byte ", cpu::kInt4BlockBytes)));

  // Codes of every value give numbers, if wrong ones.
  damaged = bytes_;
  for (uint64_t block = 0; block < size / cpu::kInt4BlockBytes; ++block) {
    char* const codes = damaged.data() + begin + block * cpu::kInt4BlockBytes + cpu::kScaleBytes;
    for (int64_t i = 0; i < cpu::kInt4BlockBytes - cpu::kScaleBytes; ++i) {
      codes[i] = static_cast<char>(i * 7 + static_cast<int64_t>(block));
    }
  }
  Rewrite(weights_, damaged);
  EXPECT_FALSE(LogitsOf(directory_, CpuOptions()).empty());
}

TEST_F(PackedCheckpointTest, CancellingLeavesNothing) {
  ModelOptions options = CpuOptions();
  int reports = 0;
  options.progress = [&reports](absl::string_view stage, uint64_t done, uint64_t total) {
    EXPECT_EQ(stage, "load weights");
    EXPECT_LE(done, total);
    return ++reports < 3;
  };
  EXPECT_EQ(LoadStatus(directory_, options).code(), absl::StatusCode::kCancelled);
  options.progress = [](absl::string_view stage, uint64_t done, uint64_t) {
    EXPECT_EQ(stage, "quantize");
    return done < 100'000;
  };
  options.checkpoint_layout = "cpu";
  const TemporaryDirectory empty;
  const absl::Status status = QuantizeModel(Abacus(), empty.path() + "/out", options);
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  EXPECT_TRUE(std::filesystem::is_empty(empty.path()));
}

TEST_F(PackedCheckpointTest, WhatCannotBePackedSaysSo) {
  ModelOptions options = CpuOptions(WeightFormat::kBf16);
  options.checkpoint_layout = "cpu";
  EXPECT_EQ(QuantizeModel(Abacus(), parent_.path() + "/bf16", options).code(),
            absl::StatusCode::kInvalidArgument);
  options.weight_format = WeightFormat::kInt8;
  const absl::Status again = QuantizeModel(directory_, parent_.path() + "/again", options);
  EXPECT_THAT(std::string(again.message()), HasSubstr("is quantized already, to int4"));
  // A weight that is stored packed has one format.
  EXPECT_EQ(LoadStatus(directory_, CpuOptions(WeightFormat::kBf16)).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace llmcore::core
