// A recorder gets only steps whose numbers are in range: it may not come to the operations that
// would look.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <vector>

#include "lib/ops/ops.h"

namespace llmcore::core {
namespace {

class Recorder final : public StepRecorder {
 public:
  absl::Status Run(const StepContext&, const StepInput&,
                   absl::FunctionRef<absl::Status()>) override {
    ++runs;
    return absl::OkStatus();
  }
  int runs = 0;
};

// Two sequences, of two rows and of one.
struct Step {
  std::vector<int32_t> tokens = {0, 9, 4};
  std::vector<int32_t> first_row = {0, 2, 3};
  std::vector<int32_t> first_position = {15, 3};
  std::vector<int32_t> block_table = {2, 0, 1, 0};
  std::vector<int32_t> logit_rows = {1};
  std::vector<int32_t> drawn_rows = {2};
  std::vector<TokenDraw> draws = std::vector<TokenDraw>(1);

  absl::Status Run(StepRecorder* recorder, absl::FunctionRef<absl::Status()> operations) const {
    StepParams params;
    params.vocabulary = 10;
    params.cache = {{KvFormat::kF32, 1, 1, 8, 16}, nullptr, 3};
    params.input = {
        tokens, {first_row, first_position, block_table, 2}, logit_rows, drawn_rows, draws};
    return RunStep(recorder, {}, params, operations);
  }
};

absl::Status Fail() {
  return absl::AbortedError("operations");
}

TEST(RunStepTest, ARecorderRunsTheStep) {
  Recorder recorder;
  EXPECT_TRUE(Step().Run(&recorder, Fail).ok());
  EXPECT_EQ(recorder.runs, 1);
}

TEST(RunStepTest, WithoutARecorderTheOperationsRun) {
  EXPECT_EQ(Step().Run(nullptr, Fail).code(), absl::StatusCode::kAborted);
}

TEST(RunStepTest, NumbersOutOfRangeDoNotReachARecorder) {
  using absl::StatusCode;
  const struct {
    StatusCode code;
    std::function<void(Step*)> spoil;
  } cases[] = {
      {StatusCode::kInvalidArgument, [](Step* s) { s->tokens[1] = 10; }},
      {StatusCode::kInvalidArgument, [](Step* s) { s->tokens[2] = -1; }},
      {StatusCode::kInternal, [](Step* s) { s->tokens.pop_back(); }},
      {StatusCode::kInternal, [](Step* s) { s->block_table[1] = 3; }},
      {StatusCode::kInternal, [](Step* s) { s->block_table[2] = -1; }},
      {StatusCode::kInternal, [](Step* s) { s->first_position[0] = 31; }},
      {StatusCode::kInternal, [](Step* s) { s->first_position[1] = -1; }},
      {StatusCode::kInternal, [](Step* s) { s->first_row[1] = 4; }},
      {StatusCode::kInternal, [](Step* s) { s->logit_rows[0] = 3; }},
      {StatusCode::kInternal, [](Step* s) { s->drawn_rows[0] = -1; }},
      {StatusCode::kInternal, [](Step* s) { s->draws.clear(); }},
      {StatusCode::kInternal, [](Step* s) { s->draws[0].uniform = 1; }},
      {StatusCode::kInternal, [](Step* s) { s->draws[0].top_k = -1; }},
      {StatusCode::kInternal, [](Step* s) { s->draws[0].top_p = 1.5f; }},
      {StatusCode::kInternal, [](Step* s) { s->draws[0].least_score = 0.1f; }},
      {StatusCode::kInternal,
       [](Step* s) { s->draws[0].temperature = std::numeric_limits<float>::infinity(); }},
  };
  Recorder recorder;
  for (size_t i = 0; i < std::size(cases); ++i) {
    Step step;
    cases[i].spoil(&step);
    EXPECT_EQ(step.Run(&recorder, Fail).code(), cases[i].code) << i;
  }
  EXPECT_EQ(recorder.runs, 0);
}

}  // namespace
}  // namespace llmcore::core
