// Models of AWQ and GPTQ checkpoints, from the directory to logits.
#include "tests/support/zero_point_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "lib/base/file.h"
#include "lib/session/quantize_model.h"
#include "lib/session/session.h"
#include "tests/io/temporary_directory.h"
#include "tests/session/support.h"

namespace llmcore::core {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Packing = ZeroPointModel::Packing;

ModelOptions Options(ActivationFormat activations = ActivationFormat::kAuto) {
  ModelOptions options;
  options.device = "cpu";
  options.kv_format = KvFormat::kF32;
  options.activation_format = activations;
  return options;
}

// Of 20 positions; empty where the model does not load.
std::vector<float> LogitsOf(const std::string& directory, const ModelOptions& options) {
  const auto model = Model::Load(directory, options);
  EXPECT_TRUE(model.ok()) << model.status();
  if (!model.ok()) return {};
  const auto session = SessionOf(*model, RandomTokens(20, 5, 80));
  std::vector<float> logits;
  const absl::Status status = session->AllLogits(0, &logits);
  EXPECT_TRUE(status.ok()) << status;
  return logits;
}

// ||a - b|| / ||b||
double Distance(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size() || a.empty()) return INFINITY;
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  return std::sqrt(error / norm);
}

struct Case {
  std::string name;
  ZeroPointModel model;
};

std::vector<Case> Cases() {
  return {
      {"awq", {}},
      {"gptq", {.packing = Packing::kGptq}},
      {"gptq v2", {.packing = Packing::kGptqV2}},
      {"awq, a scale a row", {.group_size = -1}},
      {"gptq, groups of 256", {.packing = Packing::kGptq, .group_size = 256}},
      {"awq, some plain", {.plain = {"k_proj", "down_proj", "layers.1.mlp"}}},
      {"gptq, all attention plain", {.packing = Packing::kGptq, .plain = {"self_attn"}}},
      {"awq, scales in bf16", {.scales = DType::kBf16}},
      {"gptq, head and empty biases",
       {.packing = Packing::kGptq, .quantized_head = true, .empty_biases = true}},
      // Weights of several slices, in one part and over three.
      {"awq, long", {.hidden = 384, .inner = 24576, .layers = 1}},
      {"gptq, wide", {.packing = Packing::kGptq, .hidden = 3264, .inner = 64, .layers = 1}},
  };
}

TEST(ZeroPointModelTest, GivesTheLogitsOfItsValues) {
  for (const auto& [name, shape] : Cases()) {
    SCOPED_TRACE(name);
    const TemporaryDirectory model, twin;
    WriteZeroPointModel(shape, model.path(), twin.path());
    const std::vector<float> expected = LogitsOf(twin.path(), Options());
    const std::vector<float> exact = LogitsOf(model.path(), Options(ActivationFormat::kF32));
    EXPECT_LT(Distance(exact, expected), 1e-5);
    const std::vector<float> quick = LogitsOf(model.path(), Options());
    EXPECT_LT(Distance(quick, expected), 0.05);
    EXPECT_GT(Distance(quick, expected), 0);  // "auto" is int8
    for (const int threads : {1, 3}) {
      ModelOptions options = Options();
      options.threads = threads;
      EXPECT_EQ(LogitsOf(model.path(), options), quick);
    }
  }
}

TEST(ZeroPointModelTest, ThePlanNamesTheFormatAndOnlyThatIsGiven) {
  const TemporaryDirectory model;
  WriteZeroPointModel({}, model.path(), "");
  const auto plan = Model::Plan(model.path(), Options());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->weight_format, WeightFormat::kInt4Zeros);
  EXPECT_THAT(plan->ToJson(), HasSubstr("\"weight_format\": \"int4-zeros\""));
  for (const WeightFormat format : {WeightFormat::kInt4, WeightFormat::kInt8, WeightFormat::kBf16,
                                    WeightFormat::kF16, WeightFormat::kF32}) {
    ModelOptions options = Options();
    options.weight_format = format;
    const absl::Status status = Model::Load(model.path(), options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("are stored in int4-zeros"),
                      HasSubstr(std::string(WeightFormatName(format)))));
  }
  ModelOptions options = Options();
  options.weight_format = WeightFormat::kInt4Zeros;
  EXPECT_TRUE(Model::Load(model.path(), options).ok());
  EXPECT_EQ(Model::Load(AbacusDirectory(), options).status().code(),
            absl::StatusCode::kInvalidArgument);
  for (const std::string layout : {"rows", "cpu"}) {
    options = Options();
    options.checkpoint_layout = layout;
    const absl::Status status = QuantizeModel(model.path(), model.path() + "/again", options);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("is quantized already, to int4-zeros"));
    EXPECT_FALSE(std::filesystem::exists(model.path() + "/again"));
  }
}

TEST(ZeroPointModelTest, TensorsThatDoNotBelongAreRefused) {
  const TemporaryDirectory model;
  ZeroPointModel shape = {.packing = Packing::kGptq, .empty_biases = true, .layers = 1};
  WriteZeroPointModel(shape, model.path(), "");
  const std::string weights = model.path() + "/model.safetensors";
  const std::string bytes = ReadFile(weights, 1 << 26).value();
  const auto status_with = [&](const std::string& from, const std::string& to) {
    const size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    std::string changed = bytes;
    changed.replace(at, to.size(), to);
    model.Write("model.safetensors", changed);
    return Model::Load(model.path(), Options()).status();
  };
  // Of a module of another name; a plain weight beside the codes.
  EXPECT_THAT(std::string(status_with("mlp.up_proj.qzeros", "mlp.up_prox.qzeros").message()),
              HasSubstr("mlp.up_proj.qzeros"));
  EXPECT_THAT(std::string(status_with("mlp.up_proj.g_idx", "mlp.up_prox.g_idx").message()),
              AllOf(HasSubstr("mlp.up_prox.weight"), HasSubstr("does not use")));
  EXPECT_THAT(std::string(status_with("mlp.up_proj.bias\"", "mlp.up_proj.biax\"").message()),
              AllOf(HasSubstr("mlp.up_proj.biax"), HasSubstr("does not use")));

  // A bias that is not empty, and scales that are not finite, with their places.
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto offset_of = [&](const std::string& name) {
    const size_t at = bytes.find("\"data_offsets\":", bytes.find("\"" + name + "\""));
    return 8 + header + std::stoull(bytes.substr(bytes.find('[', at) + 1, 20));
  };
  const auto status_after = [&](const std::string& name, uint64_t at, uint16_t value) {
    std::string changed = bytes;
    std::memcpy(changed.data() + offset_of(name) + at * sizeof value, &value, sizeof value);
    model.Write("model.safetensors", changed);
    return Model::Load(model.path(), Options()).status();
  };
  const std::string layer = "model.layers.0.";
  EXPECT_THAT(std::string(status_after(layer + "mlp.down_proj.bias", 7, 0x3C00).message()),
              AllOf(HasSubstr("mlp.down_proj.bias"), HasSubstr("does not use")));
  const absl::Status infinite = status_after(layer + "mlp.up_proj.scales", 264 + 3, 0x7C00);
  EXPECT_EQ(infinite.code(), absl::StatusCode::kInvalidArgument) << infinite;
  EXPECT_THAT(std::string(infinite.message()),
              AllOf(HasSubstr("model.safetensors"), HasSubstr("mlp.up_proj.scales"),
                    HasSubstr("the scale of group 1, output 3 is NaN or infinite")));
  for (size_t size = 0; size < bytes.size(); size += 1 + size / 2) {
    model.Write("model.safetensors", bytes.substr(0, size));
    EXPECT_FALSE(Model::Load(model.path(), Options()).ok()) << size;
  }
}

TEST(ZeroPointModelTest, TheConfigurationMustFitTheTensors) {
  const TemporaryDirectory model;
  WriteZeroPointModel({.packing = Packing::kGptq}, model.path(), "");
  const std::string config = ReadFile(model.path() + "/config.json", 1 << 20).value();
  for (const auto& [from, to] :
       {std::pair("\"group_size\": 128", "\"group_size\": 256"),
        std::pair("\"quant_method\": \"gptq\"", "\"quant_method\": \"awq\""),
        std::pair("\"intermediate_size\": 264", "\"intermediate_size\": 272"),
        std::pair("\"hidden_size\": 192", "\"hidden_size\": 96")}) {
    ASSERT_THAT(config, HasSubstr(from));
    model.Write("config.json", absl::StrReplaceAll(config, {{from, to}}));
    const absl::Status status = Model::Plan(model.path(), Options()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << to << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("asks for the shape")) << to;
  }
  model.Write("config.json",
              absl::StrReplaceAll(config, {{"\"quantization_config\"", "\"other\""}}));
  EXPECT_EQ(Model::Plan(model.path(), Options()).status().code(), absl::StatusCode::kNotFound);
}

TEST(ZeroPointModelTest, AHeadThatIsQuantizedAndTiedIsRefused) {
  const TemporaryDirectory model;
  WriteZeroPointModel({.quantized_head = true}, model.path(), "");
  const std::string config = ReadFile(model.path() + "/config.json", 1 << 20).value();
  model.Write("config.json",
              absl::StrReplaceAll(config, {{"_embeddings\": false", "_embeddings\": true"}}));
  const absl::Status status = Model::Plan(model.path(), Options()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("lm_head.weight"));
}

TEST(ZeroPointModelTest, LoadingReportsAndCanBeCancelled) {
  const TemporaryDirectory model;
  WriteZeroPointModel({.hidden = 384, .inner = 24576, .layers = 1}, model.path(), "");
  ModelOptions options = Options();
  uint64_t last = 0, whole = 0, reports = 0;
  options.progress = [&](absl::string_view stage, uint64_t done, uint64_t total) {
    EXPECT_EQ(stage, "load weights");
    EXPECT_GE(done, last);
    EXPECT_LE(done, total);
    last = done;
    whole = total;
    ++reports;
    return true;
  };
  ASSERT_TRUE(Model::Load(model.path(), options).ok());
  EXPECT_EQ(last, whole);
  EXPECT_GT(reports, 15u);
  const uint64_t most = reports;
  for (const uint64_t stop : {uint64_t{1}, most / 3, most / 2, most - 1}) {
    uint64_t count = 0;
    options.progress = [&](absl::string_view, uint64_t, uint64_t) { return ++count < stop; };
    EXPECT_EQ(Model::Load(model.path(), options).status().code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(count, stop);
  }
}

}  // namespace
}  // namespace llmcore::core
