// Linear, LinearGated and Embed over every weight format, and what PackWeight makes of sources.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "tests/conformance/backends.h"
#include "tests/conformance/harness.h"

namespace llmcore::conformance {
namespace {

using core::ActivationFormat;
using core::DType;
using core::WeightFormat;
using core::WeightKind;
using reference::Table;

constexpr double kTolerance = 2e-5;
// Of the norm over many sums: a single one may cancel and be far off.
constexpr double kInt8Tolerance = 1.5e-2;
constexpr size_t kManySums = 64;
// Integer products are exact; what is left is the rounding of scales and sums in f32.
constexpr double kCodesTolerance = 1e-6;

struct Shape {
  size_t rows;
  size_t inputs;
  size_t outputs;
};

const std::vector<Shape>& AllShapes() {
  static const std::vector<Shape> small = {{0, 64, 64},   {1, 1, 1},     {1, 128, 64},
                                           {2, 2, 3},     {3, 129, 65},  {5, 127, 63},
                                           {7, 384, 130}, {13, 300, 33}, {1, 1000, 1}};
  static const std::vector<Shape> all = [] {
    std::vector<Shape> shapes = small;
    shapes.insert(shapes.end(), {{6, 256, 64}, {33, 640, 200}, {97, 513, 200}, {193, 130, 70}});
    return shapes;
  }();
  return kSlowBuild ? small : all;
}

constexpr size_t kShapesOfSlowBackends = 9;
constexpr size_t kShapesOfSlowestBackends = 6;  // emulated, under a sanitizer

DType SourceType(size_t index) {
  const DType types[] = {DType::kF32, DType::kBf16, DType::kF16};
  return types[index % 3];
}

// Operands and the expected outputs of one shape and format, made once for all backends.
struct Problem {
  uint32_t seed = 0;
  Table in;
  std::vector<SourceWeight> parts;  // of the plain weight
  SourceWeight gate;
  SourceWeight up;
  std::vector<double> bias;
  std::vector<double> up_bias;
  std::vector<double> residual;
  Table plain;          // no bias, no residual
  Table full;           // both
  Table full_of_codes;  // both, int8 activations
  Table gates;          // with bias, before the activation
  Table ups;
};

std::vector<reference::QuantizedRow> ActivationCodes(const Table& in) {
  std::vector<reference::QuantizedRow> rows;
  for (size_t row = 0; row < in.rows; ++row) {
    std::vector<float> line;
    for (size_t k = 0; k < in.columns; ++k) line.push_back(static_cast<float>(in.at(row, k)));
    rows.push_back(reference::QuantizeActivations(line));
  }
  return rows;
}

Table Concatenate(const std::vector<SourceWeight>& parts) {
  Table whole(0, parts[0].values.columns);
  for (const SourceWeight& part : parts) {
    whole.rows += part.values.rows;
    whole.values.insert(whole.values.end(), part.values.values.begin(), part.values.values.end());
  }
  return whole;
}

Problem MakeProblem(WeightFormat format, size_t index) {
  const Shape& shape = AllShapes()[index];
  Problem problem;
  problem.seed = static_cast<uint32_t>(1000 * static_cast<uint32_t>(format) + index);
  Random random(problem.seed);
  const double spread = 1 / std::sqrt(static_cast<double>(shape.inputs));
  problem.in = RandomTable(shape.rows, shape.inputs, 1, &random);
  // Queries, keys and values of odd sizes, each from a source of another type.
  const size_t cuts[] = {0, shape.outputs / 2, shape.outputs / 2 + shape.outputs / 3,
                         shape.outputs};
  for (size_t part = 0; part < 3; ++part) {
    const Table values = RandomTable(cuts[part + 1] - cuts[part], shape.inputs, spread, &random);
    problem.parts.push_back(MakeSource(values, SourceType(index + part)));
  }
  problem.gate =
      MakeSource(RandomTable(shape.outputs, shape.inputs, spread, &random), SourceType(index));
  problem.up =
      MakeSource(RandomTable(shape.outputs, shape.inputs, spread, &random), SourceType(index + 1));
  problem.bias = RandomVector(shape.outputs, 0, 1, &random);
  problem.up_bias = RandomVector(shape.outputs, 0, 1, &random);
  problem.residual = RandomVector(shape.rows * shape.outputs, 0, 1, &random);
  const Table source = Concatenate(problem.parts);
  const Table weight = Stored(source, format);
  problem.plain = reference::Linear(problem.in, weight, {}, {});
  problem.full = reference::Linear(problem.in, weight, problem.bias, problem.residual);
  problem.gates =
      reference::Linear(problem.in, Stored(problem.gate.values, format), problem.bias, {});
  problem.ups =
      reference::Linear(problem.in, Stored(problem.up.values, format), problem.up_bias, {});
  if (IsQuantized(format)) {
    problem.full_of_codes = reference::LinearOfCodes(
        ActivationCodes(problem.in), Codes(source, format), problem.bias, problem.residual);
  }
  return problem;
}

const Problem& GetProblem(WeightFormat format, size_t index) {
  static std::map<std::pair<WeightFormat, size_t>, Problem> problems;
  const auto key = std::make_pair(format, index);
  auto found = problems.find(key);
  if (found == problems.end()) found = problems.emplace(key, MakeProblem(format, index)).first;
  return found->second;
}

struct LinearCase {
  BackendCase backend;
  WeightFormat format;
};

std::string NameOf(const LinearCase& one) {
  return NameOf(one.backend) + "_" + std::string(core::WeightFormatName(one.format));
}

std::ostream& operator<<(std::ostream& out, const LinearCase& one) {
  return out << NameOf(one);
}

std::vector<LinearCase> Cases(bool quantized_only) {
  std::vector<LinearCase> cases;
  for (const BackendCase& backend : ProductCases()) {
    for (const WeightFormat format : kWeightFormats) {
      if (IsQuantized(format) || !quantized_only) cases.push_back({backend, format});
    }
  }
  return cases;
}

class LinearConformanceTest : public testing::TestWithParam<LinearCase> {
 protected:
  void SetUp() override {
    const BackendCase& backend = GetParam().backend;
    format_ = GetParam().format;
    auto created = backend.maker->create(backend.threads);
    ASSERT_TRUE(created.ok()) << created.status();
    harness_ = std::make_unique<Harness>(*std::move(created), AmpleLimits());
  }

  // How many of AllShapes are tried.
  static size_t ShapeCount() {
    if (!GetParam().backend.maker->is_slow) return AllShapes().size();
    return kSlowBuild ? kShapesOfSlowestBackends : kShapesOfSlowBackends;
  }

  core::PackedWeight PackParts(const std::vector<core::SourceMatrix>& parts, WeightKind kind) {
    auto weight = Pack(harness_.get(), format_, kind, parts);
    EXPECT_TRUE(weight.ok()) << weight.status();
    return weight.ok() ? *weight : core::PackedWeight{};
  }

  core::PackedWeight PackPlain(const Problem& problem) {
    std::vector<core::SourceMatrix> parts;
    for (const SourceWeight& part : problem.parts) parts.push_back(part.matrix());
    return PackParts(parts, WeightKind::kPlain);
  }

  WeightFormat format_ = WeightFormat::kF32;
  std::unique_ptr<Harness> harness_;
};

class QuantizedLinearConformanceTest : public LinearConformanceTest {};

TEST_P(LinearConformanceTest, AgreesWithTheReference) {
  for (size_t index = 0; index < ShapeCount(); ++index) {
    const Problem& problem = GetProblem(format_, index);
    SCOPED_TRACE(testing::Message() << problem.in.rows << " x " << problem.in.columns << " -> "
                                    << problem.plain.columns);
    core::LinearParams params;
    params.in = harness_->Upload(problem.in);
    params.weight = PackPlain(problem);
    params.out = harness_->NewMatrix(problem.plain.rows, problem.plain.columns);
    ASSERT_TRUE(harness_->backend().Linear(harness_->Context(), params).ok());
    EXPECT_TRUE(Near(problem.plain, harness_->Read(params.out), kTolerance, problem.seed));

    params.bias = harness_->Upload(problem.bias);
    params.residual = harness_->Upload(problem.residual);
    ASSERT_TRUE(harness_->backend().Linear(harness_->Context(), params).ok());
    const std::vector<float> apart = harness_->Read(params.out);
    EXPECT_TRUE(Near(problem.full, apart, kTolerance, problem.seed));

    // The residual may be the output itself.
    params.out.data = harness_->Upload(problem.residual);
    params.residual = params.out.data;
    ASSERT_TRUE(harness_->backend().Linear(harness_->Context(), params).ok());
    EXPECT_TRUE(SameBits(apart, harness_->Read(params.out)));
    EXPECT_TRUE(harness_->GuardsAreIntact());
    harness_->Clear();
  }
}

TEST_P(QuantizedLinearConformanceTest, Int8ActivationsAgreeWithIntegersAndNearlyWithFloats) {
  for (size_t index = 0; index < ShapeCount(); ++index) {
    const Problem& problem = GetProblem(format_, index);
    SCOPED_TRACE(testing::Message() << problem.in.rows << " x " << problem.in.columns << " -> "
                                    << problem.plain.columns);
    core::LinearParams params;
    params.in = harness_->Upload(problem.in);
    params.weight = PackPlain(problem);
    params.bias = harness_->Upload(problem.bias);
    params.residual = harness_->Upload(problem.residual);
    params.activation_format = ActivationFormat::kInt8;
    params.out = harness_->NewMatrix(problem.plain.rows, problem.plain.columns);
    ASSERT_TRUE(harness_->backend().Linear(harness_->Context(), params).ok());
    const std::vector<float> out = harness_->Read(params.out);
    if (GetParam().backend.maker->has_activation_codes) {
      EXPECT_TRUE(Near(problem.full_of_codes, out, kCodesTolerance, problem.seed));
    }
    if (out.size() >= kManySums) {
      EXPECT_TRUE(Near(problem.full, out, kInt8Tolerance, problem.seed));
    }
    EXPECT_TRUE(harness_->GuardsAreIntact());
    harness_->Clear();
  }
}

// Scales are powers of two and sums stay below 2^24, so that f32 holds every step exactly and the
// result must be the integer one to the bit.
TEST_P(QuantizedLinearConformanceTest, Int8ActivationsAreExactWhereFloatsAre) {
  const int most = format_ == WeightFormat::kInt8 ? 127 : 7;
  const uint32_t seed = 77;
  Random random(seed);
  for (const size_t inputs : {size_t{40}, size_t{256}, size_t{300}}) {
    const auto codes = [&](size_t rows, int largest, int usual) {
      Table table(rows, inputs);
      for (size_t row = 0; row < rows; ++row) {
        for (size_t k = 0; k < inputs; ++k) {
          table.at(row, k) = Below(&random, 2 * usual + 1) - usual;
          if (k % 128 == row % 40) table.at(row, k) = k % 3 == 0 ? largest : -largest;
        }
        for (size_t k = 0; k < inputs; ++k) table.at(row, k) *= (row + k / 128) % 2 == 0 ? 1 : 2;
      }
      return table;
    };
    const Table in = codes(29, 127, 60);
    const SourceWeight weight = MakeSource(codes(70, most, std::min(most, 20)), DType::kF32);
    core::LinearParams params;
    params.in = harness_->Upload(in);
    params.weight = PackParts({weight.matrix()}, WeightKind::kPlain);
    params.activation_format = ActivationFormat::kInt8;
    params.out = harness_->NewMatrix(29, 70);
    ASSERT_TRUE(harness_->backend().Linear(harness_->Context(), params).ok());
    const Table expected = reference::Linear(in, weight.values, {}, {});
    EXPECT_TRUE(Near(expected, harness_->Read(params.out), 0, seed)) << inputs << " inputs";
  }
}

TEST_P(LinearConformanceTest, GatedAgreesWithTheReference) {
  const std::pair<core::GateActivation, reference::Activation> activations[] = {
      {core::GateActivation::kSilu, reference::Activation::kSilu},
      {core::GateActivation::kGeluTanh, reference::Activation::kGeluTanh},
      {core::GateActivation::kGelu, reference::Activation::kGelu}};
  for (size_t index = 0; index < ShapeCount(); ++index) {
    const Problem& problem = GetProblem(format_, index);
    core::LinearGatedParams params;
    params.in = harness_->Upload(problem.in);
    params.weight = PackParts({problem.gate.matrix(), problem.up.matrix()}, WeightKind::kGated);
    params.gate_bias = harness_->Upload(problem.bias);
    params.up_bias = harness_->Upload(problem.up_bias);
    params.out = harness_->NewMatrix(problem.gates.rows, problem.gates.columns);
    for (const auto& [activation, reference_activation] : activations) {
      SCOPED_TRACE(testing::Message()
                   << problem.in.rows << " x " << problem.in.columns << " -> "
                   << problem.gates.columns << ", activation " << static_cast<int>(activation));
      params.activation = activation;
      const Table expected = reference::Gate(reference_activation, problem.gates, problem.ups);
      params.activation_format = ActivationFormat::kF32;
      ASSERT_TRUE(harness_->backend().LinearGated(harness_->Context(), params).ok());
      EXPECT_TRUE(Near(expected, harness_->Read(params.out), kTolerance, problem.seed));
      if (!IsQuantized(format_) || expected.values.size() < kManySums) continue;
      params.activation_format = ActivationFormat::kInt8;
      ASSERT_TRUE(harness_->backend().LinearGated(harness_->Context(), params).ok());
      // Two products, each with its own error.
      EXPECT_TRUE(Near(expected, harness_->Read(params.out), 2 * kInt8Tolerance, problem.seed));
    }
    EXPECT_TRUE(harness_->GuardsAreIntact());
    harness_->Clear();
  }
}

// More than a backend does in one go.
TEST_P(LinearConformanceTest, ManyOutputsAndManyTokensAgreeWithTheReference) {
  core::StepLimits limits = AmpleLimits();
  limits.rows = 2100;
  limits.max_columns = 20;
  Harness harness(*GetParam().backend.maker->create(GetParam().backend.threads), limits);
  const uint32_t seed = 91;
  Random random(seed);
  for (const auto& [rows, outputs] : {std::pair<size_t, size_t>{3, 4100}, {2053, 18}}) {
    SCOPED_TRACE(testing::Message() << rows << " x 20 -> " << outputs);
    const Table in = RandomTable(rows, 20, 1, &random);
    const SourceWeight gate = MakeSource(RandomTable(outputs, 20, 0.2, &random), DType::kBf16);
    const SourceWeight up = MakeSource(RandomTable(outputs, 20, 0.2, &random), DType::kF32);
    const std::vector<double> residual = RandomVector(rows * outputs, 0, 1, &random);
    const Table gates = reference::Linear(in, Stored(gate.values, format_), {}, {});
    const Table ups = reference::Linear(in, Stored(up.values, format_), {}, {});

    core::LinearParams plain;
    plain.in = harness.Upload(in);
    plain.weight = *Pack(&harness, format_, WeightKind::kPlain, {gate.matrix()});
    plain.residual = harness.Upload(residual);
    plain.out = harness.NewMatrix(rows, outputs);
    ASSERT_TRUE(harness.backend().Linear(harness.Context(), plain).ok());
    Table expected = gates;
    for (size_t i = 0; i < residual.size(); ++i) expected.values[i] += residual[i];
    EXPECT_TRUE(Near(expected, harness.Read(plain.out), kTolerance, seed));

    core::LinearGatedParams gated;
    gated.in = plain.in;
    gated.weight = *Pack(&harness, format_, WeightKind::kGated, {gate.matrix(), up.matrix()});
    gated.out = harness.NewMatrix(rows, outputs);
    ASSERT_TRUE(harness.backend().LinearGated(harness.Context(), gated).ok());
    EXPECT_TRUE(Near(reference::Gate(reference::Activation::kSilu, gates, ups),
                     harness.Read(gated.out), kTolerance, seed));
    EXPECT_TRUE(harness.GuardsAreIntact());
    harness.Clear();
  }
}

TEST_P(LinearConformanceTest, NormsOfTheInputAgreeWithTheReference) {
  if (!harness_->backend().FusesNorm()) return;  // the norm is an operation of its own
  const float epsilon = 1e-5f;
  for (const size_t index : {size_t{1}, size_t{3}, size_t{4}, size_t{7}}) {
    const Problem& problem = GetProblem(format_, index);
    SCOPED_TRACE(testing::Message() << problem.in.rows << " x " << problem.in.columns << " -> "
                                    << problem.plain.columns);
    Random random(problem.seed);
    const std::vector<double> weight = RandomVector(problem.in.columns, 1, 0.3, &random);
    const Table normed = reference::RmsNorm(problem.in, weight, static_cast<double>(epsilon));
    const core::InputNorm norm = {harness_->Upload(weight), epsilon};

    core::LinearParams plain;
    plain.in = harness_->Upload(problem.in);
    plain.norm = norm;
    plain.weight = PackPlain(problem);
    plain.bias = harness_->Upload(problem.bias);
    plain.residual = harness_->Upload(problem.residual);
    plain.out = harness_->NewMatrix(problem.plain.rows, problem.plain.columns);
    const Table expected = reference::Linear(normed, Stored(Concatenate(problem.parts), format_),
                                             problem.bias, problem.residual);
    ASSERT_TRUE(harness_->backend().Linear(harness_->Context(), plain).ok());
    EXPECT_TRUE(Near(expected, harness_->Read(plain.out), kTolerance, problem.seed));

    core::LinearGatedParams gated;
    gated.in = plain.in;
    gated.norm = norm;
    gated.weight = PackParts({problem.gate.matrix(), problem.up.matrix()}, WeightKind::kGated);
    gated.gate_bias = plain.bias;
    gated.up_bias = harness_->Upload(problem.up_bias);
    gated.out = harness_->NewMatrix(problem.gates.rows, problem.gates.columns);
    const Table expected_gated = reference::Gate(
        reference::Activation::kSilu,
        reference::Linear(normed, Stored(problem.gate.values, format_), problem.bias, {}),
        reference::Linear(normed, Stored(problem.up.values, format_), problem.up_bias, {}));
    ASSERT_TRUE(harness_->backend().LinearGated(harness_->Context(), gated).ok());
    EXPECT_TRUE(Near(expected_gated, harness_->Read(gated.out), kTolerance, problem.seed));
    EXPECT_TRUE(harness_->GuardsAreIntact());
    if (IsQuantized(format_) && expected.values.size() >= kManySums) {
      plain.activation_format = ActivationFormat::kInt8;
      ASSERT_TRUE(harness_->backend().Linear(harness_->Context(), plain).ok());
      EXPECT_TRUE(Near(expected, harness_->Read(plain.out), kInt8Tolerance, problem.seed));
    }
    harness_->Clear();
  }
}

TEST_P(LinearConformanceTest, GatedWithoutBiasHasNone) {
  const Problem& problem = GetProblem(format_, 4);
  const std::vector<double> zeros(problem.bias.size(), 0.0);
  core::LinearGatedParams params;
  params.in = harness_->Upload(problem.in);
  params.weight = PackParts({problem.gate.matrix(), problem.up.matrix()}, WeightKind::kGated);
  params.out = harness_->NewMatrix(problem.gates.rows, problem.gates.columns);
  ASSERT_TRUE(harness_->backend().LinearGated(harness_->Context(), params).ok());
  const std::vector<float> without = harness_->Read(params.out);
  params.gate_bias = harness_->Upload(zeros);
  params.up_bias = harness_->Upload(zeros);
  ASSERT_TRUE(harness_->backend().LinearGated(harness_->Context(), params).ok());
  EXPECT_TRUE(SameBits(without, harness_->Read(params.out)));
}

TEST_P(LinearConformanceTest, EmbedGivesTheStoredRowsExactly) {
  for (size_t index = 0; index < ShapeCount(); ++index) {
    const Problem& problem = GetProblem(format_, index);
    const Table source = Concatenate(problem.parts);
    Random random(problem.seed);
    std::vector<int32_t> tokens(index == 0 ? 0 : 40);
    for (int32_t& token : tokens) token = Below(&random, static_cast<int32_t>(source.rows));
    if (!tokens.empty()) tokens.back() = static_cast<int32_t>(source.rows) - 1;
    core::EmbedParams params;
    params.table = PackPlain(problem);
    params.tokens = tokens;
    params.out = harness_->NewMatrix(tokens.size(), source.columns);
    ASSERT_TRUE(harness_->backend().Embed(harness_->Context(), params).ok());
    EXPECT_TRUE(Near(reference::Embed(Stored(source, format_), tokens), harness_->Read(params.out),
                     0, problem.seed));
    EXPECT_TRUE(harness_->GuardsAreIntact());
    harness_->Clear();
  }
}

TEST_P(QuantizedLinearConformanceTest, QuantizedSourcesPackToTheSameBytes) {
  for (size_t index = 1; index < ShapeCount(); ++index) {
    const Problem& problem = GetProblem(format_, index);
    const core::PackedWeight original = PackPlain(problem);
    std::vector<SourceWeight> quantized;
    for (const SourceWeight& part : problem.parts) {
      quantized.push_back(QuantizeSource(part, format_));
    }
    std::vector<core::SourceMatrix> parts;
    for (const SourceWeight& part : quantized) parts.push_back(part.matrix(format_));
    // A file may hold one part quantized already and another not.
    if (index % 2 == 0) parts[1] = problem.parts[1].matrix();
    const core::PackedWeight again = PackParts(parts, WeightKind::kPlain);
    const size_t bytes = harness_->backend().PackedWeightBytes(original.shape);
    EXPECT_EQ(harness_->ReadBytes(original.data, bytes), harness_->ReadBytes(again.data, bytes))
        << problem.in.columns << " -> " << problem.plain.columns;
    harness_->Clear();
  }
}

TEST_P(QuantizedLinearConformanceTest, BlocksWithHardScalesAreExact) {
  // Zero, tiny, subnormal, huge and lopsided rows, read back through Embed.
  Table values(12, 200);
  Random random(5);
  const double scales[] = {0, 1, 0x1p-133, 0x1p-128, 0x1p-120, 0x1p100, 1e-3, 1, 1, 1, 1, 1};
  for (size_t row = 0; row < values.rows; ++row) {
    for (size_t k = 0; k < values.columns; ++k) {
      const double value = RandomVector(1, 0, 1, &random)[0];
      values.at(row, k) = reference::RoundToBf16(static_cast<float>(value * scales[row]));
      if (row == 7) values.at(row, k) = k % 2 == 0 ? 1 : -1;
      if (row == 8) values.at(row, k) = k == 150 ? -3.3895e38 : 0;
      if (row == 9) values.at(row, k) = static_cast<double>(k % 15) / 2 - 3.5;  // ties
    }
  }
  for (double& value : values.values) value = reference::RoundToBf16(value);
  const SourceWeight source = MakeSource(values, DType::kBf16);
  core::EmbedParams params;
  params.table = PackParts({source.matrix()}, WeightKind::kPlain);
  std::vector<int32_t> tokens;
  for (int32_t row = 0; row < 12; ++row) tokens.push_back(row);
  params.tokens = tokens;
  params.out = harness_->NewMatrix(values.rows, values.columns);
  ASSERT_TRUE(harness_->backend().Embed(harness_->Context(), params).ok());
  const std::vector<float> out = harness_->Read(params.out);
  const Table expected = Stored(values, format_);
  for (size_t i = 0; i < out.size(); ++i) {
    ASSERT_EQ(static_cast<double>(out[i]), expected.values[i])
        << "row " << i / values.columns << ", column " << i % values.columns;
  }
}

TEST_P(LinearConformanceTest, UnusableValuesAreRefusedByRowAndColumn) {
  Random random(9);
  const Table values = RandomTable(70, 150, 1, &random);
  for (const DType dtype : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const uint32_t kind : {0u, 1u, 2u}) {
      for (const auto& [row, column] : {std::pair<size_t, size_t>{0, 0}, {69, 149}, {64, 128}}) {
        SourceWeight source = MakeSource(values, dtype);
        const uint32_t f32_bits[] = {0x7FC00001u, 0x7F800000u, 0xFF800000u};
        const uint16_t f16_bits[] = {0x7E01, 0x7C00, 0xFC00};
        const size_t index = row * 150 + column;
        std::byte* data = source.bytes.data() + 1;
        if (dtype == DType::kF32) {
          std::memcpy(data + index * 4, &f32_bits[kind], 4);
        } else if (dtype == DType::kBf16) {
          const auto bits = static_cast<uint16_t>(f32_bits[kind] >> 16);
          std::memcpy(data + index * 2, &bits, 2);
        } else {
          std::memcpy(data + index * 2, &f16_bits[kind], 2);
        }
        const absl::Status status =
            Pack(harness_.get(), format_, WeightKind::kPlain, {source.matrix()}).status();
        ASSERT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
        const std::string message(status.message());
        EXPECT_NE(message.find("row " + std::to_string(row)), std::string::npos) << message;
        EXPECT_NE(message.find("column " + std::to_string(column)), std::string::npos) << message;
        harness_->Clear();
      }
    }
  }
}

TEST_P(LinearConformanceTest, ValuesTooLargeForTheFormatAreRefused) {
  if (format_ == WeightFormat::kF32) return;  // which holds every source value
  Table values(3, 130);
  values.at(2, 129) = static_cast<double>(std::numeric_limits<float>::max());  // rounds to infinity
  const SourceWeight source = MakeSource(values, DType::kF32);
  const absl::Status status =
      Pack(harness_.get(), format_, WeightKind::kPlain, {source.matrix()}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
}

TEST_P(LinearConformanceTest, PackingReportsProgressAndStopsWhenTold) {
  Random random(3);
  const SourceWeight source = MakeSource(RandomTable(300, 256, 1, &random), DType::kF32);
  const core::WeightShape shape = {format_, WeightKind::kPlain, 300, 256};
  void* data = harness_->Allocate(harness_->backend().PackedWeightBytes(shape));
  const core::SourceMatrix parts[] = {source.matrix()};
  core::WorkControl control;
  uint64_t last = 0;
  uint64_t total = 0;
  control.progress = [&](absl::string_view, uint64_t done, uint64_t all) {
    EXPECT_GE(done, last);
    last = done;
    total = all;
    return true;
  };
  ASSERT_TRUE(harness_->backend().PackWeight(shape, parts, data, control).ok());
  EXPECT_EQ(last, 300u * 256 * 4);
  EXPECT_EQ(total, 300u * 256 * 4);
  control.progress = [](absl::string_view, uint64_t, uint64_t) { return false; };
  EXPECT_EQ(harness_->backend().PackWeight(shape, parts, data, control).code(),
            absl::StatusCode::kCancelled);
  core::CancelToken cancelled;
  cancelled.Cancel();
  EXPECT_EQ(harness_->backend().PackWeight(shape, parts, data, {&cancelled, {}}).code(),
            absl::StatusCode::kCancelled);
}

INSTANTIATE_TEST_SUITE_P(, LinearConformanceTest, testing::ValuesIn(Cases(false)),
                         [](const auto& test) { return NameOf(test.param); });
INSTANTIATE_TEST_SUITE_P(, QuantizedLinearConformanceTest, testing::ValuesIn(Cases(true)),
                         [](const auto& test) { return NameOf(test.param); });

}  // namespace
}  // namespace llmcore::conformance
