// What stands for the CUDA backend in a build without the CUDA Toolkit.
#include "lib/backend/cuda_backend.h"

namespace llmcore::core {

absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(int /*ordinal*/,
                                                           const CudaBackendOptions& /*options*/) {
  return absl::UnavailableError("this build of llmcore has no CUDA backend: use device \"cpu\"");
}

}  // namespace llmcore::core
