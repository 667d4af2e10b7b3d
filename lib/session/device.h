// From the name of a device to its backend.
#ifndef LLMCORE_LIB_SESSION_DEVICE_H_
#define LLMCORE_LIB_SESSION_DEVICE_H_

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "lib/backend/backend.h"
#include "lib/base/status.h"

namespace llmcore::core {

// `device`: "auto" (a GPU when there is one, else the CPU), "cpu", "cuda" or "cuda:N". `threads`
// of the CPU backend, 0 for one per usable core. `deterministic`: CudaBackendOptions; the CPU
// always is. UNAVAILABLE when the device is not there.
absl::StatusOr<std::unique_ptr<Backend>> CreateBackend(absl::string_view device, int threads,
                                                       bool deterministic);

// Bytes of memory that the host could give without swapping; 0 when it does not say.
uint64_t FreeHostMemory();

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_DEVICE_H_
