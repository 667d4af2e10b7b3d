// Memory of the CPU backend: anonymous mappings, zeroed by the system, on huge pages where the
// system grants them on request.
#ifndef LLMCORE_LIB_CPU_MEMORY_H_
#define LLMCORE_LIB_CPU_MEMORY_H_

#include <cstdint>
#include <memory>

#include "lib/backend/backend.h"
#include "lib/base/status.h"

namespace llmcore::cpu {

// RESOURCE_EXHAUSTED with `bytes` when the system refuses. 0 bytes are a valid range of size 0.
absl::StatusOr<std::unique_ptr<core::DeviceMemory>> MapMemory(uint64_t bytes);

}  // namespace llmcore::cpu

#endif  // LLMCORE_LIB_CPU_MEMORY_H_
