#include "tests/cuda_emulator/cublas_lt.h"

#include <cuda_runtime.h>

#include <cstring>
#include <mutex>

#include "cuda/cublas_lt.h"
#include "cuda/kernels/common/numbers.cuh"

namespace cuda_emulator {
namespace {

using namespace llmcore::cuda::cublas_lt;  // NOLINT: this is that library

constexpr Status kInvalidValue = 7;
constexpr uint64_t kAlgorithm = 0xA160;  // marks what get_heuristic made

struct Library {
  std::mutex mutex;
  bool is_there = true;
  bool serves = true;
  int64_t fail_at = -1;
  Status failure = kSuccess;
  int64_t calls = 0;
  int64_t products = 0;
  int64_t choices = 0;
  int64_t objects = 0;
};

Library& TheLibrary() {
  static Library library;
  return library;
}

// The status that a call begins with.
Status Begin() {
  Library& library = TheLibrary();
  const std::lock_guard<std::mutex> lock(library.mutex);
  return ++library.calls == library.fail_at ? library.failure : kSuccess;
}

void Count(int64_t Library::*counter, int64_t more) {
  Library& library = TheLibrary();
  const std::lock_guard<std::mutex> lock(library.mutex);
  library.*counter += more;
}

// Any of the four kinds of objects.
struct Object {
  enum class Kind { kHandle, kDesc, kLayout, kPreference } kind;
  int32_t transpose_a = 0;
  int type = 0;
  uint64_t rows = 0;
  uint64_t columns = 0;
  int64_t leading_dimension = 0;
  uint64_t workspace_bytes = 0;
};

const Object* As(void* object, Object::Kind kind) {
  auto* known = static_cast<Object*>(object);
  return known != nullptr && known->kind == kind ? known : nullptr;
}

Status Create(void** out, const Object& object) {
  if (const Status status = Begin(); status != kSuccess) return status;
  *out = new Object(object);
  Count(&Library::objects, 1);
  return kSuccess;
}

Status Destroy(void* object) {
  delete static_cast<Object*>(object);
  Count(&Library::objects, -1);
  return Begin();
}

Status CreateHandle(Handle* handle) {
  return Create(handle, {Object::Kind::kHandle});
}

Status CreateDesc(MatmulDesc* desc, int compute_type, int scale_type) {
  if (compute_type != kCompute32F || scale_type != kTypeF32) return kNotSupported;
  return Create(desc, {Object::Kind::kDesc});
}

Status CreateLayout(MatrixLayout* layout, int type, uint64_t rows, uint64_t columns, int64_t ld) {
  Object object = {Object::Kind::kLayout};
  object.type = type;
  object.rows = rows;
  object.columns = columns;
  object.leading_dimension = ld;
  return Create(layout, object);
}

Status CreatePreference(MatmulPreference* preference) {
  return Create(preference, {Object::Kind::kPreference});
}

Status Set(void* object, int attribute, const void* value, size_t bytes) {
  if (const Status status = Begin(); status != kSuccess) return status;
  auto* known = static_cast<Object*>(object);
  const auto take = [&](auto* to) {
    if (bytes != sizeof *to) return kInvalidValue;
    std::memcpy(to, value, bytes);
    return kSuccess;
  };
  switch (known->kind) {
    case Object::Kind::kDesc:
      return attribute == kDescTransposeA ? take(&known->transpose_a) : kInvalidValue;
    case Object::Kind::kPreference:
      return attribute == kPreferenceMaxWorkspaceBytes ? take(&known->workspace_bytes)
                                                       : kInvalidValue;
    case Object::Kind::kLayout:
      return attribute == kLayoutRows               ? take(&known->rows)
             : attribute == kLayoutColumns          ? take(&known->columns)
             : attribute == kLayoutLeadingDimension ? take(&known->leading_dimension)
                                                    : kInvalidValue;
    case Object::Kind::kHandle:
      break;
  }
  return kInvalidValue;
}

// Column-major, as the library sees it: d [m, n] f32 = a^T b, a [k, m] and b [k, n] bf16.
struct ProductParams {
  const uint16_t* a;
  const uint16_t* b;
  const float* c;
  float* d;
  uint64_t m;
  uint64_t n;
  uint64_t k;
  int64_t lda;
  int64_t ldb;
  int64_t ldd;
  float beta;
};

// Whether the operands are those of such a product.
bool Describe(const Object* desc, const Object* a, const Object* b, const Object* c,
              const Object* d, ProductParams* params) {
  if (desc == nullptr || a == nullptr || b == nullptr || c == nullptr || d == nullptr) return false;
  const bool types = a->type == kTypeBf16 && b->type == kTypeBf16 && c->type == kTypeF32;
  const bool shapes = a->rows == b->rows && a->columns == d->rows && b->columns == d->columns &&
                      d->rows > 0 && d->columns > 0 && a->rows > 0;
  for (const Object* matrix : {a, b, d}) {
    if (matrix->leading_dimension < static_cast<int64_t>(matrix->rows)) return false;
  }
  params->m = d->rows;
  params->n = d->columns;
  params->k = a->rows;
  params->lda = a->leading_dimension;
  params->ldb = b->leading_dimension;
  params->ldd = d->leading_dimension;
  return types && shapes && c == d && desc->transpose_a == kTransposed;
}

__global__ void ProductKernel(const ProductParams p) {
  const uint64_t i = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= p.m * p.n) return;
  const uint64_t row = i % p.m;
  const uint64_t column = i / p.m;
  const uint16_t* a = p.a + static_cast<int64_t>(row) * p.lda;
  const uint16_t* b = p.b + static_cast<int64_t>(column) * p.ldb;
  float sum = 0;
  for (uint64_t k = 0; k < p.k; ++k) {
    sum += llmcore::cuda::Bf16ToF32(a[k]) * llmcore::cuda::Bf16ToF32(b[k]);
  }
  const int64_t at = static_cast<int64_t>(column) * p.ldd + static_cast<int64_t>(row);
  p.d[at] = p.beta == 0 ? sum : p.beta * p.c[at] + sum;
}

// An algorithm is for a weight of m rows and depth k, and for up to the n that it was asked for.
Status GetHeuristic(Handle handle, MatmulDesc desc, MatrixLayout a, MatrixLayout b, MatrixLayout c,
                    MatrixLayout d, MatmulPreference preference, int wanted,
                    HeuristicResult* results, int* found) {
  *found = 0;
  if (const Status status = Begin(); status != kSuccess) return status;
  Count(&Library::choices, 1);
  using Kind = Object::Kind;
  ProductParams params = {};
  const Object* preferred = As(preference, Kind::kPreference);
  if (As(handle, Kind::kHandle) == nullptr || preferred == nullptr || wanted < 1 ||
      !Describe(As(desc, Kind::kDesc), As(a, Kind::kLayout), As(b, Kind::kLayout),
                As(c, Kind::kLayout), As(d, Kind::kLayout), &params)) {
    return kInvalidValue;
  }
  if (!TheLibrary().serves) return kNotSupported;
  results[0] = {
      {{kAlgorithm, params.m, params.k, params.n}}, preferred->workspace_bytes, kSuccess, 1, {}};
  *found = 1;
  return kSuccess;
}

bool IsAligned(const void* data, uintptr_t bytes) {
  return data != nullptr && reinterpret_cast<uintptr_t>(data) % bytes == 0;
}

Status Matmul(Handle handle, MatmulDesc desc, const void* alpha, const void* a,
              MatrixLayout a_shape, const void* b, MatrixLayout b_shape, const void* beta,
              const void* c, MatrixLayout c_shape, void* d, MatrixLayout d_shape,
              const Algorithm* algorithm, void* workspace, size_t workspace_bytes,
              cudaStream_t stream) {
  if (const Status status = Begin(); status != kSuccess) return status;
  using Kind = Object::Kind;
  ProductParams params = {};
  if (As(handle, Kind::kHandle) == nullptr || c != d ||
      !Describe(As(desc, Kind::kDesc), As(a_shape, Kind::kLayout), As(b_shape, Kind::kLayout),
                As(c_shape, Kind::kLayout), As(d_shape, Kind::kLayout), &params) ||
      *static_cast<const float*>(alpha) != 1 || !IsAligned(a, 16) || !IsAligned(b, 16) ||
      !IsAligned(d, 16) || !IsAligned(workspace, 256) || workspace_bytes == 0 ||
      algorithm->data[0] != kAlgorithm || algorithm->data[1] != params.m ||
      algorithm->data[2] != params.k || algorithm->data[3] < params.n) {
    return kInvalidValue;
  }
  params.a = static_cast<const uint16_t*>(a);
  params.b = static_cast<const uint16_t*>(b);
  params.c = static_cast<const float*>(c);
  params.d = static_cast<float*>(d);
  params.beta = *static_cast<const float*>(beta);
  Count(&Library::products, 1);
  // The library uses its workspace as it likes.
  if (cudaMemsetAsync(workspace, 0xFF, workspace_bytes, stream) != cudaSuccess) return 13;
  constexpr unsigned kThreads = 64;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>((params.m * params.n + kThreads - 1) / kThreads));
  config.blockDim = dim3(kThreads);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, ProductKernel, params) == cudaSuccess ? kSuccess : 13;
}

const char* GetStatusName(Status status) {
  switch (status) {
    case kSuccess:
      return "CUBLAS_STATUS_SUCCESS";
    case kAllocFailed:
      return "CUBLAS_STATUS_ALLOC_FAILED";
    case kInvalidValue:
      return "CUBLAS_STATUS_INVALID_VALUE";
    case 13:
      return "CUBLAS_STATUS_EXECUTION_FAILED";
    case kNotSupported:
      return "CUBLAS_STATUS_NOT_SUPPORTED";
    default:
      return "CUBLAS_STATUS_INTERNAL_ERROR";
  }
}

}  // namespace

void ResetCublasLt() {
  Library& library = TheLibrary();
  const std::lock_guard<std::mutex> lock(library.mutex);
  library.is_there = library.serves = true;
  library.calls = library.products = library.choices = 0;
  library.fail_at = -1;
}

void SetCublasLt(bool is_there) {
  const std::lock_guard<std::mutex> lock(TheLibrary().mutex);
  TheLibrary().is_there = is_there;
}

void SetCublasLtServes(bool serves) {
  const std::lock_guard<std::mutex> lock(TheLibrary().mutex);
  TheLibrary().serves = serves;
}

void FailCublasLt(int64_t call, int status) {
  Library& library = TheLibrary();
  const std::lock_guard<std::mutex> lock(library.mutex);
  library.fail_at = library.calls + call;
  library.failure = status;
}

int64_t CublasLtCalls() {
  const std::lock_guard<std::mutex> lock(TheLibrary().mutex);
  return TheLibrary().calls;
}

int64_t CublasLtProducts() {
  const std::lock_guard<std::mutex> lock(TheLibrary().mutex);
  return TheLibrary().products;
}

int64_t CublasLtChoices() {
  const std::lock_guard<std::mutex> lock(TheLibrary().mutex);
  return TheLibrary().choices;
}

int64_t CublasLtObjects() {
  const std::lock_guard<std::mutex> lock(TheLibrary().mutex);
  return TheLibrary().objects;
}

}  // namespace cuda_emulator

namespace llmcore::cuda {

absl::StatusOr<CublasLt> OpenCublasLt() {
  using namespace cuda_emulator;  // NOLINT: what is above
  const std::lock_guard<std::mutex> lock(TheLibrary().mutex);
  if (!TheLibrary().is_there) return absl::UnavailableError("libcublasLt.so: not installed");
  CublasLt library;
  library.create = CreateHandle;
  library.destroy = library.desc_destroy = library.layout_destroy = library.preference_destroy =
      Destroy;
  library.get_status_name = GetStatusName;
  library.desc_create = CreateDesc;
  library.layout_create = CreateLayout;
  library.preference_create = CreatePreference;
  library.desc_set = library.layout_set = library.preference_set = Set;
  library.get_heuristic = GetHeuristic;
  library.matmul = Matmul;
  return library;
}

}  // namespace llmcore::cuda
