// One device with one stream: memory, and errors as statuses. A sticky error, after which the
// device gives no right answers any more, is remembered and returned by every later call.
#ifndef LLMCORE_CUDA_DEVICE_H_
#define LLMCORE_CUDA_DEVICE_H_

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "lib/backend/backend.h"
#include "lib/base/status.h"

namespace llmcore::cuda {

// What was asked of the device, with cudaGetLastError's state cleared, as a status:
// RESOURCE_EXHAUSTED, UNAVAILABLE or INTERNAL with the name of the error. OK for cudaSuccess.
absl::Status StatusOf(cudaError_t error, absl::string_view operation);

class Device {
 public:
  // UNAVAILABLE where there is no driver or no such device, or one that is too old (below sm_80).
  static absl::StatusOr<std::shared_ptr<Device>> Open(int ordinal);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // To be called first by every operation: makes the device the calling thread's. The error that
  // broke the device, if one did.
  absl::Status Enter() ABSL_LOCKS_EXCLUDED(mutex_);
  // The status of a call, and whether it breaks the device.
  absl::Status Check(cudaError_t error, absl::string_view operation) ABSL_LOCKS_EXCLUDED(mutex_);

  // Waits for all that was launched.
  absl::Status Synchronize(absl::string_view operation);
  // Both wait, since `host` memory is anybody's.
  absl::Status CopyToDevice(void* destination, std::span<const std::byte> host);
  absl::Status CopyToHost(std::span<std::byte> host, const void* source);

  absl::StatusOr<uint64_t> FreeMemory();

  cudaStream_t stream() const { return stream_; }
  int multiprocessors() const { return multiprocessors_; }
  const std::string& description() const { return description_; }

 private:
  explicit Device(int ordinal) : ordinal_(ordinal) {}
  absl::Status Initialize();

  const int ordinal_;
  cudaStream_t stream_ = nullptr;
  int multiprocessors_ = 0;
  std::string description_;
  std::mutex mutex_;
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);
};

// Zeroed memory of the device.
absl::StatusOr<std::unique_ptr<core::DeviceMemory>> AllocateOnDevice(std::shared_ptr<Device> device,
                                                                     uint64_t bytes);
// Zeroed memory of the host that stays where it is and that kernels reach.
absl::StatusOr<std::unique_ptr<core::DeviceMemory>> AllocatePinned(std::shared_ptr<Device> device,
                                                                   uint64_t bytes);

}  // namespace llmcore::cuda

#endif  // LLMCORE_CUDA_DEVICE_H_
