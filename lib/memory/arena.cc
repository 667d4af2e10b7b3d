#include "lib/memory/arena.h"

#include "absl/strings/str_cat.h"
#include "lib/base/checked.h"

namespace llmcore::core {
namespace {

// No machine has more; sums of pieces below it cannot wrap around.
constexpr uint64_t kMaxBytes = uint64_t{1} << 56;

}  // namespace

absl::StatusOr<uint64_t> Arena::ArrayBytes(uint64_t count, uint64_t size) {
  const auto bytes = CheckedMultiply(count, size);
  if (!bytes.has_value()) return absl::ResourceExhaustedError("a tensor's size overflows");
  return *bytes;
}

absl::StatusOr<void*> Arena::Take(uint64_t bytes) {
  if (bytes > kMaxBytes || used_ > kMaxBytes) {
    return absl::ResourceExhaustedError("the model is larger than any memory");
  }
  const uint64_t offset = used_;
  const uint64_t end = offset + RoundUp(bytes, kAlignment);
  if (!measuring() && end > capacity_) {
    return absl::InternalError(
        absl::StrCat("the plan has ", capacity_, " bytes, ", end, " needed"));
  }
  used_ = end;
  return measuring() ? nullptr : static_cast<void*>(base_ + offset);
}

}  // namespace llmcore::core
