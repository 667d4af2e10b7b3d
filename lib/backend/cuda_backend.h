// The CUDA backend as the layers above see it. cuda/ defines it; a build without the CUDA Toolkit
// has cuda/absent.cc, which answers UNAVAILABLE.
#ifndef LLMCORE_LIB_BACKEND_CUDA_BACKEND_H_
#define LLMCORE_LIB_BACKEND_CUDA_BACKEND_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "lib/backend/backend.h"
#include "lib/base/status.h"

namespace llmcore::core {

struct CudaBackendOptions {
  // Whether rule 2 of backend.h holds without exception. If not, products of many tokens are
  // cuBLASLt's where it is installed: faster, and with other bits than those of few tokens, so that
  // a row's depend on how many rows share its step.
  bool deterministic = true;
  // How many are many; unset: as tuned. For tests.
  std::optional<int32_t> many_tokens = {};
};

// The device `ordinal`, from 0.
absl::StatusOr<std::unique_ptr<Backend>> CreateCudaBackend(int ordinal,
                                                           const CudaBackendOptions& options = {});

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BACKEND_CUDA_BACKEND_H_
