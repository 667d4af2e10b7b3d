// Status vocabulary of the core: every function that can fail returns absl::Status or
// absl::StatusOr<T>. Codes are the canonical ones; capi/ passes their numbers on unchanged.
#ifndef LLMCORE_LIB_BASE_STATUS_H_
#define LLMCORE_LIB_BASE_STATUS_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace llmcore::core {

// RESOURCE_EXHAUSTED that says how many bytes would have been enough.
absl::Status ResourceExhaustedError(absl::string_view message, uint64_t bytes_needed);

// The bytes that a RESOURCE_EXHAUSTED status asks for; nullopt when it names none.
std::optional<uint64_t> BytesNeeded(const absl::Status& status);

// The same status with "context: " before its message; payloads are kept. OK stays OK.
absl::Status Annotate(const absl::Status& status, absl::string_view context);

// CANCELLED with the operation that was stopped.
absl::Status CancelledError(absl::string_view operation);

// INVALID_ARGUMENT, UNIMPLEMENTED, ... from the pieces of one sentence, and for failed system calls
// the code that errno stands for (ENOENT -> NOT_FOUND, ENOMEM -> RESOURCE_EXHAUSTED, ...).
absl::Status ErrnoError(int error_number, absl::string_view what);

}  // namespace llmcore::core

#define LLMCORE_CONCAT_INNER(a, b) a##b
#define LLMCORE_CONCAT(a, b) LLMCORE_CONCAT_INNER(a, b)

// Leaves the enclosing function with the error of `expression`, if it is one.
#define LLMCORE_RETURN_IF_ERROR(expression)        \
  do {                                             \
    ::absl::Status llmcore_status_ = (expression); \
    if (!llmcore_status_.ok()) [[unlikely]]        \
      return llmcore_status_;                      \
  } while (false)

// LLMCORE_ASSIGN_OR_RETURN(auto x, Compute()): declares or assigns x, or leaves with the error.
#define LLMCORE_ASSIGN_OR_RETURN(declaration, expression) \
  LLMCORE_ASSIGN_OR_RETURN_INNER(LLMCORE_CONCAT(llmcore_or_, __LINE__), declaration, expression)
#define LLMCORE_ASSIGN_OR_RETURN_INNER(value_or, declaration, expression) \
  auto value_or = (expression);                                           \
  if (!value_or.ok()) [[unlikely]]                                        \
    return std::move(value_or).status();                                  \
  declaration = *std::move(value_or)

#endif  // LLMCORE_LIB_BASE_STATUS_H_
