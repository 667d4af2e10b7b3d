// Small models as AWQ and GPTQ checkpoints store them, and what they dequantize to.
#ifndef LLMCORE_TESTS_SUPPORT_ZERO_POINT_MODEL_H_
#define LLMCORE_TESTS_SUPPORT_ZERO_POINT_MODEL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "lib/tensor/dtype.h"

namespace llmcore::core {

struct ZeroPointModel {
  enum class Packing { kAwq, kGptq, kGptqV2 };

  Packing packing = Packing::kAwq;
  int64_t group_size = 128;             // or -1
  DType scales = DType::kF16;           // or kBf16
  std::vector<std::string> plain = {};  // modules whose names hold one of these stay in f16
  bool quantized_head = false;
  bool empty_biases = false;     // of zeros, for modules that have none
  std::string more_config = {};  // of quantization_config; begins with a comma
  // Of a decoder of Qwen2, with biases of q, k and v. Odd sizes: blocks are cut in several places.
  int64_t hidden = 192;
  int64_t inner = 264;
  int64_t layers = 2;
  int64_t vocabulary = 80;
};

// Writes the model to a directory that is there, and if `twin` is not empty a model in f32 with the
// same values to that one. Without a tokenizer.
void WriteZeroPointModel(const ZeroPointModel& model, const std::string& directory,
                         const std::string& twin);

}  // namespace llmcore::core

#endif  // LLMCORE_TESTS_SUPPORT_ZERO_POINT_MODEL_H_
