// The functions of cuBLASLt that gemm.cc calls. The library is opened when they are first wanted
// and is never linked: half a gigabyte that a host may not ship. What is declared here is the part
// of its C interface that is the same from version 11 on.
#ifndef LLMCORE_CUDA_CUBLAS_LT_H_
#define LLMCORE_CUDA_CUBLAS_LT_H_

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "lib/base/status.h"

namespace llmcore::cuda {

// Names and numbers as in cublasLt.h: cublas_lt.cc compares them with it where it is there.
namespace cublas_lt {

using Status = int;
constexpr Status kSuccess = 0;
constexpr Status kAllocFailed = 3;
constexpr Status kNotSupported = 15;

constexpr int kCompute32F = 68;
constexpr int kTypeF32 = 0;
constexpr int kTypeBf16 = 14;
constexpr int32_t kTransposed = 1;

constexpr int kDescTransposeA = 3;

constexpr int kLayoutRows = 2;
constexpr int kLayoutColumns = 3;
constexpr int kLayoutLeadingDimension = 4;

constexpr int kPreferenceMaxWorkspaceBytes = 1;

using Handle = void*;
using MatmulDesc = void*;
using MatrixLayout = void*;
using MatmulPreference = void*;

struct Algorithm {
  uint64_t data[8];
};

struct HeuristicResult {
  Algorithm algorithm;
  size_t workspace_bytes;
  Status state;
  float waves_count;
  int reserved[4];
};

}  // namespace cublas_lt

struct CublasLt {
  cublas_lt::Status (*create)(cublas_lt::Handle* handle);
  cublas_lt::Status (*destroy)(cublas_lt::Handle handle);
  const char* (*get_status_name)(cublas_lt::Status status);
  cublas_lt::Status (*desc_create)(cublas_lt::MatmulDesc* desc, int compute_type, int scale_type);
  cublas_lt::Status (*desc_destroy)(cublas_lt::MatmulDesc desc);
  cublas_lt::Status (*desc_set)(cublas_lt::MatmulDesc desc, int attribute, const void* value,
                                size_t bytes);
  cublas_lt::Status (*layout_create)(cublas_lt::MatrixLayout* layout, int type, uint64_t rows,
                                     uint64_t columns, int64_t leading_dimension);
  cublas_lt::Status (*layout_destroy)(cublas_lt::MatrixLayout layout);
  cublas_lt::Status (*layout_set)(cublas_lt::MatrixLayout layout, int attribute, const void* value,
                                  size_t bytes);
  cublas_lt::Status (*preference_create)(cublas_lt::MatmulPreference* preference);
  cublas_lt::Status (*preference_destroy)(cublas_lt::MatmulPreference preference);
  cublas_lt::Status (*preference_set)(cublas_lt::MatmulPreference preference, int attribute,
                                      const void* value, size_t bytes);
  cublas_lt::Status (*get_heuristic)(cublas_lt::Handle handle, cublas_lt::MatmulDesc desc,
                                     cublas_lt::MatrixLayout a, cublas_lt::MatrixLayout b,
                                     cublas_lt::MatrixLayout c, cublas_lt::MatrixLayout d,
                                     cublas_lt::MatmulPreference preference, int wanted,
                                     cublas_lt::HeuristicResult* results, int* found);
  cublas_lt::Status (*matmul)(cublas_lt::Handle handle, cublas_lt::MatmulDesc desc,
                              const void* alpha, const void* a, cublas_lt::MatrixLayout a_layout,
                              const void* b, cublas_lt::MatrixLayout b_layout, const void* beta,
                              const void* c, cublas_lt::MatrixLayout c_layout, void* d,
                              cublas_lt::MatrixLayout d_layout,
                              const cublas_lt::Algorithm* algorithm, void* workspace,
                              size_t workspace_bytes, cudaStream_t stream);
};

// UNAVAILABLE, with what the loader says, where there is none. It stays loaded: unloading a library
// of CUDA is not safe.
absl::StatusOr<CublasLt> OpenCublasLt();

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_CUBLAS_LT_H_
