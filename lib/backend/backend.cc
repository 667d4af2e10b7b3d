#include "lib/backend/backend.h"

#include <cstring>
#include <new>

namespace llmcore::core {

absl::Status Backend::CopyToDevice(void* destination, std::span<const std::byte> source) {
  if (!source.empty()) std::memcpy(destination, source.data(), source.size());
  return absl::OkStatus();
}

absl::Status Backend::CopyToHost(std::span<std::byte> destination, const void* source) {
  if (!destination.empty()) std::memcpy(destination.data(), source, destination.size());
  return absl::OkStatus();
}

absl::Status Backend::SwapBlocks(const StepContext& /*context*/, const SwapBlocksParams& params) {
  const uint64_t bytes = KvBlockBytes(params.cache.shape);
  const auto layers = static_cast<uint64_t>(params.cache.shape.layers);
  auto* const cache = static_cast<std::byte*>(params.cache.data);
  for (size_t i = 0; i < params.blocks.size(); ++i) {
    for (uint64_t layer = 0; layer < layers; ++layer) {
      const uint64_t block = layer * static_cast<uint64_t>(params.cache.blocks) +
                             static_cast<uint64_t>(params.blocks[i]);
      const uint64_t place = static_cast<uint64_t>(params.places[i]) * layers + layer;
      std::byte* const inside = cache + block * bytes;
      const std::span<std::byte> outside(params.host + place * bytes, bytes);
      LLMCORE_RETURN_IF_ERROR(params.direction == SwapBlocksParams::Direction::kOut
                                  ? CopyToHost(outside, inside)
                                  : CopyToDevice(inside, outside));
    }
  }
  return absl::OkStatus();
}

absl::Status Backend::ForEachOnHost(int64_t count, absl::FunctionRef<void(int64_t index)> body) {
  try {
    for (int64_t index = 0; index < count; ++index) body(index);
  } catch (const std::bad_alloc&) {
    return ResourceExhaustedError("out of memory on the host", 0);
  } catch (...) {
    return absl::InternalError("exception on the host");
  }
  return absl::OkStatus();
}

absl::Status Backend::Sample(const StepContext&, const SampleParams&) {
  return absl::UnimplementedError("the device does not sample");
}

std::string Backend::WeightLayoutName(WeightFormat) const {
  return "";
}

absl::Status Backend::CheckPackedWeight(const WeightShape&, std::span<const std::byte>,
                                        const WorkControl&) {
  return absl::UnimplementedError("the device has no layout of stored weights");
}

}  // namespace llmcore::core
