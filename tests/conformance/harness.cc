#include "tests/conformance/harness.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace llmcore::conformance {
namespace {

using core::DType;
using core::WeightFormat;
using reference::Table;

constexpr size_t kGuardBytes = 64;
constexpr std::byte kPoison{0xFF};

double RoundToDType(double value, DType dtype) {
  switch (dtype) {
    case DType::kBf16:
      return reference::RoundToBf16(value);
    case DType::kF16:
      return reference::RoundToF16(value);
    default:
      return static_cast<double>(static_cast<float>(value));
  }
}

template <typename T>
void AppendBytes(T value, std::vector<std::byte>* out) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out->insert(out->end(), bytes, bytes + sizeof(value));
}

// Sources may have any alignment: all of these begin at an odd address.
constexpr size_t kSourceOffset = 1;

}  // namespace

Table RandomTable(size_t rows, size_t columns, double spread, Random* random) {
  Table table(rows, columns);
  table.values = RandomVector(rows * columns, 0, spread, random);
  return table;
}

std::vector<double> RandomVector(size_t size, double mean, double spread, Random* random) {
  std::normal_distribution<float> normal(static_cast<float>(mean), static_cast<float>(spread));
  std::vector<double> values(size);
  for (double& value : values) value = static_cast<double>(normal(*random));
  return values;
}

int32_t Below(Random* random, int32_t bound) {
  return static_cast<int32_t>((*random)() % static_cast<uint32_t>(bound));
}

testing::AssertionResult Near(const Table& expected, const std::vector<float>& actual,
                              double tolerance, uint32_t seed) {
  if (expected.values.size() != actual.size()) {
    return testing::AssertionFailure()
           << actual.size() << " values where " << expected.values.size() << " were expected";
  }
  double squares = 0;
  double error_squares = 0;
  double worst = -1;
  size_t worst_index = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double wanted = expected.values[i];
    const double difference = std::abs(static_cast<double>(actual[i]) - wanted);
    const double error = std::isnan(difference) ? HUGE_VAL : difference;
    squares += wanted * wanted;
    error_squares += error * error;
    if (error > worst) {
      worst = error;
      worst_index = i;
    }
  }
  const double norm = std::sqrt(squares);
  const double relative = error_squares == 0 ? 0 : std::sqrt(error_squares) / norm;
  const double root_mean_square = norm / std::sqrt(static_cast<double>(actual.size()));
  if (actual.empty() || (relative <= tolerance && worst <= 100 * tolerance * root_mean_square)) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure()
         << "relative error " << relative << ", tolerance " << tolerance << "; worst at row "
         << worst_index / expected.columns << ", column " << worst_index % expected.columns
         << " of " << expected.rows << " x " << expected.columns << ": is " << actual[worst_index]
         << ", should be " << expected.values[worst_index] << " (root mean square "
         << root_mean_square << "); seed " << seed;
}

testing::AssertionResult SameBits(const std::vector<float>& expected,
                                  const std::vector<float>& actual) {
  if (expected.size() != actual.size()) {
    return testing::AssertionFailure() << expected.size() << " and " << actual.size() << " values";
  }
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::memcmp(&expected[i], &actual[i], sizeof(float)) != 0) {
      return testing::AssertionFailure() << "value " << i << " is " << actual[i] << " ("
                                         << std::hexfloat << actual[i] << "), was " << expected[i];
    }
  }
  return testing::AssertionSuccess();
}

Harness::Harness(std::unique_ptr<core::Backend> backend, const core::StepLimits& limits)
    : backend_(std::move(backend)) {
  Add(backend_->WorkspaceBytes(limits), 0);
}

std::byte* Harness::Add(size_t bytes, size_t offset) {
  auto memory = backend_->Allocate(offset + bytes + kGuardBytes);
  if (!memory.ok()) {
    ADD_FAILURE() << memory.status();
    return nullptr;
  }
  const std::vector<std::byte> poison(offset + bytes + kGuardBytes, kPoison);
  EXPECT_TRUE(backend_->CopyToDevice((*memory)->data(), poison).ok());
  buffers_.push_back({*std::move(memory), offset + bytes});
  return static_cast<std::byte*>(buffers_.back().memory->data()) + offset;
}

core::StepContext Harness::Context(const core::CancelToken* cancel) {
  auto* workspace = static_cast<std::byte*>(buffers_[0].memory->data());
  const std::vector<std::byte> poison(std::min<size_t>(buffers_[0].used, size_t{1} << 20), kPoison);
  EXPECT_TRUE(backend_->CopyToDevice(workspace, poison).ok());
  return {{workspace, buffers_[0].used}, cancel};
}

void* Harness::Allocate(size_t bytes) {
  return Add(bytes, 0);
}

float* Harness::Upload(std::span<const double> values) {
  std::vector<float> narrow(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    narrow[i] = static_cast<float>(values[i]);
    EXPECT_EQ(static_cast<double>(narrow[i]), values[i]) << "an operand is not exact in f32";
  }
  // Rows of odd length put matrices anywhere: each buffer begins elsewhere in a cache line.
  next_offset_ = (next_offset_ + 20) % 64;
  auto* data = reinterpret_cast<float*>(Add(narrow.size() * sizeof(float), next_offset_));
  EXPECT_TRUE(backend_->CopyToDevice(data, std::as_bytes(std::span(narrow))).ok());
  return data;
}

core::Matrix Harness::Upload(const Table& table) {
  return {Upload(std::span<const double>(table.values)), static_cast<int64_t>(table.rows),
          static_cast<int64_t>(table.columns)};
}

core::Matrix Harness::NewMatrix(size_t rows, size_t columns) {
  next_offset_ = (next_offset_ + 20) % 64;
  auto* data = reinterpret_cast<float*>(Add(rows * columns * sizeof(float), next_offset_));
  return {data, static_cast<int64_t>(rows), static_cast<int64_t>(columns)};
}

std::vector<float> Harness::Read(const core::Matrix& matrix) {
  std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.columns));
  EXPECT_TRUE(backend_->CopyToHost(std::as_writable_bytes(std::span(values)), matrix.data).ok());
  return values;
}

std::vector<std::byte> Harness::ReadBytes(const void* data, size_t bytes) {
  std::vector<std::byte> values(bytes);
  EXPECT_TRUE(backend_->CopyToHost(values, data).ok());
  return values;
}

bool Harness::GuardsAreIntact() {
  return std::all_of(buffers_.begin(), buffers_.end(), [&](const Buffer& buffer) {
    const auto* end = static_cast<const std::byte*>(buffer.memory->data()) + buffer.used;
    const std::vector<std::byte> guard = ReadBytes(end, kGuardBytes);
    return std::all_of(guard.begin(), guard.end(), [](std::byte b) { return b == kPoison; });
  });
}

core::SourceMatrix SourceWeight::matrix(WeightFormat format) const {
  return {bytes.data() + kSourceOffset,
          dtype,
          static_cast<int64_t>(values.rows),
          static_cast<int64_t>(values.columns),
          format,
          scales.empty() ? nullptr : scales.data() + kSourceOffset};
}

SourceWeight MakeSource(const Table& values, DType dtype) {
  SourceWeight source{dtype, values, std::vector<std::byte>(kSourceOffset), {}};
  for (double& value : source.values.values) {
    value = RoundToDType(value, dtype);
    if (dtype == DType::kF32) AppendBytes(static_cast<float>(value), &source.bytes);
    if (dtype == DType::kBf16) AppendBytes(reference::Bf16Bits(value), &source.bytes);
    if (dtype == DType::kF16) AppendBytes(reference::F16Bits(value), &source.bytes);
  }
  return source;
}

SourceWeight QuantizeSource(const SourceWeight& original, WeightFormat format) {
  SourceWeight source{original.dtype, original.values, std::vector<std::byte>(kSourceOffset),
                      std::vector<std::byte>(kSourceOffset)};
  for (const reference::QuantizedRow& row : Codes(original.values, format)) {
    for (const double scale : row.scales) AppendBytes(reference::Bf16Bits(scale), &source.scales);
    const std::vector<int>& codes = row.codes;
    if (format == WeightFormat::kInt8) {
      for (const int code : codes) source.bytes.push_back(static_cast<std::byte>(code & 0xFF));
      continue;
    }
    for (size_t i = 0; i < codes.size(); i += 2) {
      const int second = i + 1 < codes.size() ? codes[i + 1] : 0;
      source.bytes.push_back(static_cast<std::byte>((codes[i] & 15) << 4 | (second & 15)));
    }
  }
  return source;
}

std::vector<reference::QuantizedRow> Codes(const Table& values, WeightFormat format) {
  std::vector<reference::QuantizedRow> rows;
  for (size_t row = 0; row < values.rows; ++row) {
    const auto begin = values.values.begin() + static_cast<ptrdiff_t>(row * values.columns);
    const std::vector<double> line(begin, begin + static_cast<ptrdiff_t>(values.columns));
    rows.push_back(format == WeightFormat::kInt8 ? reference::QuantizeInt8(line)
                                                 : reference::QuantizeInt4(line));
  }
  return rows;
}

Table Stored(const Table& values, WeightFormat format) {
  Table stored = values;
  if (format == WeightFormat::kBf16) {
    for (double& value : stored.values) value = reference::RoundToBf16(value);
  } else if (format == WeightFormat::kF16) {
    for (double& value : stored.values) value = reference::RoundToF16(value);
  } else if (IsQuantized(format)) {
    stored.values.clear();
    for (const reference::QuantizedRow& row : Codes(values, format)) {
      const std::vector<double> line = format == WeightFormat::kInt8
                                           ? reference::DequantizeInt8(row)
                                           : reference::DequantizeInt4(row);
      stored.values.insert(stored.values.end(), line.begin(), line.end());
    }
  }
  return stored;
}

Table Slice(const Table& table, size_t begin, size_t end) {
  Table slice(end - begin, table.columns);
  std::copy(table.values.begin() + static_cast<ptrdiff_t>(begin * table.columns),
            table.values.begin() + static_cast<ptrdiff_t>(end * table.columns),
            slice.values.begin());
  return slice;
}

absl::StatusOr<core::PackedWeight> Pack(Harness* harness, WeightFormat format,
                                        core::WeightKind kind,
                                        const std::vector<core::SourceMatrix>& parts) {
  core::PackedWeight weight;
  weight.shape = {format, kind, 0, parts.empty() ? 0 : parts[0].columns};
  for (const core::SourceMatrix& part : parts) weight.shape.rows += part.rows;
  void* data = harness->Allocate(harness->backend().PackedWeightBytes(weight.shape));
  weight.data = data;
  LLMCORE_RETURN_IF_ERROR(harness->backend().PackWeight(weight.shape, parts, data, {}));
  return weight;
}

core::StepLimits AmpleLimits() {
  return {512, 1024, 32, 256, 1024};
}

}  // namespace llmcore::conformance
