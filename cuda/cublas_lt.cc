#include "cuda/cublas_lt.h"

#include <dlfcn.h>

#include <string>
#include <type_traits>

#include "absl/strings/str_cat.h"

#if __has_include(<cublasLt.h>)
#include <cublasLt.h>
#endif

namespace llmcore::cuda {
namespace {

#if __has_include(<cublasLt.h>)
static_assert(cublas_lt::kSuccess == CUBLAS_STATUS_SUCCESS);
static_assert(cublas_lt::kAllocFailed == CUBLAS_STATUS_ALLOC_FAILED);
static_assert(cublas_lt::kNotSupported == CUBLAS_STATUS_NOT_SUPPORTED);
static_assert(cublas_lt::kCompute32F == CUBLAS_COMPUTE_32F);
static_assert(cublas_lt::kTypeF32 == CUDA_R_32F);
static_assert(cublas_lt::kTypeBf16 == CUDA_R_16BF);
static_assert(cublas_lt::kTransposed == CUBLAS_OP_T);
static_assert(cublas_lt::kDescTransposeA == CUBLASLT_MATMUL_DESC_TRANSA);
static_assert(cublas_lt::kLayoutRows == CUBLASLT_MATRIX_LAYOUT_ROWS);
static_assert(cublas_lt::kLayoutColumns == CUBLASLT_MATRIX_LAYOUT_COLS);
static_assert(cublas_lt::kLayoutLeadingDimension == CUBLASLT_MATRIX_LAYOUT_LD);
static_assert(cublas_lt::kPreferenceMaxWorkspaceBytes == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
static_assert(sizeof(cublas_lt::Algorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(cublas_lt::HeuristicResult) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(cublas_lt::HeuristicResult, state) ==
              offsetof(cublasLtMatmulHeuristicResult_t, state));
static_assert(sizeof(cublas_lt::Status) == sizeof(cublasStatus_t));
#endif

}  // namespace

absl::StatusOr<CublasLt> OpenCublasLt() {
  // The version that belongs to the runtime that is linked in, then whichever the system prefers.
  const std::string versioned = absl::StrCat("libcublasLt.so.", CUDART_VERSION / 1000);
  void* library = dlopen(versioned.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) library = dlopen("libcublasLt.so", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    return absl::UnavailableError(
        absl::StrCat("no cuBLASLt: ", reason == nullptr ? "it cannot be opened" : reason));
  }
  CublasLt functions = {};
  const char* missing = nullptr;
  const auto find = [&](const char* name, auto* function) {
    void* const symbol = dlsym(library, name);
    if (symbol == nullptr) missing = name;
    *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(symbol);
  };
  find("cublasLtCreate", &functions.create);
  find("cublasLtDestroy", &functions.destroy);
  find("cublasLtGetStatusName", &functions.get_status_name);
  find("cublasLtMatmulDescCreate", &functions.desc_create);
  find("cublasLtMatmulDescDestroy", &functions.desc_destroy);
  find("cublasLtMatmulDescSetAttribute", &functions.desc_set);
  find("cublasLtMatrixLayoutCreate", &functions.layout_create);
  find("cublasLtMatrixLayoutDestroy", &functions.layout_destroy);
  find("cublasLtMatrixLayoutSetAttribute", &functions.layout_set);
  find("cublasLtMatmulPreferenceCreate", &functions.preference_create);
  find("cublasLtMatmulPreferenceDestroy", &functions.preference_destroy);
  find("cublasLtMatmulPreferenceSetAttribute", &functions.preference_set);
  find("cublasLtMatmulAlgoGetHeuristic", &functions.get_heuristic);
  find("cublasLtMatmul", &functions.matmul);
  if (missing != nullptr) {
    return absl::UnavailableError(absl::StrCat("the cuBLASLt of this machine has no ", missing));
  }
  return functions;
}

}  // namespace llmcore::cuda
