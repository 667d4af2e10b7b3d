// The CUDA backend as the layers above see it. cuda/ defines it; a build without the CUDA Toolkit
// has cuda/absent.cc, which answers UNAVAILABLE.
#ifndef LLMCORE_LIB_BACKEND_CUDA_BACKEND_H_
#define LLMCORE_LIB_BACKEND_CUDA_BACKEND_H_

#include <memory>

#include "lib/backend/backend.h"
#include "lib/base/status.h"

namespace llmcore::core {

// The device `ordinal`, from 0.
absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(int ordinal);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BACKEND_CUDA_BACKEND_H_
