#include "capi/arguments.h"

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"

namespace llmcore::capi {

absl::Status NullError(absl::string_view name) {
  return absl::InvalidArgumentError(absl::StrCat(name, " is NULL"));
}

absl::StatusOr<absl::string_view> Bytes(const char* data, size_t size, absl::string_view name) {
  if (size > 0) LLMCORE_RETURN_IF_ERROR(NotNull(data, name));
  if (size > size_t{PTRDIFF_MAX}) {
    return absl::InvalidArgumentError(absl::StrCat(name, " has a size of ", size, " bytes"));
  }
  return absl::string_view(data == nullptr ? "" : data, size);
}

absl::StatusOr<absl::string_view> Text(const char* data, size_t size, absl::string_view name) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view text, Bytes(data, size, name));
  const size_t offset = core::FirstInvalidUtf8(text);
  if (offset < size) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is not UTF-8: invalid byte at offset ", offset));
  }
  return text;
}

absl::StatusOr<std::string> Path(const char* data, size_t size, absl::string_view name) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view path, Bytes(data, size, name));
  if (path.empty()) return absl::InvalidArgumentError(absl::StrCat(name, " is empty"));
  if (path.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat(name, " contains a zero byte"));
  }
  return std::string(path);
}

absl::Status InRange(uint64_t value, uint64_t low, uint64_t high, absl::string_view name) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, ", which is not between ", low, " and ", high));
}

absl::Status KnownFlags(uint32_t flags, uint32_t known) {
  if ((flags & ~known) == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("flags has unknown bits: ", absl::Hex(flags & ~known)));
}

}  // namespace llmcore::capi
