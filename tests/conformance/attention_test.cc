// RopeAppend, Attention and CopyBlocks over ragged batches of sequences in random blocks.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/conformance/attention_rig.h"
#include "tests/conformance/backends.h"
#include "tests/conformance/harness.h"

namespace llmcore::conformance {
namespace {

using core::KvFormat;
using reference::Table;

constexpr double kRotaryTolerance = 1e-6;

// A key that rounds to the other side in bf16 than in the reference is off by 2^-8.
double AttentionTolerance(KvFormat format) {
  return format == KvFormat::kF32 ? 1e-5 : 5e-3;
}

const std::vector<AttentionShape>& Shapes(bool is_slow) {
  static const std::vector<AttentionShape> small = {
      {4, 1, 1, 0, 16, false},  {8, 4, 2, 3, 16, true},   {16, 2, 1, 0, 32, false},
      {80, 5, 1, 17, 32, true}, {96, 2, 2, 0, 16, false},
  };
  static const std::vector<AttentionShape> all = [] {
    std::vector<AttentionShape> shapes = small;
    shapes.insert(shapes.end(), {{6, 3, 3, 1, 16, true},
                                 {10, 7, 1, 0, 16, false},
                                 {32, 8, 4, 64, 64, false},
                                 {48, 9, 3, 5, 48, true},
                                 {64, 14, 2, 0, 32, false},
                                 {112, 2, 1, 100, 16, false},
                                 {128, 8, 2, 0, 32, true},
                                 {256, 4, 1, 33, 16, false}});
    return shapes;
  }();
  return kSlowBuild || is_slow ? small : all;
}

struct AttentionCase {
  BackendCase backend;
  KvFormat format;
};

std::string NameOf(const AttentionCase& one) {
  return NameOf(one.backend) + "_" + std::string(core::KvFormatName(one.format));
}

std::ostream& operator<<(std::ostream& out, const AttentionCase& one) {
  return out << NameOf(one);
}

std::vector<AttentionCase> Cases() {
  std::vector<AttentionCase> cases;
  for (const BackendCase& backend : BackendCases()) {
    for (const KvFormat format : kKvFormats) cases.push_back({backend, format});
  }
  return cases;
}

class AttentionConformanceTest : public testing::TestWithParam<AttentionCase> {
 protected:
  void SetUp() override {
    const BackendCase& backend = GetParam().backend;
    format_ = GetParam().format;
    auto created = backend.maker->create(backend.threads);
    ASSERT_TRUE(created.ok()) << created.status();
    harness_ = std::make_unique<Harness>(*std::move(created), AmpleLimits());
  }

  void Check(const AttentionRig::StepResult& result, uint32_t seed) {
    EXPECT_TRUE(Near(result.expected_q, result.q, kRotaryTolerance, seed)) << "queries";
    EXPECT_TRUE(Near(result.expected_out, result.out, AttentionTolerance(format_), seed))
        << "attention";
  }

  KvFormat format_ = KvFormat::kF32;
  std::unique_ptr<Harness> harness_;
};

// Prefill of several lengths, chunks beside decodes, a run of no rows, a fork that shares full
// blocks and copies the last one, and a late sequence.
TEST_P(AttentionConformanceTest, RaggedStepsAgreeWithTheReference) {
  uint32_t seed = 100;
  for (const AttentionShape& shape : Shapes(GetParam().backend.maker->is_slow)) {
    SCOPED_TRACE(Describe(shape));
    Random random(++seed);
    AttentionRig rig(harness_.get(), shape, format_, 40);
    std::vector<TokenStream> streams;
    for (const size_t tokens : {60, 9, 130, 40}) {
      streams.push_back(MakeStream(shape, tokens, &random));
    }
    RigSequence a = rig.Start(streams[0], &random);
    RigSequence b = rig.Start(streams[1], &random);
    RigSequence c = rig.Start(streams[2], &random);
    RigSequence late = rig.Start(streams[3], &random);
    Check(rig.Step({}), seed);
    Check(rig.Step({{&a, 37}, {&b, 1}, {&c, 70}}), seed);
    Check(rig.Step({{&b, 1}, {&a, 0}, {&c, 1}, {&a, 3}}), seed);
    Check(rig.Step({{&c, 40}, {&late, 17}, {&b, 1}}), seed);

    RigSequence fork = a;
    const size_t full = a.position / shape.block_tokens;
    for (size_t i = full; i < fork.blocks.size(); ++i) fork.blocks[i] = rig.TakeBlock();
    rig.Copy({a.blocks[full]}, {fork.blocks[full]});
    fork.stream = &streams[2];
    Check(rig.Step({{&fork, 12}, {&a, 20}, {&late, 1}}), seed);
    Check(rig.Step({{&late, 1}, {&fork, 1}, {&c, 1}, {&b, 1}}), seed);
    EXPECT_TRUE(harness_->GuardsAreIntact());
    harness_->Clear();
  }
}

TEST_P(AttentionConformanceTest, LongContextsAgreeWithTheReference) {
  const AttentionShape shape = {16, 4, 2, 0, 16, false};
  // A device splits contexts of more than 512 positions, for batches of few rows: sanitizers are to
  // see that once.
  const bool split = GetParam().backend.maker->is_slow && format_ == KvFormat::kInt8;
  const size_t tokens = !kSlowBuild ? 700 : split ? 600 : 150;
  Random random(7);
  AttentionRig rig(harness_.get(), shape, format_, 50);
  const TokenStream stream = MakeStream(shape, tokens, &random);
  RigSequence sequence = rig.Start(stream, &random);
  Check(rig.Step({{&sequence, tokens / 2 + 1}}), 7);
  while (sequence.position < tokens) {
    Check(rig.Step({{&sequence, std::min<size_t>(97, tokens - sequence.position)}}), 7);
  }
}

// With a window of one position the result is the stored value itself.
TEST_P(AttentionConformanceTest, ValuesAreStoredToTheBit) {
  const AttentionShape shape = {20, 2, 2, 1, 16, false};
  Random random(11);
  AttentionRig rig(harness_.get(), shape, format_, 8);
  const TokenStream stream = MakeStream(shape, 50, &random);
  RigSequence sequence = rig.Start(stream, &random);
  const AttentionRig::StepResult result = rig.Step({{&sequence, 50}});
  // Zeros of codes are added up apart from the codes, and taken off in the end.
  const bool quantized = format_ == KvFormat::kInt8 || format_ == KvFormat::kInt4;
  EXPECT_TRUE(Near(result.expected_out, result.out, quantized ? 1e-6 : 0, 11));
}

// The layer that is not used, and blocks that no sequence owns, keep their bytes.
TEST_P(AttentionConformanceTest, OnlyTheSlotsOfTheStepAreWritten) {
  const AttentionShape shape = {16, 2, 1, 0, 16, false};
  Random random(13);
  AttentionRig rig(harness_.get(), shape, format_, 6);
  const TokenStream stream = MakeStream(shape, 32, &random);
  RigSequence sequence = rig.Start(stream, &random);
  rig.Step({{&sequence, 20}});
  const auto block_bytes = static_cast<size_t>(harness_->backend().KvBlockBytes(rig.cache().shape));
  const std::vector<std::byte> bytes =
      harness_->ReadBytes(rig.cache().data, AttentionRig::kLayers * 6 * block_bytes);
  for (size_t layer = 0; layer < AttentionRig::kLayers; ++layer) {
    for (size_t block = 0; block < 6; ++block) {
      const auto begin = bytes.begin() + static_cast<ptrdiff_t>((layer * 6 + block) * block_bytes);
      const bool untouched = std::all_of(begin, begin + static_cast<ptrdiff_t>(block_bytes),
                                         [](std::byte b) { return b == std::byte{0xFF}; });
      const bool owned = std::count(sequence.blocks.begin(), sequence.blocks.end(),
                                    static_cast<int32_t>(block)) > 0;
      EXPECT_EQ(untouched, layer != AttentionRig::kLayer || !owned)
          << "layer " << layer << ", block " << block;
    }
  }
}

// Scores as large as models with a few huge channels make them: no overflow, no NaN.
TEST_P(AttentionConformanceTest, LargeScoresStayFinite) {
  const AttentionShape shape = {16, 2, 1, 0, 16, false};
  Random random(17);
  AttentionRig rig(harness_.get(), shape, format_, 8);
  TokenStream stream = MakeStream(shape, 80, &random);
  for (size_t row = 0; row < 80; ++row) {
    for (size_t i = 0; i < 48; ++i) stream.qkv.at(row, i) *= 64;  // q and k: scores to 10^4
  }
  RigSequence sequence = rig.Start(stream, &random);
  const AttentionRig::StepResult result = rig.Step({{&sequence, 80}});
  for (const float value : result.out) ASSERT_TRUE(std::isfinite(value));
  if (format_ == KvFormat::kF32) {
    // Scores of 10^4 have an error of 10^-3 in f32, and so have the weights.
    EXPECT_TRUE(Near(result.expected_out, result.out, 5e-3, 17));
  }
}

TEST_P(AttentionConformanceTest, CopiedBlocksReadAlike) {
  const AttentionShape shape = {24, 4, 2, 0, 16, false};
  Random random(19);
  AttentionRig rig(harness_.get(), shape, format_, 12);
  const TokenStream stream = MakeStream(shape, 48, &random);
  RigSequence original = rig.Start(stream, &random);
  rig.Step({{&original, 47}});
  RigSequence copy = original;
  for (int32_t& block : copy.blocks) block = rig.TakeBlock();
  rig.Copy({}, {});
  rig.Copy(original.blocks, copy.blocks);
  const AttentionRig::StepResult first = rig.Step({{&original, 1}});
  const AttentionRig::StepResult second = rig.Step({{&copy, 1}});
  EXPECT_TRUE(SameBits(first.out, second.out));
  Check(second, 19);
}

TEST_P(AttentionConformanceTest, SwappedBlocksReadAlike) {
  const AttentionShape shape = {24, 4, 2, 0, 16, false};
  Random random(23);
  AttentionRig rig(harness_.get(), shape, format_, 12);
  const TokenStream stream = MakeStream(shape, 48, &random);
  RigSequence original = rig.Start(stream, &random);
  rig.Step({{&original, 47}});
  RigSequence swapped = original;
  for (int32_t& block : swapped.blocks) block = rig.TakeBlock();
  rig.CopyThroughHost({}, {});
  rig.CopyThroughHost(original.blocks, swapped.blocks);
  const AttentionRig::StepResult first = rig.Step({{&original, 1}});
  const AttentionRig::StepResult second = rig.Step({{&swapped, 1}});
  EXPECT_TRUE(SameBits(first.out, second.out));
  Check(second, 23);
}

INSTANTIATE_TEST_SUITE_P(, AttentionConformanceTest, testing::ValuesIn(Cases()),
                         [](const auto& test) { return NameOf(test.param); });

}  // namespace
}  // namespace llmcore::conformance
