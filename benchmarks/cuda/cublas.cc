#include "benchmarks/cuda/cublas.h"

#include <dlfcn.h>

namespace llmcore::benchmarks {
namespace {

// Numbers of the cuBLAS 12 and 13 ABI (cublas_api.h, library_types.h).
constexpr int kTranspose = 1;
constexpr int kAsIs = 0;
constexpr int kBf16 = 14;
constexpr int kComputeF32 = 68;
constexpr int kDefaultAlgorithm = -1;

using GemmEx = int (*)(void* handle, int transpose_a, int transpose_b, int m, int n, int k,
                       const void* alpha, const void* a, int a_type, int lda, const void* b,
                       int b_type, int ldb, const void* beta, void* c, int c_type, int ldc,
                       int compute_type, int algorithm);

}  // namespace

std::unique_ptr<Cublas> Cublas::Open(std::string* why) {
  std::unique_ptr<Cublas> cublas(new Cublas);
  for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"}) {
    cublas->library_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (cublas->library_ != nullptr) break;
  }
  if (cublas->library_ == nullptr) {
    *why = "libcublas.so.13 and .12 cannot be opened";
    return nullptr;
  }
  const auto create = reinterpret_cast<int (*)(void**)>(dlsym(cublas->library_, "cublasCreate_v2"));
  cublas->destroy_ = reinterpret_cast<int (*)(void*)>(dlsym(cublas->library_, "cublasDestroy_v2"));
  cublas->multiply_ = dlsym(cublas->library_, "cublasGemmEx");
  if (create == nullptr || cublas->destroy_ == nullptr || cublas->multiply_ == nullptr) {
    *why = "libcublas lacks cublasGemmEx";
    return nullptr;
  }
  const int status = create(&cublas->handle_);
  if (status == 0) return cublas;
  cublas->handle_ = nullptr;
  *why = "cublasCreate answers " + std::to_string(status);
  return nullptr;
}

Cublas::~Cublas() {
  if (handle_ != nullptr) destroy_(handle_);
  if (library_ != nullptr) dlclose(library_);
}

// Row-major matrices are the transposes of what column-major cuBLAS sees.
bool Cublas::Multiply(int64_t tokens, int64_t inputs, int64_t outputs, const void* in,
                      const void* weight, void* out) {
  const float one = 1;
  const float zero = 0;
  const auto k = static_cast<int>(inputs);
  const auto m = static_cast<int>(outputs);
  return reinterpret_cast<GemmEx>(multiply_)(
             handle_, kTranspose, kAsIs, m, static_cast<int>(tokens), k, &one, weight, kBf16, k, in,
             kBf16, k, &zero, out, kBf16, m, kComputeF32, kDefaultAlgorithm) == 0;
}

}  // namespace llmcore::benchmarks
