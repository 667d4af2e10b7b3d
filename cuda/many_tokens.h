// Linear and LinearGated for many tokens: the weight becomes rows of bf16, panel after panel, which
// a library multiplies with the activations as bf16. Our own kernels do the rest: the norm of the
// input before, and bias, residual and gate after.
#ifndef LLMCORE_CUDA_MANY_TOKENS_H_
#define LLMCORE_CUDA_MANY_TOKENS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device.h"
#include "cuda/gemm.h"
#include "cuda/kernels/linear.h"

namespace llmcore::cuda {

// Tuning, by arithmetic and not yet by measurement.
// Tokens that are multiplied at once: so many share one reading and writing of the weight as bf16.
constexpr int64_t kPanelTokens = 2048;
// Rows of a weight in a panel, unless its bytes are more than this allows.
constexpr int64_t kPanelRows = 4096;
constexpr uint64_t kPanelBytes = uint64_t{64} << 20;
// The product of few tokens reads the packed weight anew for every 32 of them. From about so many
// on, a weight that is written as bf16 once and read twice is less.
constexpr int32_t kManyTokens = 385;

// Bytes of workspace for products of at most `rows` tokens and `columns` inputs.
uint64_t ManyTokensBytes(int64_t rows, int64_t columns);

// The operands of a product and its place.
struct ManyTokensProduct {
  Storage storage;
  Precision precision;
  bool gated;
  LinearKernelParams params;
};

// Whether `gemm` can do it.
bool ServesManyTokens(Gemm* gemm, const ManyTokensProduct& product);

// Launches it. Works at the end of `workspace`; INTERNAL where that does not do.
absl::Status LaunchManyTokens(Device* device, Gemm* gemm, const ManyTokensProduct& product,
                              std::span<std::byte> workspace);

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_MANY_TOKENS_H_
