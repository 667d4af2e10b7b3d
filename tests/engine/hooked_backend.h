// The CPU backend with a hook before each operation, which can wait or fail.
#ifndef LLMCORE_TESTS_ENGINE_HOOKED_BACKEND_H_
#define LLMCORE_TESTS_ENGINE_HOOKED_BACKEND_H_

#include <functional>
#include <memory>

#include "lib/backend/backend.h"

namespace llmcore::core {

// Called with the context of the step before each operation, and before and after the work on the
// host with a context of its own; an error, or an exception, is the operation's.
using OperationHook = std::function<absl::Status(const StepContext& context)>;

// `hook` outlives the backend; it may be empty, and is only changed between steps.
std::unique_ptr<Backend> HookedBackend(int threads, const OperationHook* hook);

}  // namespace llmcore::core

#endif  // LLMCORE_TESTS_ENGINE_HOOKED_BACKEND_H_
