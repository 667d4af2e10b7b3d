// The one product of cuBLAS that comparisons want. The library is opened when it is asked for:
// nothing here needs it to build.
#ifndef LLMCORE_BENCHMARKS_CUDA_CUBLAS_H_
#define LLMCORE_BENCHMARKS_CUDA_CUBLAS_H_

#include <cstdint>
#include <memory>
#include <string>

namespace llmcore::benchmarks {

class Cublas {
 public:
  // Null where the library is not there or refuses; `why` then says so.
  static std::unique_ptr<Cublas> Open(std::string* why);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  // out [tokens, outputs] = in [tokens, inputs] * weight [outputs, inputs]^T, all bf16 in device
  // memory, on the default stream. False when cuBLAS refuses.
  bool Multiply(int64_t tokens, int64_t inputs, int64_t outputs, const void* in, const void* weight,
                void* out);

 private:
  Cublas() = default;

  void* library_ = nullptr;
  void* handle_ = nullptr;
  int (*destroy_)(void*) = nullptr;
  void* multiply_ = nullptr;
};

}  // namespace llmcore::benchmarks

#endif  // LLMCORE_BENCHMARKS_CUDA_CUBLAS_H_
