// What a process really takes: the peak of its resident memory over loading, a prompt that fills
// the context and a reply, against the plan.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/file.h"
#include "lib/session/quantize_model.h"
#include "lib/session/session.h"
#include "tests/io/temporary_directory.h"
#include "tests/session/written_model.h"
#include "tests/support/sanitized_build.h"
#include "tests/support/zero_point_model.h"

namespace llmcore::core {
namespace {

constexpr int32_t kContext = 256;

// A line of /proc/self/status in bytes.
uint64_t ProcessStatus(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) == 0) return std::stoull(line.substr(key.size() + 1)) << 10;
  }
  return 0;
}

// Done in a process of its own, so that nothing that ran before is counted or reused. Ends it with
// an error on standard error where it fails.
template <typename Work>
bool InChild(const Work& work) {
  std::fflush(nullptr);  // or the child would print it again
  const pid_t child = fork();
  if (child == 0) {
    const absl::Status status = work();
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::fflush(nullptr);
    _exit(status.ok() ? 0 : 1);
  }
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

// One session that takes a whole context: each byte of the plan but the host's for other sequences
// is used.
ModelOptions FullUse(WeightFormat format) {
  ModelOptions options;
  options.device = "cpu";
  options.weight_format = format;
  options.max_context = kContext;
  options.kv_cache_tokens = kContext;
  options.max_batch_sequences = 1;
  return options;
}

absl::Status Run(const std::shared_ptr<const Model>& model) {
  LLMCORE_ASSIGN_OR_RETURN(const auto session, Session::Create(model));
  const auto context = static_cast<size_t>(model->plan().max_context);
  LLMCORE_RETURN_IF_ERROR(session->AppendTokens(std::vector<TokenId>(context * 9 / 10, 17)));
  GenerationParams params;
  params.temperature = 0.8f;
  params.ignore_eos = true;
  params.seed = 1;
  LLMCORE_RETURN_IF_ERROR(session->StartGeneration(params));
  while (true) {
    LLMCORE_ASSIGN_OR_RETURN(const GenerationEvent event, session->NextEvent());
    if (event.finish_reason != FinishReason::kNone) return absl::OkStatus();
  }
}

// Loads, fills the context, and compares the peak with the plan.
template <typename Load>
absl::Status Measure(const std::string& name, const Load& load) {
  const uint64_t before = ProcessStatus("VmRSS:");
  LLMCORE_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, load());
  const uint64_t loaded = ProcessStatus("VmHWM:");
  LLMCORE_RETURN_IF_ERROR(Run(model));
  const uint64_t peak = ProcessStatus("VmHWM:") - before;
  const auto planned = static_cast<double>(model->plan().total());
  const auto measured = static_cast<double>(peak);
  std::printf("%-28s plan %8.1f MB, peak %8.1f MB (%8.1f MB while loading), %+.1f MB\n",
              name.c_str(), planned / 1e6, measured / 1e6,
              static_cast<double>(loaded - before) / 1e6, (measured - planned) / 1e6);
  const double tolerance = 0.03 * planned + 20e6;
  if (measured > planned + tolerance) return absl::InternalError("more than was planned");
  if (measured < planned - tolerance) return absl::InternalError("less than was planned");
  return absl::OkStatus();
}

class ResidentMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "a sanitizer takes memory of its own";
  }

  static void CheckDirectory(const std::string& name, const std::string& directory,
                             const ModelOptions& options) {
    EXPECT_TRUE(InChild([&] {
      return Measure(name, [&] { return Model::Load(directory, options); });
    })) << name;
  }
  static void CheckShape(const std::string& shape, WeightFormat format) {
    const std::string name = absl::StrCat(shape, " ", WeightFormatName(format));
    EXPECT_TRUE(InChild([&] {
      return Measure(name, [&] { return Model::LoadSynthetic(shape, FullUse(format)); });
    })) << name;
  }
};

TEST_F(ResidentMemoryTest, OfSmallModelsIsThePlan) {
  const std::string abacus = std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus";
  for (const WeightFormat format :
       {WeightFormat::kF32, WeightFormat::kBf16, WeightFormat::kInt8, WeightFormat::kInt4}) {
    CheckDirectory(absl::StrCat("built-in ", WeightFormatName(format)), abacus, FullUse(format));
  }
  const std::string stories = std::string(LLMCORE_REFERENCE_DIR) + "/models/stories260K-f32";
  if (!std::filesystem::exists(stories)) GTEST_SKIP() << "no model at " << stories;
  CheckDirectory("stories260K", stories, FullUse(WeightFormat::kAuto));
}

TEST_F(ResidentMemoryTest, OfPublishedShapesIsThePlan) {
  CheckShape("qwen2.5-0.5b", WeightFormat::kInt4);
  CheckShape("llama-3.2-1b", WeightFormat::kInt4);
  CheckShape("llama-3.2-1b", WeightFormat::kInt8);
  CheckShape("llama-3.2-1b", WeightFormat::kBf16);
}

// Rows are gathered a slice at a time, from tensors that are given back weight by weight.
TEST_F(ResidentMemoryTest, OfZeroPointsIsThePlan) {
  for (const auto packing : {ZeroPointModel::Packing::kAwq, ZeroPointModel::Packing::kGptq}) {
    const TemporaryDirectory directory;
    WriteZeroPointModel(
        {.packing = packing, .hidden = 1536, .inner = 8960, .layers = 4, .vocabulary = 512},
        directory.path(), "");
    CheckDirectory(packing == ZeroPointModel::Packing::kAwq ? "AWQ" : "GPTQ", directory.path(),
                   FullUse(WeightFormat::kAuto));
  }
}

// A tokenizer is not in the plan. What is made of it is kept small, and what it is made from, ten
// times as large, is given back.
TEST_F(ResidentMemoryTest, OfALargeTokenizerIsWithinTheTolerance) {
  const TemporaryDirectory parent;
  for (const auto& [name, vocabulary] :
       {std::pair("qwen2.5", 151936), std::pair("llama-3.1", 128256)}) {
    const std::string tokenizer = absl::StrCat(LLMCORE_REFERENCE_DIR, "/tokenizers/", name);
    if (!std::filesystem::exists(tokenizer)) GTEST_SKIP() << "no tokenizer at " << tokenizer;
    const std::string directory = absl::StrCat(parent.path(), "/", name);
    std::filesystem::copy(tokenizer, directory);
    WriteModel(directory, vocabulary);
    CheckDirectory(absl::StrCat("tokenizer of ", name), directory, FullUse(WeightFormat::kInt4));
    std::filesystem::remove_all(directory);
  }
}

TEST_F(ResidentMemoryTest, OfCheckpointsIsThePlanHoweverTheyAreStored) {
  const TemporaryDirectory parent;
  const std::string original = parent.path() + "/original";
  ASSERT_TRUE(CreateDirectory(original).ok());
  WriteModel(original);
  CheckDirectory("bf16 as stored", original, FullUse(WeightFormat::kAuto));
  for (const WeightFormat format : {WeightFormat::kInt4, WeightFormat::kInt8}) {
    const std::string formatted(WeightFormatName(format));
    CheckDirectory(formatted + " at load", original, FullUse(format));
    for (const std::string layout : {"rows", "cpu"}) {
      const std::string directory = absl::StrCat(parent.path(), "/", formatted, layout);
      ASSERT_TRUE(InChild([&] {
        ModelOptions options;
        options.weight_format = format;
        options.checkpoint_layout = layout;
        return QuantizeModel(original, directory, options);
      }));
      CheckDirectory(absl::StrCat(formatted, " stored as ", layout), directory,
                     FullUse(WeightFormat::kAuto));
    }
  }
}

}  // namespace
}  // namespace llmcore::core
