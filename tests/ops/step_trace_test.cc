#include "lib/backend/step_trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/cpu/cpu_backend.h"
#include "lib/ops/ops.h"
#include "lib/ops/work.h"
#include "tests/support/allocation_counter.h"

namespace llmcore::core {
namespace {

using std::chrono::milliseconds;

std::unique_ptr<Backend> NewBackend() {
  auto backend = cpu::CpuBackend::Create({.threads = 1});
  EXPECT_TRUE(backend.ok()) << backend.status();
  return *std::move(backend);
}

OperationWork Linear(int64_t inputs, int64_t outputs, int64_t rows) {
  OperationWork work;
  work.kind = OperationKind::kLinear;
  work.rows = rows;
  work.inputs = inputs;
  work.outputs = outputs;
  work.bytes = 10;
  work.ops = 100;
  return work;
}

OperationWork Of(OperationKind kind) {
  OperationWork work;
  work.kind = kind;
  return work;
}

// The operations of a trace as "name inputs outputs calls rows bytes ops", in order.
std::vector<std::string> Lines(const StepTrace& trace) {
  const auto parsed = ParseJson(trace.ToJson());
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  std::vector<std::string> lines;
  for (const JsonValue& value : **(*parsed->AsObject())->GetArray("operations")) {
    const JsonObject& object = **value.AsObject();
    std::string line(*object.GetString("name"));
    for (const char* key : {"inputs", "outputs", "calls", "rows", "bytes", "ops"}) {
      absl::StrAppend(&line, " ", *object.GetIntOr(key, -1));
    }
    lines.push_back(line);
  }
  return lines;
}

TEST(StepTraceTest, CallsOfOneShapeAreSummedAndTheSlowestComesFirst) {
  StepTrace trace;
  trace.AddOperation(Linear(2, 3, 1), milliseconds(1));
  trace.AddOperation(Linear(4, 3, 1), milliseconds(5));
  trace.AddOperation(Linear(2, 3, 7), milliseconds(2));
  trace.AddStep(8, milliseconds(20));
  EXPECT_EQ(Lines(trace),
            (std::vector<std::string>{"linear 4 3 1 1 10 100", "linear 2 3 2 8 20 200"}));
  const auto parsed = ParseJson(trace.ToJson());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const JsonObject& object = **parsed->AsObject();
  EXPECT_EQ(*object.GetInt("steps"), 1);
  EXPECT_EQ(*object.GetInt("rows"), 8);
  EXPECT_DOUBLE_EQ(*object.GetDouble("seconds"), 0.020);
  EXPECT_DOUBLE_EQ(*object.GetDouble("other_seconds"), 0.012);

  trace.Reset();
  EXPECT_TRUE(Lines(trace).empty());
}

TEST(StepTraceTest, MoreShapesThanItHoldsAreNotLost) {
  StepTrace trace;
  for (int64_t shape = 1; shape <= 1000; ++shape) {
    trace.AddOperation(Linear(shape, shape, 1), milliseconds(1));
  }
  for (int kind = 0; kind < kOperationKinds; ++kind) {
    trace.AddOperation(Of(static_cast<OperationKind>(kind)), milliseconds(1));
  }
  const auto parsed = ParseJson(trace.ToJson());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  int64_t calls = 0;
  std::vector<std::string> names;
  for (const JsonValue& value : **(*parsed->AsObject())->GetArray("operations")) {
    const JsonObject& object = **value.AsObject();
    calls += *object.GetInt("calls");
    names.emplace_back(*object.GetString("name"));
  }
  EXPECT_EQ(calls, 1000 + kOperationKinds);
  for (int kind = 0; kind < kOperationKinds; ++kind) {
    EXPECT_NE(
        std::find(names.begin(), names.end(), OperationName(static_cast<OperationKind>(kind))),
        names.end())
        << kind;
  }
}

TEST(StepTraceTest, IsFilledByTheOperationsAndAllocatesNothing) {
  const auto backend = NewBackend();
  std::vector<float> values(8 * 16, 1.0f);
  const std::vector<float> weight(16, 1.0f);
  const Matrix matrix{values.data(), 8, 16};
  StepTrace trace;
  StepContext context;
  ASSERT_TRUE(Norm(*backend, context, {matrix, weight.data(), 1e-5f, matrix}).ok());
  EXPECT_TRUE(Lines(trace).empty());  // nothing asked for it
  context.trace = &trace;
  const uint64_t before = test::AllocationCount();
  absl::Status status;
  {
    const TracedStep step(context.trace, 8);
    status = Norm(*backend, context, {matrix, weight.data(), 1e-5f, matrix});
  }
  EXPECT_EQ(test::AllocationCount(), before);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Lines(trace), (std::vector<std::string>{"norm -1 -1 1 8 1024 512"}));
  // A call that fails did no work.
  EXPECT_FALSE(Norm(*backend, context, {matrix, nullptr, 1e-5f, matrix}).ok());
  EXPECT_EQ(Lines(trace).size(), 1u);
}

TEST(StepTraceTest, SeveralThreadsMayUseIt) {
  StepTrace trace;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&trace] {
      for (int j = 0; j < 100; ++j) {
        trace.AddOperation(Linear(2, 3, 1), milliseconds(1));
        EXPECT_FALSE(trace.ToJson().empty());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Lines(trace), (std::vector<std::string>{"linear 2 3 400 400 4000 40000"}));
}

TEST(OperationWorkTest, LinearsReadTheirWeightOnce) {
  const auto backend = NewBackend();
  LinearParams params;
  params.weight.shape = {WeightFormat::kInt4, WeightKind::kPlain, 192, 256};
  params.in.rows = params.out.rows = 5;
  params.in.columns = 256;
  params.out.columns = 192;
  const OperationWork work = WorkOf(*backend, params);
  EXPECT_EQ(work.inputs, 256);
  EXPECT_EQ(work.outputs, 192);
  EXPECT_EQ(work.ops, 2u * 5 * 192 * 256);
  const uint64_t weight = backend->PackedWeightBytes(params.weight.shape);
  EXPECT_GE(weight, 192u * 256 / 2);
  EXPECT_EQ(work.bytes, weight + 5 * (256 + 192) * 4);
  std::vector<float> residual(1);
  params.residual = residual.data();
  EXPECT_EQ(WorkOf(*backend, params).bytes, weight + 5 * (256 + 2 * 192) * 4);
}

TEST(OperationWorkTest, AttentionCountsWhatEachRowSees) {
  const auto backend = NewBackend();
  AttentionParams params;
  params.heads = 4;
  params.cache.shape = {KvFormat::kBf16, 1, 2, 16, 32};
  params.out.columns = 4 * 16;
  const uint64_t position_bytes = backend->KvBlockBytes(params.cache.shape) / 32;
  EXPECT_EQ(position_bytes, 2u * 2 * 16 * 2);  // keys and values of two heads of bf16
  for (const int32_t window : {0, 1, 5, 7, 100}) {
    for (const int32_t first : {0, 3, 40}) {
      const std::vector<int32_t> first_row = {0, 6, 6, 7};
      const std::vector<int32_t> first_position = {first, 9, 2};
      params.window = window;
      params.batch.first_row = first_row;
      params.batch.first_position = first_position;
      params.out.rows = 7;
      uint64_t pairs = 0;
      uint64_t positions = 0;
      for (size_t s = 0; s < 3; ++s) {
        std::vector<bool> read(64);
        for (int32_t row = first_row[s]; row < first_row[s + 1]; ++row) {
          const int32_t at = first_position[s] + row - first_row[s];
          for (int32_t key = 0; key <= at; ++key) {
            if (window > 0 && key <= at - window) continue;
            ++pairs;
            if (!read[static_cast<size_t>(key)]) ++positions;
            read[static_cast<size_t>(key)] = true;
          }
        }
      }
      const OperationWork work = WorkOf(*backend, params);
      EXPECT_EQ(work.ops, pairs * 4 * 64) << "window " << window << ", first " << first;
      EXPECT_EQ(work.bytes, positions * position_bytes + 2 * 7 * 64 * 4)
          << "window " << window << ", first " << first;
    }
  }
}

}  // namespace
}  // namespace llmcore::core
