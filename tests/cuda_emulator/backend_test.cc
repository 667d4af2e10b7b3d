// What the CUDA backend does when its device fails: every call of the runtime, one after the other.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "lib/backend/cuda_backend.h"
#include "lib/session/session.h"
#include "tests/cuda_emulator/runtime.h"
#include "tests/io/temporary_directory.h"
#include "tests/support/zero_point_model.h"

namespace llmcore::core {
namespace {

std::string Abacus() {
  return std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus";
}

ModelOptions Options(absl::string_view device) {
  ModelOptions options;
  options.device = std::string(device);
  options.kv_cache_tokens = 256;
  options.max_context = 64;
  options.max_batch_tokens = 16;
  return options;
}

absl::StatusOr<std::vector<float>> Logits(const std::shared_ptr<const Model>& model) {
  LLMCORE_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(model));
  std::vector<TokenId> tokens(5);
  std::iota(tokens.begin(), tokens.end(), 3);
  LLMCORE_RETURN_IF_ERROR(session->AppendTokens(tokens));
  std::vector<float> logits;
  LLMCORE_RETURN_IF_ERROR(session->AllLogits(0, &logits));
  return logits;
}

class CudaBackendTest : public testing::Test {
 protected:
  void SetUp() override { cuda_emulator::ResetDevice(); }
  void TearDown() override { cuda_emulator::ResetDevice(); }
};

TEST_F(CudaBackendTest, WithoutADeviceCudaIsUnavailableAndAutoIsTheCpu) {
  cuda_emulator::SetDeviceCount(0);
  EXPECT_EQ(CreateCudaBackend(0).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Model::Load(Abacus(), Options("cuda")).status().code(), absl::StatusCode::kUnavailable);
  const auto model = Model::Load(Abacus(), Options("auto"));
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->BackendDescription().substr(0, 3), "cpu");
}

TEST_F(CudaBackendTest, ADeviceThatIsNotThereIsNamed) {
  const absl::Status status = CreateCudaBackend(3).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(status.message().find("device 3"), std::string::npos) << status;
}

TEST_F(CudaBackendTest, ABrokenDeviceIsRememberedByItsModelAlone) {
  const auto broken = Model::Load(Abacus(), Options("cuda"));
  ASSERT_TRUE(broken.ok()) << broken.status();
  const auto cpu = Model::Load(Abacus(), Options("cpu"));
  ASSERT_TRUE(cpu.ok()) << cpu.status();
  ASSERT_TRUE(Logits(*broken).ok());
  cuda_emulator::FailCall(5, cudaErrorIllegalAddress);
  const absl::Status first = Logits(*broken).status();
  EXPECT_EQ(first.code(), absl::StatusCode::kInternal);
  EXPECT_NE(first.message().find("cudaErrorIllegalAddress"), std::string::npos) << first;
  // Even where the device itself would go on, this model does not: what is in its memory is
  // unknown.
  cuda_emulator::ResetDevice();
  EXPECT_EQ(Logits(*broken).status(), first);
  EXPECT_TRUE(Logits(*cpu).ok());
  const auto another = Model::Load(Abacus(), Options("cuda"));
  ASSERT_TRUE(another.ok()) << another.status();
  EXPECT_TRUE(Logits(*another).ok());
}

// Loading, and a step, with each call failing in turn: an error that says what failed, nothing
// leaked, and a model that was there goes on.
TEST_F(CudaBackendTest, EveryFailingCallIsAnErrorAndLeaksNothing) {
  const uint64_t before = cuda_emulator::AllocatedBytes();
  const int64_t first = cuda_emulator::Calls();
  std::vector<float> expected;
  {
    const auto model = Model::Load(Abacus(), Options("cuda"));
    ASSERT_TRUE(model.ok()) << model.status();
    expected = *Logits(*model);
  }
  const int64_t calls = cuda_emulator::Calls() - first;
  ASSERT_GT(calls, 100);
  EXPECT_EQ(cuda_emulator::AllocatedBytes(), before);
  const int64_t step = calls / 12;  // spread over all of them; each try is a load
  int failures = 0;
  for (int64_t call = 1; call <= calls; call += step) {
    for (const cudaError_t error : {cudaErrorMemoryAllocation, cudaErrorLaunchFailure}) {
      cuda_emulator::FailCall(call, error);
      {
        const auto model = Model::Load(Abacus(), Options("cuda"));
        const absl::StatusOr<std::vector<float>> logits =
            model.ok() ? Logits(*model) : model.status();
        // A call that only frees, or asks what may stay unknown, has nobody to tell.
        if (logits.ok()) {
          EXPECT_EQ(*logits, expected) << "call " << call;
        } else {
          ++failures;
          EXPECT_NE(logits.status().message(), "") << "call " << call;
        }
      }
      cuda_emulator::ResetDevice();
      EXPECT_EQ(cuda_emulator::AllocatedBytes(), before) << "call " << call;
    }
  }
  EXPECT_GT(failures, 10);
}

TEST_F(CudaBackendTest, MemoryThatIsNotThereIsRefusedWithItsBytes) {
  ModelOptions options = Options("cuda");
  options.kv_cache_tokens = int64_t{1} << 28;
  const absl::Status status = Model::Load(Abacus(), options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_TRUE(BytesNeeded(status).has_value());
}

// Each launch costs microseconds, of which a token of a small model has few hundred.
TEST_F(CudaBackendTest, ATokenIsSixLaunchesALayerAndWaitsOnce) {
  const auto model = Model::Load(Abacus(), Options("cuda"));
  ASSERT_TRUE(model.ok()) << model.status();
  const auto session = Session::Create(*model);
  ASSERT_TRUE(session.ok()) << session.status();
  const TokenId prompt[] = {5, 6, 7};
  ASSERT_TRUE((*session)->AppendTokens(prompt).ok());
  ASSERT_TRUE((*session)->Logits().ok());
  const int64_t launches = cuda_emulator::Launches();
  const int64_t waits = cuda_emulator::Waits();
  const TokenId token[] = {8};
  ASSERT_TRUE((*session)->AppendTokens(token).ok());
  ASSERT_TRUE((*session)->Logits().ok());
  // The batch, embedding, the row whose logits are wanted, head.
  EXPECT_EQ(cuda_emulator::Launches() - launches, 6 * (*model)->config().num_layers + 4);
  EXPECT_EQ(cuda_emulator::Waits() - waits, 1);  // for the logits
}

// Blocks go to the host and come back in the order of the stream: whoever reads them waits, once.
TEST_F(CudaBackendTest, SwappingWaitsForNothing) {
  const auto backend = CreateCudaBackend(0);
  ASSERT_TRUE(backend.ok()) << backend.status();
  SwapBlocksParams params;
  params.cache = {{KvFormat::kF32, 3, 2, 8, 16}, nullptr, 4};
  const uint64_t bytes = (*backend)->KvBlockBytes(params.cache.shape);
  const auto cache = (*backend)->Allocate(bytes * 3 * 4);
  const auto host = (*backend)->AllocateHost(bytes * 3 * 2);
  ASSERT_TRUE(cache.ok() && host.ok());
  std::vector<std::byte> values(bytes * 3 * 4);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::byte>(i * 31 / 7);
  ASSERT_TRUE((*backend)->CopyToDevice((*cache)->data(), values).ok());
  params.cache.data = (*cache)->data();
  params.host = static_cast<std::byte*>((*host)->data());
  params.host_places = 2;
  const std::vector<int32_t> out = {3, 1};
  const std::vector<int32_t> in = {0, 2};
  const std::vector<int32_t> places = {1, 0};
  params.places = places;
  const int64_t waits = cuda_emulator::Waits();
  params.blocks = out;
  ASSERT_TRUE((*backend)->SwapBlocks({}, params).ok());
  params.direction = SwapBlocksParams::Direction::kIn;
  params.blocks = in;
  ASSERT_TRUE((*backend)->SwapBlocks({}, params).ok());
  EXPECT_EQ(cuda_emulator::Waits(), waits);
  std::vector<std::byte> swapped(values.size());
  ASSERT_TRUE((*backend)->CopyToHost(swapped, (*cache)->data()).ok());
  for (size_t layer = 0; layer < 3; ++layer) {
    for (size_t i = 0; i < 2; ++i) {
      const auto block = [&](std::vector<std::byte>& of, int32_t index) {
        const auto at = (layer * 4 + static_cast<size_t>(index)) * bytes;
        return std::vector<std::byte>(of.begin() + static_cast<ptrdiff_t>(at),
                                      of.begin() + static_cast<ptrdiff_t>(at + bytes));
      };
      EXPECT_EQ(block(swapped, in[i]), block(values, out[i])) << layer;
      EXPECT_EQ(block(swapped, out[i]), block(values, out[i])) << layer;
    }
  }
}

TEST_F(CudaBackendTest, ThePlanIsTheAllocation) {
  const uint64_t before = cuda_emulator::AllocatedBytes();
  (void)cuda_emulator::MostPinnedBytes();
  const uint64_t pinned_before = cuda_emulator::MostPinnedBytes();
  const auto model = Model::Load(Abacus(), Options("cuda"));
  ASSERT_TRUE(model.ok()) << model.status();
  const MemoryPlan& plan = (*model)->plan();
  const uint64_t on_host = plan.bytes[static_cast<size_t>(MemoryCategory::kHost)];
  EXPECT_EQ(cuda_emulator::AllocatedBytes() - before, plan.total() - on_host);
  EXPECT_EQ(cuda_emulator::MostPinnedBytes() - pinned_before, on_host);  // while loading, too
  ASSERT_TRUE(Logits(*model).ok());
  EXPECT_EQ(cuda_emulator::AllocatedBytes() - before, plan.total() - on_host);
}

// Fused weights of one kind and of several, a head in f16, slices: lib/model/gathered_weight.h.
TEST_F(CudaBackendTest, ZeroPointsOfCheckpointsGiveTheLogitsOfTheCpu) {
  const ZeroPointModel models[] = {
      {},
      {.packing = ZeroPointModel::Packing::kGptq, .plain = {"k_proj", "down_proj"}},
      {.packing = ZeroPointModel::Packing::kGptqV2, .quantized_head = true}};
  for (const ZeroPointModel& shape : models) {
    const TemporaryDirectory directory;
    WriteZeroPointModel(shape, directory.path(), "");
    std::vector<std::vector<float>> logits;
    for (const std::string device : {"cpu", "cuda"}) {
      for (const auto activations : {ActivationFormat::kF32, ActivationFormat::kInt8}) {
        const uint64_t before = cuda_emulator::AllocatedBytes();
        ModelOptions options = Options(device);
        options.activation_format = activations;
        const auto model = Model::Load(directory.path(), options);
        ASSERT_TRUE(model.ok()) << model.status();
        const MemoryPlan& plan = (*model)->plan();
        EXPECT_EQ(plan.weight_format, WeightFormat::kInt4Zeros);
        if (device == "cuda") {
          EXPECT_EQ(cuda_emulator::AllocatedBytes() - before,
                    plan.total() - plan.bytes[static_cast<size_t>(MemoryCategory::kHost)]);
        }
        logits.push_back(*Logits(*model));
      }
    }
    double norm = 0, exact = 0, rounded = 0;
    for (size_t i = 0; i < logits[0].size(); ++i) {
      norm += double{logits[0][i]} * logits[0][i];
      exact += std::pow(double{logits[2][i]} - logits[0][i], 2);
      rounded += std::pow(double{logits[3][i]} - logits[0][i], 2);
    }
    EXPECT_LT(std::sqrt(exact / norm), 5e-3);  // the cache is in bf16
    EXPECT_LT(std::sqrt(rounded / norm), 2e-2);
  }
}

}  // namespace
}  // namespace llmcore::core
