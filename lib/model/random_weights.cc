#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "lib/base/checked.h"
#include "lib/base/repeated_mapping.h"
#include "lib/model/weight_source.h"
#include "lib/tensor/float16.h"

namespace llmcore::core {
namespace {

// Larger than the second-level caches, and odd rows of any width start at another place in it.
constexpr size_t kBlockValues = size_t{4} << 20;

// Standard deviation of the initial weights of published models.
constexpr float kSpread = 0.02f;

// bf16 values of a triangular distribution: next to a normal one for what quantization cares about.
std::vector<uint16_t> RandomBlock() {
  std::vector<uint16_t> block(kBlockValues);
  uint64_t state = 0x9E3779B97F4A7C15;
  const auto uniform = [&state]() {  // xorshift64 (Marsaglia 2003), in [-0.5, 0.5)
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<float>(state >> 40) * 0x1p-24f - 0.5f;
  };
  for (uint16_t& value : block) value = F32ToBf16(kSpread * 2.45f * (uniform() + uniform()));
  return block;
}

class RandomSource : public WeightSource {
 public:
  explicit RandomSource(RepeatedMapping values) : values_(std::move(values)) {}

  absl::StatusOr<SourceMatrix> Find(absl::string_view, int64_t rows,
                                    int64_t columns) const override {
    const uint64_t bytes =
        static_cast<uint64_t>(rows) * static_cast<uint64_t>(columns) * sizeof(uint16_t);
    if (bytes > values_.bytes().size()) {
      return absl::InternalError("a tensor larger than the largest");
    }
    SourceMatrix source;
    source.data = values_.bytes().data();
    source.dtype = DType::kBf16;
    source.rows = rows;
    source.columns = columns;
    return source;
  }
  void Release(absl::string_view, uint64_t bytes) const override { values_.Release(bytes); }
  std::vector<std::string> Names() const override { return {}; }
  void AddSample(Checksum* checksum) const override { checksum->Add("random"); }
  WeightFormat stored_format() const override { return WeightFormat::kBf16; }

 private:
  const RepeatedMapping values_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> RandomWeights(uint64_t largest_tensor_elements) {
  const std::vector<uint16_t> block = RandomBlock();
  const auto bytes = CheckedMultiply(largest_tensor_elements, sizeof(uint16_t));
  if (!bytes.has_value()) return absl::InvalidArgumentError("a tensor's size overflows");
  LLMCORE_ASSIGN_OR_RETURN(RepeatedMapping values,
                           RepeatedMapping::Create(std::as_bytes(std::span(block)), *bytes));
  return std::make_unique<RandomSource>(std::move(values));
}

}  // namespace llmcore::core
