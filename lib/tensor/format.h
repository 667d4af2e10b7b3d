// Storage formats of weights, KV cache and activations. Values are those of the C ABI.
#ifndef LLMCORE_LIB_TENSOR_FORMAT_H_
#define LLMCORE_LIB_TENSOR_FORMAT_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace llmcore::core {

// How a linear weight or an embedding is stored. int8 and int4 are blocks of 128 values along the
// input dimension with a scale each (lib/tensor/int4.h, int8.h). int4-zeros has a zero point each
// as well: checkpoints come in it, and nothing is quantized to it.
enum class WeightFormat : uint32_t {
  kAuto = 0,
  kF32 = 1,
  kBf16 = 2,
  kF16 = 3,
  kInt8 = 4,
  kInt4 = 5,
  kInt4Zeros = 6  // of AWQ and GPTQ checkpoints, and of nothing else
};

// Whether it is codes with scales.
constexpr bool IsQuantized(WeightFormat format) {
  return format == WeightFormat::kInt8 || format == WeightFormat::kInt4 ||
         format == WeightFormat::kInt4Zeros;
}

// How keys and values are cached.
enum class KvFormat : uint32_t { kAuto = 0, kF32 = 1, kBf16 = 2, kF16 = 3, kInt8 = 4, kInt4 = 5 };

// What a linear multiplies its weight with. kF32 keeps activations as they are; kBf16 rounds them
// to nearest, ties to even, for bf16 weights; kInt8 rounds each row to int8 in blocks of 128
// (symmetric, f32 scale), for int8 and int4 weights. Products are added in f32. kAuto is kInt8 for
// int8 and int4 weights, else kF32: weights in bf16 are chosen for exactness, and rounded
// activations change a token of stories260K.
enum class ActivationFormat : uint32_t { kAuto = 0, kF32 = 1, kBf16 = 2, kInt8 = 4 };

absl::string_view WeightFormatName(WeightFormat format);
absl::string_view KvFormatName(KvFormat format);
absl::string_view ActivationFormatName(ActivationFormat format);

// By their names ("auto", "f32", "bf16", "f16", "int8", "int4"; of weights "int4-zeros"); nullopt
// for any other.
std::optional<WeightFormat> ParseWeightFormat(absl::string_view name);
std::optional<KvFormat> ParseKvFormat(absl::string_view name);
std::optional<ActivationFormat> ParseActivationFormat(absl::string_view name);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TENSOR_FORMAT_H_
