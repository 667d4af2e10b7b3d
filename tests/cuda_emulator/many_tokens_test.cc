// Products of many tokens on the emulated device: whose they are, what they take, and what happens
// when the library that multiplies them fails.
#include <gtest/gtest.h>

#include <cmath>

#include "lib/backend/cuda_backend.h"
#include "lib/session/session.h"
#include "tests/conformance/harness.h"
#include "tests/cuda_emulator/cublas_lt.h"
#include "tests/cuda_emulator/runtime.h"

namespace llmcore::core {
namespace {

constexpr int kExecutionFailed = 13;  // CUBLAS_STATUS_EXECUTION_FAILED

class ManyTokensTest : public testing::Test {
 protected:
  void SetUp() override { Reset(); }
  void TearDown() override { Reset(); }
  static void Reset() {
    cuda_emulator::ResetDevice();
    cuda_emulator::ResetCublasLt();
  }
};

// ---- A model -----------------------------------------------------------------------------------

constexpr int32_t kManyTokens = 385;

absl::StatusOr<std::shared_ptr<const Model>> LoadForLongPrompts(bool deterministic) {
  ModelOptions options;
  options.device = "cuda";
  options.weight_format = WeightFormat::kInt4;
  options.kv_cache_tokens = 512;
  options.max_context = 400;
  options.max_batch_tokens = 400;
  options.prefix_cache = false;
  options.deterministic = deterministic;
  return Model::Load(std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus", options);
}

// After a prompt that is one step of many tokens.
absl::StatusOr<std::vector<float>> LogitsOfALongPrompt(const std::shared_ptr<const Model>& model) {
  LLMCORE_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(model));
  std::vector<TokenId> tokens(kManyTokens);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>(3 + i % 11);
  LLMCORE_RETURN_IF_ERROR(session->AppendTokens(tokens));
  LLMCORE_ASSIGN_OR_RETURN(const std::span<const float> logits, session->Logits());
  return std::vector<float>(logits.begin(), logits.end());
}

TEST_F(ManyTokensTest, ALongPromptIsTheLibrarysWhereBitsMayDifferAndItIsThere) {
  const auto exact = LoadForLongPrompts(/*deterministic=*/true);
  ASSERT_TRUE(exact.ok()) << exact.status();
  const auto expected = LogitsOfALongPrompt(*exact);
  ASSERT_TRUE(expected.ok()) << expected.status();
  EXPECT_EQ(cuda_emulator::CublasLtCalls(), 0);  // not even opened

  const uint64_t before = cuda_emulator::AllocatedBytes();
  const auto fast = LoadForLongPrompts(/*deterministic=*/false);
  ASSERT_TRUE(fast.ok()) << fast.status();
  EXPECT_NE((*fast)->BackendDescription().find("with cuBLASLt"), std::string::npos);
  const MemoryPlan& plan = (*fast)->plan();
  const uint64_t bytes = plan.total() - plan.bytes[static_cast<size_t>(MemoryCategory::kHost)];
  EXPECT_GT(plan.total(), (*exact)->plan().total());
  EXPECT_EQ(cuda_emulator::AllocatedBytes() - before, bytes);
  const auto logits = LogitsOfALongPrompt(*fast);
  ASSERT_TRUE(logits.ok()) << logits.status();
  EXPECT_GT(cuda_emulator::CublasLtProducts(), 0);
  EXPECT_EQ(cuda_emulator::AllocatedBytes() - before, bytes);
  double difference = 0;
  double size = 0;
  for (size_t i = 0; i < expected->size(); ++i) {
    difference += std::pow((*logits)[i] - (*expected)[i], 2);
    size += std::pow((*expected)[i], 2);
  }
  EXPECT_LT(std::sqrt(difference / size), 0.02);

  cuda_emulator::SetCublasLt(false);
  const auto without = LoadForLongPrompts(/*deterministic=*/false);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_NE((*without)->BackendDescription().find("without cuBLASLt: libcublasLt.so"),
            std::string::npos)
      << (*without)->BackendDescription();
  EXPECT_EQ((*without)->plan().total(), (*exact)->plan().total());
  EXPECT_EQ(*LogitsOfALongPrompt(*without), *expected);
}

// ---- Products ----------------------------------------------------------------------------------

// A backend that leaves every product to the library.
conformance::Harness AllProducts(const StepLimits& limits) {
  CudaBackendOptions options;
  options.deterministic = false;
  options.many_tokens = 1;
  return {*CreateCudaBackend(0, options), limits};
}

// `rows` tokens of 16 columns times a weight of `outputs` rows.
LinearParams SmallProduct(conformance::Harness* harness, size_t rows, size_t outputs) {
  conformance::Random random(1);
  LinearParams params;
  params.in = harness->Upload(conformance::RandomTable(rows, 16, 1, &random));
  const conformance::SourceWeight weight =
      conformance::MakeSource(conformance::RandomTable(outputs, 16, 0.2, &random), DType::kBf16);
  params.weight =
      *conformance::Pack(harness, WeightFormat::kBf16, WeightKind::kPlain, {weight.matrix()});
  params.out = harness->NewMatrix(rows, outputs);
  return params;
}

TEST_F(ManyTokensTest, OnlyManyTokensAreTheLibrarys) {
  CudaBackendOptions options;
  options.deterministic = false;
  conformance::Harness harness(*CreateCudaBackend(0, options), conformance::AmpleLimits());
  const LinearParams few = SmallProduct(&harness, kManyTokens - 1, 16);
  ASSERT_TRUE(harness.backend().Linear(harness.Context(), few).ok());
  EXPECT_EQ(cuda_emulator::CublasLtProducts(), 0);
  const LinearParams many = SmallProduct(&harness, kManyTokens, 16);
  ASSERT_TRUE(harness.backend().Linear(harness.Context(), many).ok());
  EXPECT_GT(cuda_emulator::CublasLtProducts(), 0);
}

TEST_F(ManyTokensTest, AnAlgorithmIsChosenOnceForAnyNumberOfTokens) {
  conformance::Harness harness = AllProducts(conformance::AmpleLimits());
  for (const size_t rows : {3, 1, 200}) {
    const LinearParams product = SmallProduct(&harness, rows, 16);
    ASSERT_TRUE(harness.backend().Linear(harness.Context(), product).ok());
    EXPECT_EQ(cuda_emulator::CublasLtChoices(), 1);
  }
}

TEST_F(ManyTokensTest, AShapeThatTheLibraryDoesNotServeIsOurOwn) {
  conformance::Harness own(*CreateCudaBackend(0), conformance::AmpleLimits());
  const LinearParams expected = SmallProduct(&own, 5, 16);
  ASSERT_TRUE(own.backend().Linear(own.Context(), expected).ok());
  cuda_emulator::SetCublasLtServes(false);
  conformance::Harness harness = AllProducts(conformance::AmpleLimits());
  const LinearParams product = SmallProduct(&harness, 5, 16);
  ASSERT_TRUE(harness.backend().Linear(harness.Context(), product).ok());
  EXPECT_EQ(harness.Read(product.out), own.Read(expected.out));
  EXPECT_EQ(cuda_emulator::CublasLtProducts(), 0);
}

// Opening falls back, a step does not: its bits would depend on the moment.
TEST_F(ManyTokensTest, EveryFailingCallOfTheLibraryIsHandledAndLeaksNothing) {
  CudaBackendOptions options;
  options.deterministic = false;
  {
    const auto backend = CreateCudaBackend(0, options);
    ASSERT_TRUE(backend.ok());
    EXPECT_GT(cuda_emulator::CublasLtObjects(), 0);
    const int64_t calls = cuda_emulator::CublasLtCalls();
    for (int64_t call = 1; call <= calls; ++call) {
      cuda_emulator::FailCublasLt(call, kExecutionFailed);
      const auto without = CreateCudaBackend(0, options);
      ASSERT_TRUE(without.ok());
      EXPECT_NE((*without)->Description().find("CUBLAS_STATUS_EXECUTION_FAILED"), std::string::npos)
          << (*without)->Description();
    }
  }
  EXPECT_EQ(cuda_emulator::CublasLtObjects(), 0);

  conformance::Harness harness = AllProducts(conformance::AmpleLimits());
  const LinearParams product = SmallProduct(&harness, 2, 16);
  ASSERT_TRUE(harness.backend().Linear(harness.Context(), product).ok());
  const std::vector<float> expected = harness.Read(product.out);
  const int64_t first = cuda_emulator::CublasLtCalls();
  ASSERT_TRUE(harness.backend().Linear(harness.Context(), product).ok());
  const int64_t calls = cuda_emulator::CublasLtCalls() - first;
  EXPECT_GT(calls, 1);
  for (int64_t call = 1; call <= calls; ++call) {
    cuda_emulator::FailCublasLt(call, kExecutionFailed);
    const absl::Status status = harness.backend().Linear(harness.Context(), product);
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    EXPECT_NE(status.message().find("CUBLAS_STATUS_EXECUTION_FAILED"), std::string::npos) << status;
    ASSERT_TRUE(harness.backend().Linear(harness.Context(), product).ok());
    EXPECT_EQ(harness.Read(product.out), expected);
  }
}

TEST_F(ManyTokensTest, MoreShapesThanAreRememberedAreChosenAnew) {
  conformance::Harness harness = AllProducts(conformance::AmpleLimits());
  const LinearParams first = SmallProduct(&harness, 2, 16);
  ASSERT_TRUE(harness.backend().Linear(harness.Context(), first).ok());
  const std::vector<float> expected = harness.Read(first.out);
  EXPECT_EQ(cuda_emulator::CublasLtChoices(), 1);
  for (size_t tiles = 2; tiles < 40; ++tiles) {
    const LinearParams other = SmallProduct(&harness, 1, 16 * tiles);
    ASSERT_TRUE(harness.backend().Linear(harness.Context(), other).ok());
  }
  EXPECT_EQ(cuda_emulator::CublasLtChoices(), 39);
  ASSERT_TRUE(harness.backend().Linear(harness.Context(), first).ok());
  EXPECT_EQ(cuda_emulator::CublasLtChoices(), 40);
  EXPECT_EQ(harness.Read(first.out), expected);
}

TEST_F(ManyTokensTest, AWorkspaceThatIsTooSmallIsAnError) {
  conformance::Harness harness = AllProducts(conformance::AmpleLimits());
  const LinearParams product = SmallProduct(&harness, 2, 16);
  StepContext context = harness.Context();
  context.workspace = context.workspace.first(4096);
  const absl::Status status = harness.backend().Linear(context, product);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal) << status;
  EXPECT_NE(status.message().find("workspace"), std::string::npos) << status;
}

// Where the library cannot even be asked, our own kernel serves the shape from then on.
TEST_F(ManyTokensTest, AShapeThatCannotBeAskedForIsOurOwn) {
  conformance::Harness harness = AllProducts(conformance::AmpleLimits());
  const LinearParams product = SmallProduct(&harness, 2, 16);
  for (const int64_t call : {1, 2}) {
    cuda_emulator::FailCublasLt(call, kExecutionFailed);
    ASSERT_TRUE(harness.backend().Linear(harness.Context(), product).ok());
    EXPECT_EQ(cuda_emulator::CublasLtProducts(), 0);
  }
}

TEST_F(ManyTokensTest, MemoryThatTheLibraryLacksIsSaidSo) {
  conformance::Harness harness = AllProducts(conformance::AmpleLimits());
  const LinearParams product = SmallProduct(&harness, 2, 16);
  ASSERT_TRUE(harness.backend().Linear(harness.Context(), product).ok());
  const int64_t before = cuda_emulator::CublasLtCalls();
  ASSERT_TRUE(harness.backend().Linear(harness.Context(), product).ok());
  const int64_t calls = cuda_emulator::CublasLtCalls() - before;
  cuda_emulator::FailCublasLt(calls, 3);
  const absl::Status status = harness.backend().Linear(harness.Context(), product);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

}  // namespace
}  // namespace llmcore::core
