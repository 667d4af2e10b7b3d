// Products of bf16 matrices by cuBLASLt, with sums in f32.
//
// An algorithm is chosen once for a weight's shape, for as many tokens as a product takes at most,
// and then serves any number of them: the terms of a sum and their order are the algorithm's, so
// that a row's bits do not depend on how many tokens there are. Which algorithm that is depends on
// the device and on the version of the library.
#ifndef LLMCORE_CUDA_GEMM_H_
#define LLMCORE_CUDA_GEMM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/strings/string_view.h"
#include "cuda/cublas_lt.h"
#include "lib/base/status.h"

namespace llmcore::cuda {

// Not thread-safe, like the operations of a backend.
class Gemm {
 public:
  // Of the device that the calling thread has selected; products are of at most `most_tokens`.
  // UNAVAILABLE where the library is not there or cannot be used.
  static absl::StatusOr<std::unique_ptr<Gemm>> Open(int64_t most_tokens);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // Memory of the device that Multiply works in, aligned to 256 bytes.
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

  // Whether the library has an algorithm for weights of this shape.
  bool Serves(int64_t rows, int64_t depth);

  // out (+)= in * weight^T, launched on `stream`. Of a shape that is served; operands are dense and
  // aligned to 16 bytes, rows and depth are multiples of 16. Allocates nothing.
  struct Product {
    const uint16_t* weight;  // [rows, depth] bf16
    const uint16_t* in;      // [tokens, depth] bf16
    float* out;              // [tokens, rows]
    int64_t rows;
    int64_t depth;
    int64_t tokens;
    bool add;  // to what is in `out`
  };
  absl::Status Multiply(const Product& product, std::span<std::byte> workspace,
                        cudaStream_t stream);

 private:
  struct Choice {
    int64_t rows = 0;
    int64_t depth = 0;
    bool served = false;
    cublas_lt::Algorithm algorithm = {};
  };

  Gemm(const CublasLt& library, int64_t most_tokens)
      : library_(library), most_tokens_(most_tokens) {}
  absl::Status Initialize();
  absl::Status StatusOf(cublas_lt::Status status, absl::string_view call) const;
  // The layouts for such a product.
  absl::Status SetShape(int64_t rows, int64_t depth, int64_t tokens);
  const Choice& ChoiceFor(int64_t rows, int64_t depth);

  const CublasLt library_;
  const int64_t most_tokens_;
  cublas_lt::Handle handle_ = nullptr;
  cublas_lt::MatmulDesc desc_ = nullptr;
  cublas_lt::MatmulPreference preference_ = nullptr;
  cublas_lt::MatrixLayout weight_ = nullptr;
  cublas_lt::MatrixLayout in_ = nullptr;
  cublas_lt::MatrixLayout out_ = nullptr;
  // A model has some five shapes of weights, and a shape has two of panels. The oldest makes room.
  std::array<Choice, 32> choices_;
  size_t next_choice_ = 0;
};

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_GEMM_H_
