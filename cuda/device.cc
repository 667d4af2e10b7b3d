#include "cuda/device.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace llmcore::cuda {
namespace {

constexpr int kLeastCapability = 80;  // bf16 tensor cores and cp.async

// Errors of a call that leave the device as it was; what is not among them breaks it.
bool LeavesDeviceIntact(cudaError_t error) {
  // Of a capture that came to nothing.
  if (error >= cudaErrorStreamCaptureUnsupported && error <= cudaErrorStreamCaptureWrongThread) {
    return true;
  }
  switch (error) {
    case cudaSuccess:
    case cudaErrorInvalidValue:
    case cudaErrorMemoryAllocation:
    case cudaErrorInvalidDevice:
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
      return true;
    default:
      return false;
  }
}

class Memory final : public core::DeviceMemory {
 public:
  Memory(std::shared_ptr<Device> device, void* data, uint64_t bytes, bool pinned)
      : device_(std::move(device)), pinned_(pinned) {
    data_ = data;
    size_ = bytes;
  }
  // Whatever the device says: there is nobody to tell, and destroying works.
  ~Memory() override {
    (void)device_->Enter();
    (void)(pinned_ ? cudaFreeHost(data_) : cudaFree(data_));
    (void)cudaGetLastError();
  }

 private:
  const std::shared_ptr<Device> device_;
  const bool pinned_;
};

absl::StatusOr<std::unique_ptr<core::DeviceMemory>> Allocate(std::shared_ptr<Device> device,
                                                             uint64_t bytes, bool pinned) {
  LLMCORE_RETURN_IF_ERROR(device->Enter());
  const absl::string_view operation = pinned ? "pinned host memory" : "device memory";
  void* data = nullptr;
  const uint64_t taken = bytes == 0 ? 1 : bytes;
  const cudaError_t error =
      pinned ? cudaHostAlloc(&data, taken, cudaHostAllocDefault) : cudaMalloc(&data, taken);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    return core::ResourceExhaustedError(
        absl::StrCat(device->description(), " does not grant ", bytes, " bytes of ", operation),
        bytes);
  }
  LLMCORE_RETURN_IF_ERROR(device->Check(error, operation));
  std::unique_ptr<core::DeviceMemory> memory;
  try {
    memory = std::make_unique<Memory>(device, data, bytes, pinned);
  } catch (...) {
    (void)(pinned ? cudaFreeHost(data) : cudaFree(data));
    throw;
  }
  if (pinned) {
    std::memset(data, 0, taken);
    return memory;
  }
  LLMCORE_RETURN_IF_ERROR(
      device->Check(cudaMemsetAsync(data, 0, taken, device->stream()), operation));
  LLMCORE_RETURN_IF_ERROR(device->Synchronize(operation));
  return memory;
}

}  // namespace

absl::Status StatusOf(cudaError_t error, absl::string_view operation) {
  if (error == cudaSuccess) return absl::OkStatus();
  (void)cudaGetLastError();
  const std::string text = absl::StrCat("CUDA: ", operation, ": ", cudaGetErrorName(error), " (",
                                        cudaGetErrorString(error), ")");
  switch (error) {
    case cudaErrorMemoryAllocation:
      return absl::ResourceExhaustedError(text);
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorInvalidDevice:
      return absl::UnavailableError(text);
    default:
      return absl::InternalError(text);
  }
}

absl::StatusOr<std::shared_ptr<Device>> Device::Open(int ordinal) {
  int count = 0;
  const absl::Status found = StatusOf(cudaGetDeviceCount(&count), "looking for a device");
  if (!found.ok()) {
    // Whatever stands in the way (no driver, one that is too old), there is no device to be had.
    return absl::UnavailableError(absl::StrCat("no CUDA device: ", found.message()));
  }
  if (ordinal >= count) {
    return absl::UnavailableError(
        absl::StrCat("no CUDA device ", ordinal, ": this machine has ", count));
  }
  std::shared_ptr<Device> device(new Device(ordinal));
  LLMCORE_RETURN_IF_ERROR(device->Initialize());
  return device;
}

absl::Status Device::Initialize() {
  LLMCORE_RETURN_IF_ERROR(Enter());
  int major = 0;
  int minor = 0;
  LLMCORE_RETURN_IF_ERROR(
      Check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal_),
            "reading the device's attributes"));
  LLMCORE_RETURN_IF_ERROR(
      Check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, ordinal_),
            "reading the device's attributes"));
  LLMCORE_RETURN_IF_ERROR(
      Check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, ordinal_),
            "reading the device's attributes"));
  cudaDeviceProp properties;
  LLMCORE_RETURN_IF_ERROR(
      Check(cudaGetDeviceProperties(&properties, ordinal_), "reading the device's name"));
  description_ = absl::StrCat("cuda:", ordinal_, " (", properties.name, ", sm_", major, minor, ")");
  if (10 * major + minor < kLeastCapability) {
    return absl::UnavailableError(absl::StrCat(description_, " is too old: sm_80 or later"));
  }
  return Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
}

Device::~Device() {
  if (stream_ == nullptr) return;
  (void)cudaSetDevice(ordinal_);
  (void)cudaStreamDestroy(stream_);
  (void)cudaGetLastError();
}

absl::Status Device::Enter() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!broken_.ok()) return broken_;
  }
  return Check(cudaSetDevice(ordinal_), "selecting the device");
}

absl::Status Device::Check(cudaError_t error, absl::string_view operation) {
  if (error == cudaSuccess) [[likely]]
    return absl::OkStatus();
  absl::Status status = StatusOf(error, operation);
  if (LeavesDeviceIntact(error)) return status;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (broken_.ok()) broken_ = status;
  return broken_;
}

absl::Status Device::Synchronize(absl::string_view operation) {
  return Check(cudaStreamSynchronize(stream_), operation);
}

absl::Status Device::CopyToDevice(void* destination, std::span<const std::byte> host) {
  if (host.empty()) return absl::OkStatus();
  LLMCORE_RETURN_IF_ERROR(
      Check(cudaMemcpyAsync(destination, host.data(), host.size(), cudaMemcpyDefault, stream_),
            "copying to the device"));
  return Synchronize("copying to the device");
}

absl::Status Device::CopyToHost(std::span<std::byte> host, const void* source) {
  if (host.empty()) return absl::OkStatus();
  LLMCORE_RETURN_IF_ERROR(
      Check(cudaMemcpyAsync(host.data(), source, host.size(), cudaMemcpyDefault, stream_),
            "copying from the device"));
  return Synchronize("copying from the device");
}

absl::StatusOr<uint64_t> Device::FreeMemory() {
  LLMCORE_RETURN_IF_ERROR(Enter());
  size_t free = 0;
  size_t total = 0;
  LLMCORE_RETURN_IF_ERROR(Check(cudaMemGetInfo(&free, &total), "asking for free memory"));
  return uint64_t{free};
}

absl::StatusOr<std::unique_ptr<core::DeviceMemory>> AllocateOnDevice(std::shared_ptr<Device> device,
                                                                     uint64_t bytes) {
  return Allocate(std::move(device), bytes, /*pinned=*/false);
}

absl::StatusOr<std::unique_ptr<core::DeviceMemory>> AllocatePinned(std::shared_ptr<Device> device,
                                                                   uint64_t bytes) {
  return Allocate(std::move(device), bytes, /*pinned=*/true);
}

}  // namespace llmcore::cuda
