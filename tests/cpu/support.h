// What the tests of the CPU backend share: every kernel set that this machine can run, random
// matrices, packed weights and double-precision references written as plainly as can be.
#ifndef LLMCORE_TESTS_CPU_SUPPORT_H_
#define LLMCORE_TESTS_CPU_SUPPORT_H_

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/cpu/cpu_backend.h"
#include "lib/tensor/float16.h"
#include "lib/tensor/int4.h"
#include "lib/tensor/int8.h"

namespace llmcore::cpu {

using core::ActivationFormat;
using core::Backend;
using core::DeviceMemory;
using core::DType;
using core::Isa;
using core::KvFormat;
using core::Matrix;
using core::PackedWeight;
using core::SourceMatrix;
using core::StepContext;
using core::WeightFormat;
using core::WeightKind;
using core::WeightShape;

// A kernel set to force, with the name that Description() must then show.
struct KernelSet {
  Isa isa;
  bool vnni;
  std::string name;
  bool bf16 = false;
};

inline std::vector<KernelSet> KernelSets() {
  const core::CpuFeatures features = core::DetectCpuFeatures();
  std::vector<KernelSet> sets = {{Isa::kBaseline, false, "baseline"}};
  if (features.avx2) sets.push_back({Isa::kAvx2, false, "avx2"});
  if (features.avx_vnni) sets.push_back({Isa::kAvx2, true, "avx2-vnni"});
  if (features.avx512) sets.push_back({Isa::kAvx512, false, "avx512"});
  if (features.avx512_vnni) sets.push_back({Isa::kAvx512, true, "avx512-vnni"});
  if (features.avx512_vnni && features.avx512_bf16) {
    sets.push_back({Isa::kAvx512, true, "avx512-bf16", true});
  }
  return sets;
}

inline std::unique_ptr<Backend> MakeBackend(const KernelSet& set, int threads) {
  auto backend = CpuBackend::Create(
      {.threads = threads, .force_isa = set.isa, .use_vnni = set.vnni, .use_bf16 = set.bf16});
  if (!backend.ok()) {
    ADD_FAILURE() << backend.status();
    return nullptr;
  }
  return *std::move(backend);
}

inline std::string SetName(const testing::TestParamInfo<KernelSet>& info) {
  std::string name = info.param.name;
  for (char& c : name) {
    if (c == '-') c = '_';
  }
  return name;
}

// Memory of the backend as floats.
class Buffer {
 public:
  Buffer(Backend& backend, int64_t rows, int64_t columns) : rows_(rows), columns_(columns) {
    auto memory = backend.Allocate(static_cast<uint64_t>(rows * columns) * 4);
    EXPECT_TRUE(memory.ok()) << memory.status();
    memory_ = *std::move(memory);
  }
  Buffer(Backend& backend, int64_t rows, int64_t columns, const std::vector<float>& values)
      : Buffer(backend, rows, columns) {
    std::copy(values.begin(), values.end(), data());
  }
  float* data() const { return static_cast<float*>(memory_->data()); }
  Matrix matrix() const { return {data(), rows_, columns_}; }
  std::vector<float> values() const { return {data(), data() + rows_ * columns_}; }

 private:
  std::unique_ptr<DeviceMemory> memory_;
  int64_t rows_;
  int64_t columns_;
};

inline std::vector<float> RandomValues(int64_t count, uint32_t seed, float spread = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = normal(generator);
  return values;
}

// A step's workspace, as large as WorkspaceBytes says.
class Step {
 public:
  Step(Backend& backend, const core::StepLimits& limits) {
    auto memory = backend.Allocate(backend.WorkspaceBytes(limits));
    EXPECT_TRUE(memory.ok()) << memory.status();
    memory_ = *std::move(memory);
  }
  StepContext context() const {
    return {.workspace = {static_cast<std::byte*>(memory_->data()), memory_->size()}};
  }

 private:
  std::unique_ptr<DeviceMemory> memory_;
};

// A packed weight and the values that it stands for.
struct Weight {
  std::unique_ptr<DeviceMemory> memory;
  PackedWeight packed;
  std::vector<float> values;  // [rows, columns], dequantized
};

// The values that a format keeps of a row-major matrix.
inline std::vector<float> Dequantized(WeightFormat format, const std::vector<float>& in,
                                      int64_t rows, int64_t columns) {
  std::vector<float> out = in;
  if (format == WeightFormat::kF32) return out;
  if (format == WeightFormat::kF16) {
    for (float& v : out) v = core::F16ToF32(core::F32ToF16(v));
    return out;
  }
  std::vector<uint16_t> bf16(in.size());
  for (size_t i = 0; i < in.size(); ++i) bf16[i] = core::F32ToBf16(in[i]);
  const auto scales_per_row = static_cast<int64_t>(core::Int4ScaleCount(columns));
  std::vector<uint16_t> scales(static_cast<size_t>(rows * scales_per_row));
  if (format == WeightFormat::kInt8) {
    std::vector<int8_t> codes(in.size());
    EXPECT_TRUE(
        core::QuantizeInt8Rows(bf16.data(), rows, columns, codes.data(), scales.data()).ok());
    core::DequantizeInt8Rows(codes.data(), scales.data(), rows, columns, out.data());
    return out;
  }
  if (format == WeightFormat::kInt4) {
    std::vector<uint8_t> codes(static_cast<size_t>(rows) * core::Int4PackedBytes(columns));
    EXPECT_TRUE(
        core::QuantizeInt4Rows(bf16.data(), rows, columns, codes.data(), scales.data()).ok());
    core::DequantizeInt4Rows(codes.data(), scales.data(), rows, columns, bf16.data());
  }
  for (size_t i = 0; i < out.size(); ++i) out[i] = core::Bf16ToF32(bf16[i]);
  return out;
}

inline Weight MakeWeight(Backend& backend, WeightFormat format, int64_t rows, int64_t columns,
                         const std::vector<float>& values, WeightKind kind = WeightKind::kPlain) {
  Weight weight;
  weight.packed.shape = {format, kind, rows, columns};
  auto memory = backend.Allocate(backend.PackedWeightBytes(weight.packed.shape));
  EXPECT_TRUE(memory.ok()) << memory.status();
  weight.memory = *std::move(memory);
  weight.packed.data = weight.memory->data();
  std::vector<SourceMatrix> parts;
  const int64_t count = kind == WeightKind::kGated ? 2 : 1;
  for (int64_t i = 0; i < count; ++i) {
    const float* part = values.data() + i * rows / count * columns;
    parts.push_back({reinterpret_cast<const std::byte*>(part), DType::kF32, rows / count, columns});
  }
  const absl::Status status =
      backend.PackWeight(weight.packed.shape, parts, weight.memory->data(), {});
  EXPECT_TRUE(status.ok()) << status;
  weight.values = Dequantized(format, values, rows, columns);
  return weight;
}

// ||a - b|| / ||b||; 0 when both are 0. Prints nothing: callers name the case.
inline double RelativeError(const std::vector<float>& a, const std::vector<double>& b) {
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    norm += b[i] * b[i];
  }
  if (std::isnan(difference)) return HUGE_VAL;
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

inline std::vector<double> LinearReference(const std::vector<float>& in, int64_t rows,
                                           const std::vector<float>& weight, int64_t outputs,
                                           int64_t inputs) {
  std::vector<double> out(static_cast<size_t>(rows * outputs));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < outputs; ++o) {
      double sum = 0;
      for (int64_t k = 0; k < inputs; ++k) {
        sum += static_cast<double>(in[r * inputs + k]) * weight[o * inputs + k];
      }
      out[r * outputs + o] = sum;
    }
  }
  return out;
}

}  // namespace llmcore::cpu

#endif  // LLMCORE_TESTS_CPU_SUPPORT_H_
