// Promise 5 through the interface: the bits of a row depend neither on the number of threads, nor
// on the other rows and sequences of a call, nor on how a sequence was cut into calls.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tests/conformance/attention_rig.h"
#include "tests/conformance/backends.h"
#include "tests/conformance/harness.h"

namespace llmcore::conformance {
namespace {

using core::ActivationFormat;
using core::WeightFormat;
using core::WeightKind;
using reference::Table;

std::vector<int> ThreadCounts(const BackendMaker& maker) {
  if (!maker.has_threads) return {1};
  return {1, 2, 3, 7};
}

std::vector<size_t> ChunkSizes(const BackendMaker& maker) {
  // Each token tile of the products, and what is none; a sanitizer on an emulator gets one.
  if (maker.is_slow && kSlowBuild) return {13};
  if (maker.is_slow) return {1, 7, 8, 13, 64};
  if (kSlowBuild) return {1, 2, 5, 6, 7, 13, 64};
  std::vector<size_t> sizes;
  for (size_t size = 1; size <= 64; ++size) sizes.push_back(size);
  return sizes;
}

class DeterminismTest : public testing::TestWithParam<BackendMaker> {
 protected:
  std::unique_ptr<Harness> Make(int threads) {
    auto created = GetParam().create(threads);
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? std::make_unique<Harness>(*std::move(created), AmpleLimits()) : nullptr;
  }
};

struct LinearOperands {
  Table in;
  SourceWeight gate;
  SourceWeight up;
  std::vector<double> bias;
  std::vector<double> norm;
};

LinearOperands MakeOperands(bool few_rows) {
  Random random(31);
  LinearOperands operands;
  operands.in = RandomTable(few_rows ? 70 : 131, 300, 1, &random);
  operands.gate = MakeSource(RandomTable(170, 300, 0.06, &random), core::DType::kBf16);
  operands.up = MakeSource(RandomTable(170, 300, 0.06, &random), core::DType::kF32);
  operands.bias = RandomVector(170, 0, 1, &random);
  operands.norm = RandomVector(300, 1, 0.3, &random);
  return operands;
}

// Plain and gated products of the rows, `chunk` rows a call.
std::vector<float> RunLinears(Harness* harness, const LinearOperands& operands, WeightFormat format,
                              ActivationFormat activations, size_t chunk) {
  core::LinearParams plain;
  plain.weight = *Pack(harness, format, WeightKind::kPlain, {operands.gate.matrix()});
  plain.bias = harness->Upload(operands.bias);
  plain.activation_format = activations;
  core::LinearGatedParams gated;
  gated.weight =
      *Pack(harness, format, WeightKind::kGated, {operands.gate.matrix(), operands.up.matrix()});
  gated.activation_format = activations;
  if (harness->backend().FusesNorm()) gated.norm = {harness->Upload(operands.norm), 1e-6f};
  std::vector<float> plain_out;
  std::vector<float> gated_out;
  for (size_t row = 0; row < operands.in.rows; row += chunk) {
    const Table part = Slice(operands.in, row, std::min(row + chunk, operands.in.rows));
    plain.in = gated.in = harness->Upload(part);
    plain.out = harness->NewMatrix(part.rows, 170);
    gated.out = harness->NewMatrix(part.rows, 170);
    EXPECT_TRUE(harness->backend().Linear(harness->Context(), plain).ok());
    EXPECT_TRUE(harness->backend().LinearGated(harness->Context(), gated).ok());
    for (const auto& [matrix, out] :
         {std::pair(&plain.out, &plain_out), std::pair(&gated.out, &gated_out)}) {
      const std::vector<float> values = harness->Read(*matrix);
      out->insert(out->end(), values.begin(), values.end());
    }
  }
  harness->Clear();
  plain_out.insert(plain_out.end(), gated_out.begin(), gated_out.end());
  return plain_out;
}

TEST_P(DeterminismTest, LinearBitsDependOnTheRowAlone) {
  const LinearOperands operands = MakeOperands(kSlowBuild || GetParam().is_slow);
  for (const WeightFormat format : kWeightFormats) {
    for (const auto activations :
         {ActivationFormat::kF32, ActivationFormat::kBf16, ActivationFormat::kInt8}) {
      if (activations == ActivationFormat::kInt8 && !IsQuantized(format)) continue;
      if (activations == ActivationFormat::kBf16 && format != WeightFormat::kBf16) continue;
      SCOPED_TRACE(testing::Message()
                   << std::string(core::WeightFormatName(format)) << " weights, "
                   << std::string(core::ActivationFormatName(activations)) << " activations");
      const auto one_thread = Make(1);
      const auto run = [&](Harness* harness, size_t chunk) {
        return RunLinears(harness, operands, format, activations, chunk);
      };
      const std::vector<float> whole = run(one_thread.get(), operands.in.rows);
      for (const int threads : ThreadCounts(GetParam())) {
        const auto harness = Make(threads);
        ASSERT_TRUE(SameBits(whole, run(harness.get(), operands.in.rows))) << threads << " threads";
        ASSERT_TRUE(SameBits(whole, run(harness.get(), 29))) << threads << " threads, chunks of 29";
      }
      for (const size_t chunk : ChunkSizes(GetParam())) {
        ASSERT_TRUE(SameBits(whole, run(one_thread.get(), chunk))) << "chunks of " << chunk;
      }
    }
  }
}

TEST_P(DeterminismTest, NormBitsDependOnTheRowAlone) {
  Random random(41);
  const Table in = RandomTable(130, 259, 1, &random);
  const std::vector<double> weight = RandomVector(259, 1, 0.2, &random);
  const auto run = [&](Harness* harness, size_t chunk) {
    core::NormParams params;
    params.weight = harness->Upload(weight);
    params.epsilon = 1e-6f;
    std::vector<float> all;
    for (size_t row = 0; row < in.rows; row += chunk) {
      const Table part = Slice(in, row, std::min(row + chunk, in.rows));
      params.in = harness->Upload(part);
      params.out = harness->NewMatrix(part.rows, part.columns);
      EXPECT_TRUE(harness->backend().Norm(harness->Context(), params).ok());
      const std::vector<float> values = harness->Read(params.out);
      all.insert(all.end(), values.begin(), values.end());
    }
    harness->Clear();
    return all;
  };
  const std::vector<float> whole = run(Make(1).get(), in.rows);
  for (const int threads : ThreadCounts(GetParam())) {
    const auto harness = Make(threads);
    for (const size_t chunk : {1, 3, 64, 130}) {
      ASSERT_TRUE(SameBits(whole, run(harness.get(), chunk))) << threads << " threads";
    }
  }
}

struct AttentionSetting {
  AttentionShape shape;
  core::KvFormat format;
};

// The rows of one sequence, fed in pieces beside companions or without them.
std::vector<float> RunAttention(Harness* harness, const AttentionSetting& setting, size_t tokens,
                                size_t chunk, bool with_companions) {
  Random random(51);
  const TokenStream stream = MakeStream(setting.shape, tokens, &random);
  const TokenStream other = MakeStream(setting.shape, 2 * tokens, &random);
  // Blocks, and so addresses, differ with the setting.
  Random block_random(static_cast<uint32_t>(chunk));
  AttentionRig rig(harness, setting.shape, setting.format, 80);
  RigSequence before = rig.Start(other, &block_random);
  RigSequence sequence = rig.Start(stream, &block_random);
  RigSequence after = rig.Start(other, &block_random);
  const size_t columns = setting.shape.heads * setting.shape.head_dim;
  std::vector<float> all;
  for (size_t step = 0; sequence.position < tokens; ++step) {
    const size_t count = std::min(chunk, tokens - sequence.position);
    std::vector<RigRun> runs = {{&sequence, count}};
    size_t skipped = 0;
    if (with_companions) {
      skipped = step % 3 * 2 + 1;
      runs = {{&before, skipped}, {&sequence, count}, {&after, 1 + step % 2 * 4}};
    }
    const AttentionRig::StepResult result = rig.Step(runs, false);
    const auto begin = static_cast<ptrdiff_t>(skipped * columns);
    const auto end = begin + static_cast<ptrdiff_t>(count * columns);
    for (const std::vector<float>* values : {&result.q, &result.out}) {
      all.insert(all.end(), values->begin() + begin, values->begin() + end);
    }
  }
  harness->Clear();
  // Queries and outputs of a step alternate in blocks of `count` rows: put the rows in order.
  std::vector<float> ordered(all.size());
  size_t at = 0;
  for (size_t row = 0; row < tokens;) {
    const size_t count = std::min(chunk, tokens - row);
    std::copy_n(all.begin() + static_cast<ptrdiff_t>(at), count * columns,
                ordered.begin() + static_cast<ptrdiff_t>(row * columns));
    std::copy_n(all.begin() + static_cast<ptrdiff_t>(at + count * columns), count * columns,
                ordered.begin() + static_cast<ptrdiff_t>((tokens + row) * columns));
    at += 2 * count * columns;
    row += count;
  }
  return ordered;
}

TEST_P(DeterminismTest, AttentionBitsDependOnTheSequenceAlone) {
  const AttentionShape shapes[] = {{64, 6, 2, 0, 16, true}, {20, 3, 1, 37, 32, false}};
  const size_t tokens = 150;
  for (const AttentionShape& shape : shapes) {
    for (const core::KvFormat format : kKvFormats) {
      SCOPED_TRACE(testing::Message()
                   << Describe(shape) << ", " << std::string(core::KvFormatName(format)));
      const AttentionSetting setting = {shape, format};
      const auto one_thread = Make(1);
      const std::vector<float> whole =
          RunAttention(one_thread.get(), setting, tokens, tokens, false);
      for (const int threads : ThreadCounts(GetParam())) {
        const auto harness = Make(threads);
        ASSERT_TRUE(SameBits(whole, RunAttention(harness.get(), setting, tokens, tokens, true)))
            << threads << " threads, in company";
        ASSERT_TRUE(SameBits(whole, RunAttention(harness.get(), setting, tokens, 11, true)))
            << threads << " threads, chunks of 11 in company";
      }
      for (const size_t chunk : ChunkSizes(GetParam())) {
        ASSERT_TRUE(SameBits(whole, RunAttention(one_thread.get(), setting, tokens, chunk, false)))
            << "chunks of " << chunk;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, DeterminismTest, testing::ValuesIn(BackendMakers()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace llmcore::conformance
