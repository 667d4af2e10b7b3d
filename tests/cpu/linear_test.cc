#include <algorithm>
#include <cmath>

#include "tests/cpu/support.h"

namespace llmcore::cpu {
namespace {

constexpr WeightFormat kFormats[] = {WeightFormat::kF32, WeightFormat::kBf16, WeightFormat::kF16,
                                     WeightFormat::kInt8, WeightFormat::kInt4};
constexpr WeightFormat kQuantized[] = {WeightFormat::kInt8, WeightFormat::kInt4};
constexpr ActivationFormat kActivations[] = {ActivationFormat::kF32, ActivationFormat::kBf16,
                                             ActivationFormat::kInt8};

struct Shape {
  int64_t rows;
  int64_t inputs;
  int64_t outputs;
};

core::StepLimits Limits(const Shape& s) {
  return {.rows = static_cast<int32_t>(s.rows), .max_columns = std::max(s.inputs, s.outputs)};
}

std::vector<float> RunLinear(Backend& backend, const Weight& weight, const std::vector<float>& in,
                             const Shape& s, ActivationFormat activations,
                             const float* bias = nullptr, const float* residual = nullptr) {
  const Buffer x(backend, s.rows, s.inputs, in);
  const Buffer out(backend, s.rows, s.outputs);
  const Step step(backend, Limits(s));
  const absl::Status status = backend.Linear(step.context(), {.in = x.matrix(),
                                                              .weight = weight.packed,
                                                              .bias = bias,
                                                              .residual = residual,
                                                              .activation_format = activations,
                                                              .out = out.matrix()});
  EXPECT_TRUE(status.ok()) << status;
  return out.values();
}

// The integer reference: activations quantized as layout.h says, exact dot products of a block,
// f32 rounding as the kernels do it.
std::vector<float> Int8Reference(WeightFormat format, const std::vector<float>& in,
                                 const std::vector<float>& values, const Shape& s, bool fused) {
  std::vector<float> out(static_cast<size_t>(s.rows * s.outputs));
  const int64_t blocks = (s.inputs + 127) / 128;
  for (int64_t o = 0; o < s.outputs; ++o) {
    for (int64_t r = 0; r < s.rows; ++r) {
      float sum = 0;
      for (int64_t b = 0; b < blocks; ++b) {
        const int64_t n = std::min<int64_t>(128, s.inputs - b * 128);
        uint16_t half[128];
        int8_t w[128];
        int32_t a[128];
        for (int64_t i = 0; i < n; ++i) {
          half[i] = core::F32ToBf16(values[o * s.inputs + b * 128 + i]);
        }
        const uint16_t scale = format == WeightFormat::kInt8 ? core::QuantizeInt8Block(half, n, w)
                                                             : core::QuantizeInt4Block(half, n, w);
        const float* x = in.data() + r * s.inputs + b * 128;
        float absmax = 0;
        for (int64_t i = 0; i < n; ++i) absmax = std::max(absmax, std::abs(x[i]));
        if (absmax < 0x1p-100f) continue;
        const float factor = 127.0f / absmax;
        int32_t dot = 0;
        for (int64_t i = 0; i < n; ++i) {
          a[i] = static_cast<int32_t>(std::nearbyint(x[i] * factor));
          dot += a[i] * w[i];
        }
        const float product = core::Bf16ToF32(scale) * (absmax / 127.0f);
        sum = fused ? std::fma(static_cast<float>(dot), product, sum)
                    : static_cast<float>(dot) * product + sum;
      }
      out[r * s.outputs + o] = sum;
    }
  }
  return out;
}

class LinearTest : public testing::TestWithParam<KernelSet> {};
INSTANTIATE_TEST_SUITE_P(EveryKernelSet, LinearTest, testing::ValuesIn(KernelSets()), SetName);

TEST_P(LinearTest, DispatchRunsTheForcedKernels) {
  const auto backend = MakeBackend(GetParam(), 1);
  EXPECT_EQ(backend->Description(), "cpu (" + GetParam().name + ", 1 thread)");
}

TEST_P(LinearTest, AgreesWithDoubleReferenceInEveryFormat) {
  const auto backend = MakeBackend(GetParam(), 2);
  for (const Shape& s : {Shape{1, 8, 32},
                         {3, 64, 65},
                         {7, 130, 64},
                         {2, 1, 1},
                         {13, 172, 200},
                         {100, 257, 70},
                         {5, 1000, 129}}) {
    const auto in = RandomValues(s.rows * s.inputs, 1);
    const auto values = RandomValues(s.outputs * s.inputs, 2, 0.05f);
    for (const WeightFormat format : kFormats) {
      const Weight weight = MakeWeight(*backend, format, s.outputs, s.inputs, values);
      const auto out = RunLinear(*backend, weight, in, s, ActivationFormat::kF32);
      const auto reference = LinearReference(in, s.rows, weight.values, s.outputs, s.inputs);
      EXPECT_LT(RelativeError(out, reference), 1e-6)
          << core::WeightFormatName(format) << " " << s.rows << "x" << s.inputs << "x" << s.outputs;
    }
  }
}

TEST_P(LinearTest, FormatsGiveTheBitsOfTheirDequantizedValues) {
  const auto backend = MakeBackend(GetParam(), 1);
  const Shape s = {9, 300, 100};
  const auto in = RandomValues(s.rows * s.inputs, 3);
  const auto values = RandomValues(s.outputs * s.inputs, 4);
  for (const WeightFormat format : kFormats) {
    const Weight weight = MakeWeight(*backend, format, s.outputs, s.inputs, values);
    const Weight plain =
        MakeWeight(*backend, WeightFormat::kF32, s.outputs, s.inputs, weight.values);
    EXPECT_EQ(RunLinear(*backend, weight, in, s, ActivationFormat::kF32),
              RunLinear(*backend, plain, in, s, ActivationFormat::kF32))
        << core::WeightFormatName(format);
  }
}

std::vector<float> RoundedToBf16(std::vector<float> values) {
  for (float& v : values) v = core::Bf16ToF32(core::F32ToBf16(v));
  return values;
}

// What the kernels do with bf16 activations is exact but for the additions.
TEST_P(LinearTest, Bf16ActivationsAreRoundedAndNothingElse) {
  const auto backend = MakeBackend(GetParam(), 2);
  std::vector<Shape> shapes = {{1, 1, 1}, {2, 2, 3}, {5, 1000, 129}, {100, 257, 70}};
  for (int64_t rows = 1; rows <= 32; ++rows) shapes.push_back({rows, 129 + rows, 65});
  for (const int64_t rows : {64, 72, 73, 512}) shapes.push_back({rows, 383, 72});
  for (const Shape& s : shapes) {
    const auto in = RandomValues(s.rows * s.inputs, 31);
    const auto values = RandomValues(s.outputs * s.inputs, 32, 0.05f);
    const Weight weight = MakeWeight(*backend, WeightFormat::kBf16, s.outputs, s.inputs, values);
    const auto rounded = RoundedToBf16(in);
    const auto out = RunLinear(*backend, weight, in, s, ActivationFormat::kBf16);
    const auto reference = LinearReference(rounded, s.rows, weight.values, s.outputs, s.inputs);
    EXPECT_LT(RelativeError(out, reference), 1e-6) << s.rows << "x" << s.inputs << "x" << s.outputs;
    if (s.inputs > 64) {  // of a few products the rounding of one may be most of the sum
      const auto exact = LinearReference(in, s.rows, weight.values, s.outputs, s.inputs);
      EXPECT_LT(RelativeError(out, exact), 3e-3) << s.rows << "x" << s.inputs << "x" << s.outputs;
    }
    // Sets that do not multiply bf16 give the bits of f32 activations that are rounded already.
    if (GetParam().bf16) continue;
    EXPECT_EQ(out, RunLinear(*backend, weight, rounded, s, ActivationFormat::kF32));
  }
}

TEST_P(LinearTest, Bf16ActivationsChangeBf16WeightsOnly) {
  const auto backend = MakeBackend(GetParam(), 1);
  const Shape s = {8, 200, 70};
  const auto in = RandomValues(s.rows * s.inputs, 33);
  const auto values = RandomValues(s.outputs * s.inputs, 34);
  for (const WeightFormat format : kFormats) {
    const Weight weight = MakeWeight(*backend, format, s.outputs, s.inputs, values);
    const bool same = RunLinear(*backend, weight, in, s, ActivationFormat::kBf16) ==
                      RunLinear(*backend, weight, in, s, ActivationFormat::kF32);
    EXPECT_EQ(same, format != WeightFormat::kBf16) << core::WeightFormatName(format);
  }
}

TEST_P(LinearTest, WorkspacesHoldWhatTheFormatOfActivationsNeeds) {
  const auto backend = MakeBackend(GetParam(), 2);
  const Shape s = {37, 300, 70};
  const auto in = RandomValues(s.rows * s.inputs, 35);
  const auto values = RandomValues(s.outputs * s.inputs, 36);
  const Buffer x(*backend, s.rows, s.inputs, in);
  const Buffer out(*backend, s.rows, s.outputs);
  uint64_t largest = 0;
  for (const auto activations : kActivations) {
    core::StepLimits limits = Limits(s);
    limits.max_columns = s.inputs;
    limits.activation_format = activations;
    const Step step(*backend, limits);
    largest = std::max(largest, backend->WorkspaceBytes(limits));
    for (const WeightFormat format : kFormats) {
      const Weight weight = MakeWeight(*backend, format, s.outputs, s.inputs, values);
      EXPECT_TRUE(backend
                      ->Linear(step.context(), {.in = x.matrix(),
                                                .weight = weight.packed,
                                                .activation_format = activations,
                                                .out = out.matrix()})
                      .ok())
          << core::WeightFormatName(format) << " " << core::ActivationFormatName(activations);
    }
  }
  core::StepLimits any = Limits(s);
  any.max_columns = s.inputs;
  EXPECT_EQ(backend->WorkspaceBytes(any), largest);
}

TEST_P(LinearTest, Int8ActivationsAreExactAgainstAnIntegerReference) {
  const auto backend = MakeBackend(GetParam(), 2);
  const bool fused = GetParam().isa != Isa::kBaseline;
  for (const Shape& s : {Shape{1, 8, 32}, {6, 128, 64}, {7, 130, 65}, {13, 512, 200}}) {
    const auto in = RandomValues(s.rows * s.inputs, 5);
    const auto values = RandomValues(s.outputs * s.inputs, 6);
    for (const WeightFormat format : kQuantized) {
      const Weight weight = MakeWeight(*backend, format, s.outputs, s.inputs, values);
      EXPECT_EQ(RunLinear(*backend, weight, in, s, ActivationFormat::kInt8),
                Int8Reference(format, in, values, s, fused))
          << core::WeightFormatName(format) << " " << s.rows << "x" << s.inputs << "x" << s.outputs;
    }
  }
}

TEST_P(LinearTest, Int8ActivationsStayCloseToF32OnesAndTakeExtremes) {
  const auto backend = MakeBackend(GetParam(), 1);
  const Shape s = {4, 640, 96};
  auto in = RandomValues(s.rows * s.inputs, 7);
  for (int64_t k = 0; k < s.inputs; ++k) {
    in[2 * s.inputs + k] = k % 2 == 0 ? 1.0f : -1.0f;  // every code is +-127
    in[3 * s.inputs + k] = 0;
  }
  const auto values = RandomValues(s.outputs * s.inputs, 8);
  for (const WeightFormat format : kQuantized) {
    const Weight weight = MakeWeight(*backend, format, s.outputs, s.inputs, values);
    const auto exact = LinearReference(in, s.rows, weight.values, s.outputs, s.inputs);
    const auto out = RunLinear(*backend, weight, in, s, ActivationFormat::kInt8);
    EXPECT_LT(RelativeError(out, exact), 1.5e-2) << core::WeightFormatName(format);
    for (int64_t o = 0; o < s.outputs; ++o) EXPECT_EQ(out[3 * s.outputs + o], 0.0f);
  }
}

TEST_P(LinearTest, BitsDoNotDependOnRowsOrThreads) {
  constexpr int64_t kRows = 33;
  const Shape all = {kRows, 300, 150};
  const auto in = RandomValues(kRows * all.inputs, 9);
  const auto values = RandomValues(all.outputs * all.inputs, 10);
  const auto one = MakeBackend(GetParam(), 1);
  for (const WeightFormat format : kFormats) {
    for (const auto activations : kActivations) {
      const Weight weight = MakeWeight(*one, format, all.outputs, all.inputs, values);
      const auto expected = RunLinear(*one, weight, in, all, activations);
      for (int64_t rows = 1; rows <= kRows; ++rows) {
        for (const int64_t first : {int64_t{0}, kRows - rows}) {
          const std::vector<float> part(in.begin() + first * all.inputs,
                                        in.begin() + (first + rows) * all.inputs);
          const auto out =
              RunLinear(*one, weight, part, {rows, all.inputs, all.outputs}, activations);
          ASSERT_TRUE(std::equal(out.begin(), out.end(), expected.begin() + first * all.outputs))
              << core::WeightFormatName(format) << " rows " << rows << " from " << first;
        }
      }
      for (const int threads : {2, 3, 7}) {
        const auto many = MakeBackend(GetParam(), threads);
        ASSERT_EQ(RunLinear(*many, weight, in, all, activations), expected)
            << core::WeightFormatName(format) << " threads " << threads;
      }
    }
  }
}

TEST_P(LinearTest, SpreadingNibblesDoesNotChangeBits) {
  const KernelSet& set = GetParam();
  const Shape s = {80, 300, 150};
  const auto in = RandomValues(s.rows * s.inputs, 21);
  const auto values = RandomValues(s.outputs * s.inputs, 22);
  std::vector<std::vector<float>> outs;
  for (const bool spread : {true, false}) {
    const auto backend = CpuBackend::Create(
        {.threads = 2, .force_isa = set.isa, .use_vnni = set.vnni, .spread_nibbles = spread});
    ASSERT_TRUE(backend.ok()) << backend.status();
    const Weight weight = MakeWeight(**backend, WeightFormat::kInt4, s.outputs, s.inputs, values);
    outs.push_back(RunLinear(**backend, weight, in, s, ActivationFormat::kInt8));
  }
  EXPECT_EQ(outs[0], outs[1]);
  EXPECT_EQ(outs[0], Int8Reference(WeightFormat::kInt4, in, values, s, set.isa != Isa::kBaseline));
}

TEST_P(LinearTest, RowChunksDoNotChangeBits) {
  const auto backend = MakeBackend(GetParam(), 3);
  const Shape all = {200, 256, 80};
  const auto in = RandomValues(all.rows * all.inputs, 11);
  const auto values = RandomValues(all.outputs * all.inputs, 12);
  for (const WeightFormat format : {WeightFormat::kBf16, WeightFormat::kInt4}) {
    for (const auto activations : kActivations) {
      const Weight weight = MakeWeight(*backend, format, all.outputs, all.inputs, values);
      const auto expected = RunLinear(*backend, weight, in, all, activations);
      for (const int64_t chunk : {1, 5, 64, 97, 199}) {
        for (int64_t first = 0; first < all.rows; first += chunk) {
          const int64_t rows = std::min(chunk, all.rows - first);
          const std::vector<float> part(in.begin() + first * all.inputs,
                                        in.begin() + (first + rows) * all.inputs);
          const auto out =
              RunLinear(*backend, weight, part, {rows, all.inputs, all.outputs}, activations);
          ASSERT_TRUE(std::equal(out.begin(), out.end(), expected.begin() + first * all.outputs))
              << "chunk " << chunk << " first " << first;
        }
      }
    }
  }
}

TEST_P(LinearTest, AddsBiasAndResidualInPlace) {
  const auto backend = MakeBackend(GetParam(), 2);
  const Shape s = {5, 40, 70};
  const auto in = RandomValues(s.rows * s.inputs, 13);
  const auto values = RandomValues(s.outputs * s.inputs, 14);
  const auto bias = RandomValues(s.outputs, 15);
  const auto residual = RandomValues(s.rows * s.outputs, 16);
  const Weight weight = MakeWeight(*backend, WeightFormat::kF32, s.outputs, s.inputs, values);
  auto reference = LinearReference(in, s.rows, weight.values, s.outputs, s.inputs);
  for (size_t i = 0; i < reference.size(); ++i) {
    reference[i] += static_cast<double>(bias[i % s.outputs]) + residual[i];
  }
  const Buffer x(*backend, s.rows, s.inputs, in);
  const Buffer out(*backend, s.rows, s.outputs, residual);
  const Step step(*backend, Limits(s));
  ASSERT_TRUE(backend
                  ->Linear(step.context(), {.in = x.matrix(),
                                            .weight = weight.packed,
                                            .bias = bias.data(),
                                            .residual = out.data(),
                                            .out = out.matrix()})
                  .ok());
  EXPECT_LT(RelativeError(out.values(), reference), 1e-6);
}

double Activate(core::GateActivation activation, double x) {
  switch (activation) {
    case core::GateActivation::kSilu:
      return x / (1 + std::exp(-x));
    case core::GateActivation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case core::GateActivation::kGelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
  }
  return 0;
}

TEST_P(LinearTest, GatedAgreesWithReference) {
  const auto backend = MakeBackend(GetParam(), 2);
  for (const Shape& s : {Shape{1, 8, 16}, {7, 64, 172}, {99, 130, 64}}) {
    const auto in = RandomValues(s.rows * s.inputs, 17);
    const auto values = RandomValues(2 * s.outputs * s.inputs, 18, 0.3f);
    const auto gate_bias = RandomValues(s.outputs, 19);
    const auto up_bias = RandomValues(s.outputs, 20);
    for (const WeightFormat format : kFormats) {
      const Weight weight =
          MakeWeight(*backend, format, 2 * s.outputs, s.inputs, values, WeightKind::kGated);
      const auto both = LinearReference(in, s.rows, weight.values, 2 * s.outputs, s.inputs);
      for (const auto activation : {core::GateActivation::kSilu, core::GateActivation::kGeluTanh,
                                    core::GateActivation::kGelu}) {
        std::vector<double> reference(static_cast<size_t>(s.rows * s.outputs));
        for (int64_t r = 0; r < s.rows; ++r) {
          for (int64_t o = 0; o < s.outputs; ++o) {
            const double gate = both[r * 2 * s.outputs + o] + gate_bias[o];
            const double up = both[r * 2 * s.outputs + s.outputs + o] + up_bias[o];
            reference[r * s.outputs + o] = Activate(activation, gate) * up;
          }
        }
        const Buffer x(*backend, s.rows, s.inputs, in);
        const Buffer out(*backend, s.rows, s.outputs);
        const Step step(*backend, Limits(s));
        ASSERT_TRUE(backend
                        ->LinearGated(step.context(), {.in = x.matrix(),
                                                       .weight = weight.packed,
                                                       .gate_bias = gate_bias.data(),
                                                       .up_bias = up_bias.data(),
                                                       .activation = activation,
                                                       .out = out.matrix()})
                        .ok());
        EXPECT_LT(RelativeError(out.values(), reference), 2e-6)
            << core::WeightFormatName(format) << " activation " << static_cast<int>(activation);
      }
    }
  }
}

TEST_P(LinearTest, NothingPassesUnseenFromBadActivations) {
  const auto backend = MakeBackend(GetParam(), 1);
  const Shape s = {2, 256, 64};
  auto in = RandomValues(s.rows * s.inputs, 21);
  in[5] = std::nanf("");
  in[s.inputs + 200] = HUGE_VALF;
  const auto values = RandomValues(s.outputs * s.inputs, 22);
  for (const WeightFormat format : kQuantized) {
    const Weight weight = MakeWeight(*backend, format, s.outputs, s.inputs, values);
    for (const float v : RunLinear(*backend, weight, in, s, ActivationFormat::kInt8)) {
      EXPECT_FALSE(std::isfinite(v));
    }
  }
}

TEST_P(LinearTest, Bf16ActivationsKeepWhatIsNotFinite) {
  const auto backend = MakeBackend(GetParam(), 1);
  // One more row than a tile, so that both the rows of a tile and those after it are seen.
  const Shape s = {7, 131, 64};
  const auto clean = RandomValues(s.rows * s.inputs, 24);
  const auto values = RandomValues(s.outputs * s.inputs, 25);
  const Weight weight = MakeWeight(*backend, WeightFormat::kBf16, s.outputs, s.inputs, values);
  uint32_t bits = 0xFFFFFFFF;  // a NaN that rounding its bits would make a number
  float strange;
  std::memcpy(&strange, &bits, sizeof strange);
  for (const float bad : {std::nanf(""), strange, HUGE_VALF, -HUGE_VALF, 3.4e38f}) {
    auto in = clean;
    in[3 * s.inputs + s.inputs - 1] = bad;
    const auto out = RunLinear(*backend, weight, in, s, ActivationFormat::kBf16);
    for (int64_t i = 0; i < s.rows * s.outputs; ++i) {
      EXPECT_EQ(std::isfinite(out[i]), i / s.outputs != 3) << bad << " at " << i;
    }
  }
}

TEST(LinearErrors, ZeroRowsAndShortWorkspaces) {
  const auto backend = MakeBackend({Isa::kBaseline, false, ""}, 1);
  const auto values = RandomValues(64 * 64, 23);
  const Weight weight = MakeWeight(*backend, WeightFormat::kF32, 64, 64, values);
  const Buffer out(*backend, 1, 64);
  EXPECT_TRUE(
      backend
          ->Linear({}, {.in = {nullptr, 0, 64}, .weight = weight.packed, .out = {nullptr, 0, 64}})
          .ok());
  EXPECT_EQ(backend->Linear({}, {.in = out.matrix(), .weight = weight.packed, .out = out.matrix()})
                .code(),
            absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace llmcore::cpu
