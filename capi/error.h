// llmcore_error, and the barrier that every exported function stands behind.
#ifndef LLMCORE_CAPI_ERROR_H_
#define LLMCORE_CAPI_ERROR_H_

#include <exception>
#include <new>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "llmcore/llmcore.h"

namespace llmcore::capi {

// The error of a status; nullptr for OK. When there is no memory for one: the error below.
llmcore_error* MakeError(const absl::Status& status);
llmcore_error* MakeError(absl::StatusCode code, absl::string_view message) noexcept;

// A static object, which destroying leaves alone: to report that memory ran out takes none.
llmcore_error* OutOfMemoryError() noexcept;

// Runs `body`, which returns an absl::Status, and turns whatever comes out of it into an error.
template <typename Body>
llmcore_error* Barrier(const Body& body) noexcept {
  try {
    const absl::Status status = body();
    return status.ok() ? nullptr : MakeError(status);
  } catch (const std::bad_alloc&) {
    return OutOfMemoryError();
  } catch (const std::exception& exception) {
    return MakeError(absl::StatusCode::kInternal, exception.what());
  } catch (...) {
    return MakeError(absl::StatusCode::kInternal, "an exception of an unknown type");
  }
}

// The same for functions that have nobody to report to: what fails is left undone.
template <typename Body>
void SilentBarrier(const Body& body) noexcept {
  try {
    body();
  } catch (...) {
  }
}

}  // namespace llmcore::capi

#endif  // LLMCORE_CAPI_ERROR_H_
