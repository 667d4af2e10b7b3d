// Products, lookups and packing of int4 weights with zero points (lib/tensor/int4.h).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tests/conformance/backends.h"
#include "tests/conformance/harness.h"

namespace llmcore::conformance {
namespace {

using core::ActivationFormat;
using core::WeightFormat;
using core::WeightKind;
using reference::Table;

constexpr double kTolerance = 2e-5;
constexpr double kInt8Tolerance = 1.5e-2;
constexpr double kCodesTolerance = 1e-6;
constexpr size_t kBlock = 128;

// As a checkpoint holds it, and as the reference sees it.
struct ZerosWeight {
  Table values;                               // (code - zero) * scale
  std::vector<reference::QuantizedRow> rows;  // codes less zeros
  std::vector<std::byte> codes;
  std::vector<std::byte> scales;
  std::vector<std::byte> zeros;

  // Everything begins at an odd address.
  core::SourceMatrix matrix() const {
    core::SourceMatrix source;
    source.data = codes.data() + 1;
    source.scales = scales.data() + 1;
    source.zeros = zeros.data() + 1;
    source.format = WeightFormat::kInt4Zeros;
    source.rows = static_cast<int64_t>(values.rows);
    source.columns = static_cast<int64_t>(values.columns);
    return source;
  }
};

void AppendF16(double value, std::vector<std::byte>* out) {
  const uint16_t bits = reference::F16Bits(value);
  out->push_back(static_cast<std::byte>(bits & 255));
  out->push_back(static_cast<std::byte>(bits >> 8));
}

// Codes and zero points of all kinds; scales of the size that trained weights have, and in a few
// blocks none, a subnormal or a large one.
ZerosWeight RandomWeight(size_t rows, size_t columns, Random* random) {
  ZerosWeight weight;
  weight.values = Table(rows, columns);
  weight.codes.resize(1);
  weight.scales.resize(1);
  weight.zeros.resize(1);
  const double usual = 0.1 / std::sqrt(static_cast<double>(columns));
  for (size_t row = 0; row < rows; ++row) {
    reference::QuantizedRow quantized;
    std::vector<int> raw;
    for (size_t column = 0; column < columns; ++column) {
      if (column % kBlock == 0) {
        const int32_t kind = Below(random, 40);
        const double wanted = kind == 0   ? 0
                              : kind == 1 ? 0x1.8p-20
                              : kind == 2 ? -usual
                                          : usual * (1 + Below(random, 1000) / 1000.0);
        quantized.scales.push_back(reference::RoundToF16(static_cast<float>(wanted)));
        AppendF16(quantized.scales.back(), &weight.scales);
        weight.zeros.push_back(static_cast<std::byte>(Below(random, 17)));
      }
      raw.push_back(Below(random, 16));
      quantized.codes.push_back(raw.back() - std::to_integer<int>(weight.zeros.back()));
      weight.values.at(row, column) = quantized.codes.back() * quantized.scales.back();
    }
    if (columns % 2 != 0) raw.push_back(0);
    for (size_t i = 0; i < raw.size(); i += 2) {
      weight.codes.push_back(static_cast<std::byte>(raw[i] << 4 | raw[i + 1]));
    }
    weight.rows.push_back(std::move(quantized));
  }
  return weight;
}

struct Shape {
  size_t rows;
  size_t inputs;
  size_t outputs;
};
constexpr Shape kShapes[] = {{1, 1, 1},      {1, 128, 64},  {2, 2, 3},     {3, 129, 65},
                             {7, 384, 130},  {13, 300, 33}, {1, 1000, 17}, {35, 256, 20},
                             {20, 200, 100}, {0, 64, 64}};

class Int4ZerosConformanceTest : public testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override {
    auto created = GetParam().maker->create(GetParam().threads);
    ASSERT_TRUE(created.ok()) << created.status();
    harness_ = std::make_unique<Harness>(*std::move(created), AmpleLimits());
  }

  core::PackedWeight PackParts(const std::vector<core::SourceMatrix>& parts, WeightKind kind,
                               WeightFormat format = WeightFormat::kInt4Zeros) {
    auto weight = Pack(harness_.get(), format, kind, parts);
    EXPECT_TRUE(weight.ok()) << weight.status();
    return weight.ok() ? *weight : core::PackedWeight{};
  }

  absl::Status PackOne(const core::SourceMatrix& part,
                       WeightFormat format = WeightFormat::kInt4Zeros) {
    return Pack(harness_.get(), format, WeightKind::kPlain, {part}).status();
  }

  std::unique_ptr<Harness> harness_;
};

TEST_P(Int4ZerosConformanceTest, ProductsAgreeWithTheReference) {
  const uint32_t seed = 301;
  Random random(seed);
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(testing::Message()
                 << shape.rows << " x " << shape.inputs << " -> " << shape.outputs);
    const Table in = RandomTable(shape.rows, shape.inputs, 1, &random);
    const size_t first = shape.outputs / 3;
    const ZerosWeight top = RandomWeight(first, shape.inputs, &random);
    const ZerosWeight bottom = RandomWeight(shape.outputs - first, shape.inputs, &random);
    Table whole = top.values;
    whole.rows = shape.outputs;
    whole.values.insert(whole.values.end(), bottom.values.values.begin(),
                        bottom.values.values.end());
    std::vector<reference::QuantizedRow> codes = top.rows;
    codes.insert(codes.end(), bottom.rows.begin(), bottom.rows.end());
    const std::vector<double> bias = RandomVector(shape.outputs, 0, 1, &random);
    const std::vector<double> residual = RandomVector(shape.rows * shape.outputs, 0, 1, &random);
    core::LinearParams params;
    params.in = harness_->Upload(in);
    params.weight = PackParts({top.matrix(), bottom.matrix()}, WeightKind::kPlain);
    params.out = harness_->NewMatrix(shape.rows, shape.outputs);
    ASSERT_TRUE(harness_->backend().Linear(harness_->Context(), params).ok());
    EXPECT_TRUE(
        Near(reference::Linear(in, whole, {}, {}), harness_->Read(params.out), kTolerance, seed));

    params.bias = harness_->Upload(bias);
    params.residual = harness_->Upload(residual);
    params.activation_format = ActivationFormat::kInt8;
    ASSERT_TRUE(harness_->backend().Linear(harness_->Context(), params).ok());
    const std::vector<float> out = harness_->Read(params.out);
    if (GetParam().maker->has_activation_codes) {
      std::vector<reference::QuantizedRow> activations;
      for (size_t row = 0; row < shape.rows; ++row) {
        std::vector<float> line;
        for (size_t k = 0; k < shape.inputs; ++k) line.push_back(static_cast<float>(in.at(row, k)));
        activations.push_back(reference::QuantizeActivations(line));
      }
      EXPECT_TRUE(Near(reference::LinearOfCodes(activations, codes, bias, residual), out,
                       kCodesTolerance, seed));
    }
    if (out.size() >= 64) {
      EXPECT_TRUE(Near(reference::Linear(in, whole, bias, residual), out, kInt8Tolerance, seed));
    }
    EXPECT_TRUE(harness_->GuardsAreIntact());
    harness_->Clear();
  }
}

TEST_P(Int4ZerosConformanceTest, GatedProductsWithANormAgreeWithTheReference) {
  const uint32_t seed = 302;
  Random random(seed);
  const float epsilon = 1e-5f;
  for (const Shape& shape : {kShapes[3], kShapes[4], kShapes[7]}) {
    SCOPED_TRACE(testing::Message()
                 << shape.rows << " x " << shape.inputs << " -> " << shape.outputs);
    const Table in = RandomTable(shape.rows, shape.inputs, 1, &random);
    const ZerosWeight gate = RandomWeight(shape.outputs, shape.inputs, &random);
    const ZerosWeight up = RandomWeight(shape.outputs, shape.inputs, &random);
    const std::vector<double> norm = RandomVector(shape.inputs, 1, 0.3, &random);
    core::LinearGatedParams params;
    params.in = harness_->Upload(in);
    params.weight = PackParts({gate.matrix(), up.matrix()}, WeightKind::kGated);
    params.out = harness_->NewMatrix(shape.rows, shape.outputs);
    Table rows = in;
    if (harness_->backend().FusesNorm()) {
      params.norm = {harness_->Upload(norm), epsilon};
      rows = reference::RmsNorm(in, norm, static_cast<double>(epsilon));
    }
    const Table expected =
        reference::Gate(reference::Activation::kSilu, reference::Linear(rows, gate.values, {}, {}),
                        reference::Linear(rows, up.values, {}, {}));
    ASSERT_TRUE(harness_->backend().LinearGated(harness_->Context(), params).ok());
    EXPECT_TRUE(Near(expected, harness_->Read(params.out), kTolerance, seed));
    params.activation_format = ActivationFormat::kInt8;
    ASSERT_TRUE(harness_->backend().LinearGated(harness_->Context(), params).ok());
    EXPECT_TRUE(Near(expected, harness_->Read(params.out), 2 * kInt8Tolerance, seed));
    EXPECT_TRUE(harness_->GuardsAreIntact());
    harness_->Clear();
  }
}

// Also of a weight that is kept in another format.
TEST_P(Int4ZerosConformanceTest, EmbedGivesTheValuesExactly) {
  Random random(303);
  const ZerosWeight weight = RandomWeight(70, 300, &random);
  std::vector<int32_t> tokens;
  for (int32_t row = 0; row < 70; ++row) tokens.push_back(row);
  for (const WeightFormat format :
       {WeightFormat::kInt4Zeros, WeightFormat::kF32, WeightFormat::kBf16, WeightFormat::kInt8}) {
    SCOPED_TRACE(std::string(core::WeightFormatName(format)));
    core::EmbedParams params;
    params.table = PackParts({weight.matrix()}, WeightKind::kPlain, format);
    params.tokens = tokens;
    params.out = harness_->NewMatrix(70, 300);
    ASSERT_TRUE(harness_->backend().Embed(harness_->Context(), params).ok());
    const Table expected =
        format == WeightFormat::kInt4Zeros ? weight.values : Stored(weight.values, format);
    EXPECT_TRUE(Near(expected, harness_->Read(params.out), 0, 303));
    harness_->Clear();
  }
}

TEST_P(Int4ZerosConformanceTest, BitsOfARowDependOnTheRowAlone) {
  if (GetParam().maker->name == "cuda_many_tokens") return;  // ProductCases: it need not
  Random random(304);
  const Table in = RandomTable(40, 300, 1, &random);
  const ZerosWeight weight = RandomWeight(70, 300, &random);
  for (const auto activations : {ActivationFormat::kF32, ActivationFormat::kInt8}) {
    core::LinearParams params;
    params.activation_format = activations;
    params.weight = PackParts({weight.matrix()}, WeightKind::kPlain);
    std::vector<float> whole;
    for (const size_t chunk : {size_t{40}, size_t{1}, size_t{7}, size_t{19}}) {
      std::vector<float> all;
      for (size_t row = 0; row < in.rows; row += chunk) {
        params.in = harness_->Upload(Slice(in, row, std::min(row + chunk, in.rows)));
        params.out = harness_->NewMatrix(static_cast<size_t>(params.in.rows), 70);
        ASSERT_TRUE(harness_->backend().Linear(harness_->Context(), params).ok());
        const std::vector<float> out = harness_->Read(params.out);
        all.insert(all.end(), out.begin(), out.end());
      }
      if (whole.empty()) whole = all;
      EXPECT_TRUE(SameBits(whole, all)) << "chunks of " << chunk;
    }
    harness_->Clear();
  }
}

TEST_P(Int4ZerosConformanceTest, UnusableBlocksAreRefusedByRowAndColumn) {
  Random random(305);
  for (const WeightFormat format : {WeightFormat::kInt4Zeros, WeightFormat::kBf16}) {
    for (const bool of_zero : {false, true}) {
      ZerosWeight weight = RandomWeight(70, 300, &random);
      // The last block, which is cut, or one among whole ones.
      const bool last = Below(&random, 2) == 0;
      const size_t block = last ? 69 * 3 + 2 : 21 * 3 + 1;
      if (of_zero) {
        weight.zeros[1 + block] = std::byte{17};
      } else {
        weight.scales[1 + block * 2 + 1] = std::byte{0x7C};  // infinite, or NaN
      }
      const absl::Status status = PackOne(weight.matrix(), format);
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
      const char* const place = last ? "row 69, column 256" : "row 21, column 128";
      EXPECT_NE(status.message().find(place), std::string::npos) << status;
      harness_->Clear();
    }
  }
}

TEST_P(Int4ZerosConformanceTest, NothingElseIsMadeIntoIt) {
  Random random(306);
  const SourceWeight plain = MakeSource(RandomTable(16, 128, 1, &random), core::DType::kF32);
  EXPECT_EQ(PackOne(plain.matrix()).code(), absl::StatusCode::kInvalidArgument);
  const ZerosWeight weight = RandomWeight(16, 128, &random);
  core::SourceMatrix incomplete = weight.matrix();
  incomplete.zeros = nullptr;
  EXPECT_EQ(PackOne(incomplete).code(), absl::StatusCode::kInvalidArgument);
}

// How checkpoints that store rows across each other are loaded.
TEST_P(Int4ZerosConformanceTest, SlicesAreTheBytesOfTheWhole) {
  const int64_t unit = harness_->backend().WeightSliceRows();
  ASSERT_GT(unit, 0);
  ASSERT_EQ(unit % 8, 0);
  Random random(307);
  const int64_t rows = 2 * unit + 8;
  const ZerosWeight one = RandomWeight(static_cast<size_t>(rows), 200, &random);
  const ZerosWeight two = RandomWeight(static_cast<size_t>(rows), 200, &random);
  const auto slice = [](core::SourceMatrix part, int64_t first, int64_t count) {
    part.data += first * 100;
    part.scales += first * 2 * 2;
    part.zeros += first * 2;
    part.rows = count;
    return part;
  };
  for (const WeightFormat format : {WeightFormat::kInt4Zeros, WeightFormat::kF32}) {
    for (const WeightKind kind : {WeightKind::kPlain, WeightKind::kGated}) {
      std::vector<core::SourceMatrix> parts = {one.matrix()};
      if (kind == WeightKind::kGated) parts.push_back(two.matrix());
      const core::PackedWeight whole = PackParts(parts, kind, format);
      std::vector<std::byte> slices;
      for (int64_t first = 0; first < rows; first += unit) {
        std::vector<core::SourceMatrix> pieces;
        for (const core::SourceMatrix& part : parts) {
          pieces.push_back(slice(part, first, std::min(unit, rows - first)));
        }
        const core::PackedWeight packed = PackParts(pieces, kind, format);
        const std::vector<std::byte> bytes =
            harness_->ReadBytes(packed.data, harness_->backend().PackedWeightBytes(packed.shape));
        slices.insert(slices.end(), bytes.begin(), bytes.end());
      }
      EXPECT_TRUE(slices == harness_->ReadBytes(
                                whole.data, harness_->backend().PackedWeightBytes(whole.shape)));
      harness_->Clear();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, Int4ZerosConformanceTest, testing::ValuesIn(ProductCases()),
                         [](const auto& test) { return NameOf(test.param); });

}  // namespace
}  // namespace llmcore::conformance
