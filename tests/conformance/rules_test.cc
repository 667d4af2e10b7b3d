// The rules that every operation keeps besides its result: no allocation, and an end soon after the
// cancel token is set. A program of its own, since it replaces operator new.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "tests/conformance/backends.h"
#include "tests/conformance/harness.h"
#include "tests/support/allocation_counter.h"

namespace llmcore::conformance {
namespace {

using core::StepContext;
using core::WeightFormat;
using core::WeightKind;
using reference::Table;

// One call of each operation over the same operands.
struct Calls {
  std::vector<std::pair<std::string, std::function<absl::Status(const StepContext&)>>> all;
  std::vector<int32_t> tokens;
  std::vector<int32_t> first_row;
  std::vector<int32_t> first_position;
  std::vector<int32_t> block_table;
  std::vector<int32_t> from = {0};
  std::vector<int32_t> to;
  std::unique_ptr<core::DeviceMemory> host;
};

constexpr int32_t kBlockTokens = 16;

// `rows` tokens of one sequence of a model with `heads` heads of 64, `width` columns.
void AddCalls(Harness* harness, int32_t rows, size_t width, size_t heads, Calls* calls) {
  core::Backend* backend = &harness->backend();
  Random random(1);
  const Table in = RandomTable(static_cast<size_t>(rows), width, 1, &random);
  const core::Matrix matrix = harness->Upload(in);
  const core::Matrix out = harness->NewMatrix(in.rows, width);
  const SourceWeight source =
      MakeSource(RandomTable(width, width, 0.02, &random), core::DType::kBf16);
  const auto add = [&](std::string name, std::function<absl::Status(const StepContext&)> call) {
    calls->all.emplace_back(std::move(name), std::move(call));
  };
  for (const WeightFormat format : kWeightFormats) {
    const std::string name(core::WeightFormatName(format));
    const core::PackedWeight plain = *Pack(harness, format, WeightKind::kPlain, {source.matrix()});
    const core::PackedWeight gated =
        *Pack(harness, format, WeightKind::kGated, {source.matrix(), source.matrix()});
    for (const auto activations : {core::ActivationFormat::kF32, core::ActivationFormat::kBf16,
                                   core::ActivationFormat::kInt8}) {
      core::LinearParams linear{matrix, plain, nullptr, matrix.data, activations, out};
      add("linear " + name, [=](const StepContext& c) { return backend->Linear(c, linear); });
      core::LinearGatedParams gate;
      gate.in = matrix;
      gate.weight = gated;
      gate.activation_format = activations;
      gate.out = out;
      add("linear gated " + name,
          [=](const StepContext& c) { return backend->LinearGated(c, gate); });
    }
    calls->tokens.assign(static_cast<size_t>(rows), 3);
    core::EmbedParams embed{plain, calls->tokens, out};
    add("embed " + name, [=](const StepContext& c) { return backend->Embed(c, embed); });
  }
  core::NormParams norm{matrix, harness->Upload(RandomVector(width, 1, 0, &random)), 1e-6f, out};
  add("norm", [=](const StepContext& c) { return backend->Norm(c, norm); });
  calls->tokens.assign(static_cast<size_t>(rows), 0);
  core::GatherRowsParams gather{matrix, calls->tokens, out};
  add("gather", [=](const StepContext& c) { return backend->GatherRows(c, gather); });

  core::RopeAppendParams append;
  append.qkv =
      harness->Upload(RandomTable(static_cast<size_t>(rows), (heads + 2) * 64, 1, &random));
  append.heads = static_cast<int32_t>(heads);
  append.cos_sin = harness->Upload(RandomVector(static_cast<size_t>(rows) * 64, 0, 1, &random));
  append.cache.shape = {core::KvFormat::kF32, 1, 1, 64, kBlockTokens};
  const int32_t blocks = (rows + kBlockTokens - 1) / kBlockTokens;
  append.cache.blocks = 2 * blocks;
  append.cache.data = harness->Allocate(static_cast<size_t>(append.cache.blocks) *
                                        backend->KvBlockBytes(append.cache.shape));
  calls->first_row = {0, rows};
  calls->first_position = {0};
  for (int32_t block = 0; block < blocks; ++block) calls->block_table.push_back(block);
  append.batch = {calls->first_row, calls->first_position, calls->block_table, blocks};
  add("rope append", [=](const StepContext& c) { return backend->RopeAppend(c, append); });
  core::AttentionParams attention;
  attention.qkv = append.qkv;
  attention.heads = append.heads;
  attention.scale = 0.1f;
  attention.cache = append.cache;
  attention.batch = append.batch;
  attention.out = harness->NewMatrix(static_cast<size_t>(rows), heads * 64);
  add("attention", [=](const StepContext& c) { return backend->Attention(c, attention); });
  calls->to = {blocks};
  core::CopyBlocksParams copy{append.cache, calls->from, calls->to};
  add("copy blocks", [=](const StepContext& c) { return backend->CopyBlocks(c, copy); });
  core::SwapBlocksParams swap;
  swap.cache = append.cache;
  swap.blocks = calls->from;
  swap.places = calls->to;
  swap.host_places = blocks + 1;
  swap.host = static_cast<std::byte*>(harness->Allocate(static_cast<size_t>(swap.host_places) *
                                                        backend->KvBlockBytes(append.cache.shape)));
  add("swap blocks", [=](const StepContext& c) { return backend->SwapBlocks(c, swap); });
  if (!backend->Samples(static_cast<int64_t>(width))) return;
  const size_t draw_bytes = in.rows * sizeof(core::TokenDraw);
  calls->host = *backend->AllocateHost(draw_bytes + in.rows * sizeof(core::DrawnToken));
  auto* draws = static_cast<core::TokenDraw*>(calls->host->data());
  std::fill_n(draws, in.rows, core::TokenDraw{1, 5, 0.9f, -3, 0.5});
  core::SampleParams sample{matrix, draws, reinterpret_cast<core::DrawnToken*>(draws + in.rows)};
  add("sample", [=](const StepContext& c) { return backend->Sample(c, sample); });
}

class RulesTest : public testing::TestWithParam<BackendCase> {
 protected:
  std::unique_ptr<Harness> Make(const core::StepLimits& limits) {
    auto created = GetParam().maker->create(GetParam().threads);
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? std::make_unique<Harness>(*std::move(created), limits) : nullptr;
  }
};

TEST_P(RulesTest, OperationsAllocateNothing) {
  // The limits are those of the calls exactly: WorkspaceBytes must do for them.
  const auto harness = Make({40, 6 * 64, 4, 64, 64});
  Calls calls;
  AddCalls(harness.get(), 40, 6 * 64, 4, &calls);
  for (const auto& [name, call] : calls.all) {
    const StepContext context = harness->Context();
    const uint64_t before = test::AllocationCount();
    const absl::Status status = call(context);
    const uint64_t after = test::AllocationCount();
    EXPECT_TRUE(status.ok()) << name << ": " << status;
    EXPECT_EQ(after - before, 0u) << name;
  }
  EXPECT_TRUE(harness->GuardsAreIntact());
}

TEST_P(RulesTest, ACancelledStepDoesNotRun) {
  const int32_t rows = kSlowBuild || GetParam().maker->is_slow ? 64 : 256;
  const auto harness = Make({rows, 1024, 16, 64, rows});
  Calls calls;
  AddCalls(harness.get(), rows, 512, 4, &calls);
  core::CancelToken cancelled;
  cancelled.Cancel();
  for (const auto& [name, call] : calls.all) {
    const absl::Status status = call(harness->Context(&cancelled));
    // An operation that is over in no time need not look.
    EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kCancelled) << name << status;
    if (name.rfind("linear", 0) == 0 || name == "attention") {
      EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << name;
    }
    if (name == "swap blocks") {
      EXPECT_TRUE(status.ok()) << status;
    }
  }
}

// A product of seconds, cancelled from another thread soon after it began.
TEST_P(RulesTest, LongOperationsEndWhenCancelled) {
  const bool is_slow = GetParam().maker->is_slow;
  const size_t width = is_slow ? 128 : kSlowBuild ? 1024 : 2048;
  const int32_t rows = is_slow ? 64 : kSlowBuild ? 512 : 4096;
  const auto harness = Make({rows, static_cast<int64_t>(width), 4, 64, rows});
  Random random(3);
  const SourceWeight source =
      MakeSource(RandomTable(width, width, 0.02, &random), core::DType::kF32);
  core::LinearParams linear;
  linear.weight = *Pack(harness.get(), WeightFormat::kF32, WeightKind::kPlain, {source.matrix()});
  linear.in = harness->Upload(Table(static_cast<size_t>(rows), width));
  linear.out = harness->NewMatrix(static_cast<size_t>(rows), width);
  core::CancelToken cancel;
  const StepContext context = harness->Context(&cancel);
  std::atomic<int64_t> cancelled_at{0};
  const auto now = [] {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  };
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    cancelled_at = now();
    cancel.Cancel();
  });
  // Again and again, since a fast machine may be done before the other thread wakes up.
  absl::Status status;
  for (int i = 0; i < 1000 && status.ok(); ++i) {
    status = harness->backend().Linear(context, linear);
    if (status.ok()) status = harness->backend().Synchronize();
  }
  const int64_t ended_at = now();
  other.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  // 10 ms are promised; a busy machine may look away for a while.
  EXPECT_LT(ended_at - cancelled_at, kSlowBuild ? 2000 : 500);
}

INSTANTIATE_TEST_SUITE_P(, RulesTest, testing::ValuesIn(ProductCases()),
                         [](const auto& test) { return NameOf(test.param); });

}  // namespace
}  // namespace llmcore::conformance
