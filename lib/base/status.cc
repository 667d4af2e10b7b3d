#include "lib/base/status.h"

#include <cerrno>
#include <string>
#include <system_error>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace llmcore::core {
namespace {

constexpr char kBytesNeededUrl[] = "llmcore/bytes_needed";

absl::StatusCode CodeOfErrno(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return absl::StatusCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
      return absl::StatusCode::kResourceExhausted;
    case EINVAL:
    case EISDIR:
    case ENAMETOOLONG:
      return absl::StatusCode::kInvalidArgument;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

}  // namespace

absl::Status ResourceExhaustedError(absl::string_view message, uint64_t bytes_needed) {
  absl::Status status = absl::ResourceExhaustedError(message);
  status.SetPayload(kBytesNeededUrl, absl::Cord(absl::StrCat(bytes_needed)));
  return status;
}

std::optional<uint64_t> BytesNeeded(const absl::Status& status) {
  const auto payload = status.GetPayload(kBytesNeededUrl);
  uint64_t bytes = 0;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &bytes)) {
    return std::nullopt;
  }
  return bytes;
}

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload([&annotated](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

absl::Status CancelledError(absl::string_view operation) {
  return absl::CancelledError(absl::StrCat(operation, " was cancelled"));
}

absl::Status ErrnoError(int error_number, absl::string_view what) {
  return absl::Status(CodeOfErrno(error_number),
                      absl::StrCat(what, ": ", std::generic_category().message(error_number)));
}

}  // namespace llmcore::core
