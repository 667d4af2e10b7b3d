// What a conformance test needs around a backend: device memory with poisoned contents and guarded
// ends, random operands that the reference sees in double, packed weights, and comparisons that
// say where they fail.
#ifndef LLMCORE_TESTS_CONFORMANCE_HARNESS_H_
#define LLMCORE_TESTS_CONFORMANCE_HARNESS_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "lib/backend/backend.h"
#include "tests/reference/operations.h"
#include "tests/support/sanitized_build.h"

namespace llmcore::conformance {

// Whether a sanitizer slows everything down: shapes are then fewer and smaller.
inline constexpr bool kSlowBuild = kSanitized;

using Random = std::mt19937;

// Normal values, exact in f32.
reference::Table RandomTable(size_t rows, size_t columns, double spread, Random* random);
std::vector<double> RandomVector(size_t size, double mean, double spread, Random* random);
int32_t Below(Random* random, int32_t bound);  // 0 .. bound - 1

// ||actual - expected|| <= tolerance * ||expected||, and no element is further off than 100
// tolerances of the root mean square. Otherwise says which element is worst. Tolerance 0 means
// equal.
testing::AssertionResult Near(const reference::Table& expected, const std::vector<float>& actual,
                              double tolerance, uint32_t seed);

// Bit for bit; the first difference is named.
testing::AssertionResult SameBits(const std::vector<float>& expected,
                                  const std::vector<float>& actual);

// A backend with the memory of one test. Every buffer starts as NaN (0xFF bytes) and is followed by
// a guard that CheckGuards looks at.
class Harness {
 public:
  Harness(std::unique_ptr<core::Backend> backend, const core::StepLimits& limits);

  core::Backend& backend() { return *backend_; }
  // The workspace is poisoned anew.
  core::StepContext Context(const core::CancelToken* cancel = nullptr);

  void* Allocate(size_t bytes);                   // aligned to 64
  float* Upload(std::span<const double> values);  // exact in f32; aligned to 4 only
  core::Matrix Upload(const reference::Table& table);
  core::Matrix NewMatrix(size_t rows, size_t columns);
  std::vector<float> Read(const core::Matrix& matrix);
  std::vector<std::byte> ReadBytes(const void* data, size_t bytes);

  // True when nothing was written past the end of any buffer.
  bool GuardsAreIntact();
  // Frees all buffers but the workspace.
  void Clear() { buffers_.resize(1); }

 private:
  struct Buffer {
    std::unique_ptr<core::DeviceMemory> memory;
    size_t used = 0;
  };

  std::byte* Add(size_t bytes, size_t offset);

  std::unique_ptr<core::Backend> backend_;
  std::vector<Buffer> buffers_;  // the first is the workspace
  size_t next_offset_ = 0;
};

// Values of a weight as a checkpoint holds them, and what a format makes of them.
struct SourceWeight {
  core::DType dtype = core::DType::kF32;
  reference::Table values;  // exact in dtype
  std::vector<std::byte> bytes;
  std::vector<std::byte> scales;  // of an already quantized weight

  core::SourceMatrix matrix(core::WeightFormat format = core::WeightFormat::kAuto) const;
};

SourceWeight MakeSource(const reference::Table& values, core::DType dtype);

// The same weight, quantized already: kInt8 or kInt4.
SourceWeight QuantizeSource(const SourceWeight& source, core::WeightFormat format);

// A row as the format stores it: rounded, or dequantized.
reference::Table Stored(const reference::Table& values, core::WeightFormat format);
// The codes of an int8 or int4 weight.
std::vector<reference::QuantizedRow> Codes(const reference::Table& values,
                                           core::WeightFormat format);

// Rows [begin, end).
reference::Table Slice(const reference::Table& table, size_t begin, size_t end);

// Packs into new memory of the harness.
absl::StatusOr<core::PackedWeight> Pack(Harness* harness, core::WeightFormat format,
                                        core::WeightKind kind,
                                        const std::vector<core::SourceMatrix>& parts);

inline constexpr core::WeightFormat kWeightFormats[] = {
    core::WeightFormat::kF32, core::WeightFormat::kBf16, core::WeightFormat::kF16,
    core::WeightFormat::kInt8, core::WeightFormat::kInt4};

inline constexpr core::KvFormat kKvFormats[] = {core::KvFormat::kF32, core::KvFormat::kBf16,
                                                core::KvFormat::kF16, core::KvFormat::kInt8,
                                                core::KvFormat::kInt4};

// Limits that every test fits in.
core::StepLimits AmpleLimits();

}  // namespace llmcore::conformance

#endif  // LLMCORE_TESTS_CONFORMANCE_HARNESS_H_
