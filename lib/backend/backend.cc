#include "lib/backend/backend.h"

#include <cstring>

namespace llmcore::core {

absl::Status Backend::CopyToDevice(void* destination, std::span<const std::byte> source) {
  if (!source.empty()) std::memcpy(destination, source.data(), source.size());
  return absl::OkStatus();
}

absl::Status Backend::CopyToHost(std::span<std::byte> destination, const void* source) {
  if (!destination.empty()) std::memcpy(destination.data(), source, destination.size());
  return absl::OkStatus();
}

std::string Backend::WeightLayoutName(WeightFormat) const {
  return "";
}

absl::Status Backend::CheckPackedWeight(const WeightShape&, std::span<const std::byte>,
                                        const WorkControl&) {
  return absl::UnimplementedError("the device has no layout of stored weights");
}

}  // namespace llmcore::core
