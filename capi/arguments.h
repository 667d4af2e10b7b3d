// Checks of what comes through the C ABI. Each error names the parameter.
#ifndef LLMCORE_CAPI_ARGUMENTS_H_
#define LLMCORE_CAPI_ARGUMENTS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::capi {

absl::Status NullError(absl::string_view name);

// INVALID_ARGUMENT when a required pointer is NULL.
inline absl::Status NotNull(const void* pointer, absl::string_view name) {
  return pointer != nullptr ? absl::OkStatus() : NullError(name);
}

// Gives outputs the value that they have on failure: called with all of them (pointer, name, ...)
// before anything else.
template <typename T, typename... More>
absl::Status Reset(T* output, absl::string_view name, More... more) {
  if (output != nullptr) *output = T();
  if constexpr (sizeof...(more) > 0) LLMCORE_RETURN_IF_ERROR(Reset(more...));
  return NotNull(output, name);
}

// Bytes of a parameter; NULL is allowed when there are none.
absl::StatusOr<absl::string_view> Bytes(const char* data, size_t size, absl::string_view name);

// Bytes that are UTF-8. An error names the offset.
absl::StatusOr<absl::string_view> Text(const char* data, size_t size, absl::string_view name);

// A path: not empty, without zero bytes. Any encoding, as in the file system.
absl::StatusOr<std::string> Path(const char* data, size_t size, absl::string_view name);

// INVALID_ARGUMENT unless low <= value <= high.
absl::Status InRange(uint64_t value, uint64_t low, uint64_t high, absl::string_view name);

// INVALID_ARGUMENT when a bit is set that `known` lacks.
absl::Status KnownFlags(uint32_t flags, uint32_t known);

}  // namespace llmcore::capi

#endif  // LLMCORE_CAPI_ARGUMENTS_H_
