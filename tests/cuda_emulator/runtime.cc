// The runtime API on the host. Streams are queues which run when the host waits for them.
#include "tests/cuda_emulator/runtime.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "tests/cuda_emulator/launch.h"
#include "tests/cuda_emulator/sanitizers.h"

namespace cuda_emulator {
namespace {

constexpr size_t kGuard = 256;
constexpr size_t kAlignment = 256;  // as cudaMalloc's
constexpr int kPoison = 0xFF;
constexpr size_t kDefaultShared = size_t{48} << 10;
constexpr int kMostShared = 99 << 10;  // of sm_86 and sm_89, the smallest that is supported
constexpr uint64_t kDeviceBytes = uint64_t{8} << 30;

// What waits in a stream: a launch, a copy, or a fill. Not from operator new, which tests count.
struct Work {
  Work* next = nullptr;
  enum class Kind { kLaunch, kCopy, kFill } kind = Kind::kLaunch;
  Kernel kernel;
  Grid grid;
  void* to = nullptr;
  const void* from = nullptr;
  int value = 0;
  size_t bytes = 0;
};

struct Allocation {
  size_t bytes;
  bool on_host;
};

struct Device {
  std::mutex mutex;
  cudaError_t sticky = cudaSuccess;
  cudaError_t last = cudaSuccess;
  std::string fault;
  std::map<std::byte*, Allocation> allocations;
  std::map<const void*, int> shared_limits;
  std::vector<Stream*> streams;
  uint64_t allocated = 0;
  uint64_t pinned = 0;
  uint64_t most_pinned = 0;
  uint64_t seed = 1;
  int64_t calls = 0;
  int64_t launches = 0;
  int64_t waits = 0;
  int64_t fail_at = -1;
  cudaError_t failure = cudaSuccess;
  int count = 1;
};

Device& TheDevice() {
  static Device device;
  return device;
}

// The status that a call begins with: what was injected, or what broke the device before.
cudaError_t Begin(Device& device) {
  ++device.calls;
  cudaError_t error = device.sticky;
  if (device.calls == device.fail_at) {
    error = device.failure;
    if (error == cudaErrorLaunchFailure || error == cudaErrorIllegalAddress) device.sticky = error;
  }
  if (error != cudaSuccess) device.last = error;
  return error;
}

cudaError_t Refuse(Device& device, cudaError_t error) {
  device.last = error;
  return error;
}

// Bytes from `data` to the end of the allocation that holds it; none, where it is the host's own,
// which real devices call pageable.
std::optional<size_t> BytesLeft(const Device& device, const void* data) {
  auto* begin = static_cast<std::byte*>(const_cast<void*>(data));
  auto after = device.allocations.upper_bound(begin);
  if (after == device.allocations.begin()) return std::nullopt;
  --after;
  const size_t offset = static_cast<size_t>(begin - after->first);
  if (offset >= after->second.bytes) return std::nullopt;
  return after->second.bytes - offset;
}

// Whether [data, data + bytes) leaves the allocation that it begins in.
bool Overruns(const Device& device, const void* data, size_t bytes) {
  const std::optional<size_t> left = BytesLeft(device, data);
  return left.has_value() && bytes > *left;
}

void SetGuards(std::byte* data, size_t bytes) {
  std::memset(data - kGuard, kPoison, kGuard);
  std::memset(data + bytes, kPoison, kGuard);
  PoisonMemory(data - kGuard, kGuard);
  PoisonMemory(data + bytes, kGuard);
}

bool GuardIntact(const std::byte* guard) {
  UnpoisonMemory(guard, kGuard);
  bool intact = true;
  for (size_t i = 0; i < kGuard; ++i) intact &= guard[i] == std::byte{kPoison};
  PoisonMemory(guard, kGuard);
  return intact;
}

// Names the first allocation that something was written beside.
bool AllGuardsIntact(Device& device, const char* what) {
  for (const auto& [data, allocation] : device.allocations) {
    const bool before = GuardIntact(data - kGuard);
    const bool after = GuardIntact(data + allocation.bytes);
    if (before && after) continue;
    char text[160];
    std::snprintf(text, sizeof text, "%s wrote %s an allocation of %zu bytes", what,
                  before ? "behind" : "before", allocation.bytes);
    device.fault = text;
    SetGuards(data, allocation.bytes);
    return false;
  }
  return true;
}

cudaError_t RunWork(Device& device, const Work& work) {
  if (work.kind == Work::Kind::kCopy) {
    if (work.bytes > 0) std::memcpy(work.to, work.from, work.bytes);
  } else if (work.kind == Work::Kind::kFill) {
    std::memset(work.to, work.value, work.bytes);
  } else {
    char fault[384];
    if (!RunGrid(work.kernel, work.grid, fault, sizeof fault)) {
      device.fault = fault;
      return cudaErrorLaunchFailure;
    }
    if (!AllGuardsIntact(device, "a kernel")) return cudaErrorLaunchFailure;
  }
  return cudaSuccess;
}

void RunAllStreams(Device& device);

cudaError_t Allocate(void** data, size_t bytes, bool on_host) {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  if (const cudaError_t error = Begin(device); error != cudaSuccess) return error;
  const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (bytes > kDeviceBytes || device.allocated + bytes > kDeviceBytes) {
    return Refuse(device, cudaErrorMemoryAllocation);
  }
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded + 2 * kGuard));
  if (memory == nullptr) return Refuse(device, cudaErrorMemoryAllocation);
  std::byte* const begin = memory + kGuard;
  std::memset(begin, kPoison, bytes);
  SetGuards(begin, bytes);
  device.allocations[begin] = {bytes, on_host};
  (on_host ? device.pinned : device.allocated) += bytes;
  device.most_pinned = std::max(device.most_pinned, device.pinned);
  *data = begin;
  return cudaSuccess;
}

cudaError_t Free(void* data, bool on_host) {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  ++device.calls;  // freeing goes on after a fault, so that nothing leaks here
  RunAllStreams(
      device);  // freeing waits for what may use the memory; nothing of a broken device runs
  if (data == nullptr) return device.sticky;
  const auto found = device.allocations.find(static_cast<std::byte*>(data));
  if (found == device.allocations.end() || found->second.on_host != on_host) {
    return Refuse(device, cudaErrorInvalidValue);
  }
  std::byte* const begin = found->first;
  (on_host ? device.pinned : device.allocated) -= found->second.bytes;
  UnpoisonMemory(begin - kGuard, found->second.bytes + 2 * kGuard);
  device.allocations.erase(found);
  std::free(begin - kGuard);
  return device.sticky;
}

}  // namespace

class Stream {
 public:
  void Add(Work* work) {
    *end_ = work;
    end_ = &work->next;
  }
  cudaError_t Run(Device& device) {
    cudaError_t error = device.sticky;
    while (first_ != nullptr) {
      Work* work = first_;
      first_ = work->next;
      if (first_ == nullptr) end_ = &first_;
      if (error == cudaSuccess) error = device.sticky = RunWork(device, *work);
      std::free(work);
    }
    if (error != cudaSuccess) device.last = error;
    return error;
  }

 private:
  Work* first_ = nullptr;
  Work** end_ = &first_;
};

namespace {

void RunAllStreams(Device& device) {
  for (Stream* stream : device.streams) (void)stream->Run(device);
}

Work* NewWork(size_t more) {
  void* memory = std::malloc(sizeof(Work) + more);
  return memory == nullptr ? nullptr : new (memory) Work;
}

}  // namespace

std::string LastFault() {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  return TheDevice().fault;
}

void ResetDevice() {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  // What a broken device was still asked for is dropped with it.
  if (device.sticky != cudaSuccess) RunAllStreams(device);
  device.sticky = device.last = cudaSuccess;
  device.fault.clear();
  device.fail_at = -1;
  device.count = 1;
}

void SetSeed(uint64_t seed) {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  TheDevice().seed = seed;
}

void FailCall(int64_t call, int error) {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  device.fail_at = device.calls + call;
  device.failure = static_cast<cudaError_t>(error);
}

int64_t Calls() {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  return TheDevice().calls;
}

int64_t Launches() {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  return TheDevice().launches;
}

int64_t Waits() {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  return TheDevice().waits;
}

uint64_t AllocatedBytes() {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  return TheDevice().allocated;
}

uint64_t MostPinnedBytes() {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  return std::exchange(device.most_pinned, device.pinned);
}

std::vector<std::byte> PinnedContents() {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  std::vector<std::byte> contents;
  for (const auto& [data, allocation] : device.allocations) {
    if (allocation.on_host) contents.insert(contents.end(), data, data + allocation.bytes);
  }
  return contents;
}

void SetDeviceCount(int count) {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  TheDevice().count = count;
}

namespace {

struct Vote {
  bool predicate;
  uint32_t result;
};

void MeetVote(void* const* operands, uint32_t mask) {
  uint32_t votes = 0;
  for (uint32_t lane = 0; lane < kWarp; ++lane) {
    if (operands[lane] != nullptr && static_cast<const Vote*>(operands[lane])->predicate) {
      votes |= 1u << lane;
    }
  }
  for (uint32_t lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) != 0) static_cast<Vote*>(operands[lane])->result = votes;
  }
}

}  // namespace

uint32_t Ballot(uint32_t mask, bool predicate) {
  Vote vote = {predicate, 0};
  WarpMeet(mask, &vote, MeetVote);
  return vote.result;
}

cudaError_t SetSharedLimit(const void* kernel, int bytes) {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  if (const cudaError_t error = Begin(device); error != cudaSuccess) return error;
  if (bytes < 0 || bytes > kMostShared) return Refuse(device, cudaErrorInvalidValue);
  device.shared_limits[kernel] = bytes;
  return cudaSuccess;
}

cudaError_t QueueLaunch(const cudaLaunchConfig_t& config, const void* kernel,
                        void (*call)(const void*), const void* closure, size_t bytes) {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  if (const cudaError_t error = Begin(device); error != cudaSuccess) return error;
  const dim3 g = config.gridDim;
  const dim3 b = config.blockDim;
  const auto limit = device.shared_limits.find(kernel);
  const size_t shared = limit == device.shared_limits.end() ? kDefaultShared
                        : limit->second > static_cast<int>(kDefaultShared)
                            ? static_cast<size_t>(limit->second)
                            : kDefaultShared;
  const uint64_t threads = uint64_t{b.x} * b.y * b.z;
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > 0x7FFFFFFFu || g.y > 65535 || g.z > 65535 ||
      threads == 0 || threads > 1024 || config.dynamicSmemBytes > shared || bytes > 4096 + 64) {
    return Refuse(device, cudaErrorInvalidValue);
  }
  Work* work = NewWork(bytes);
  if (work == nullptr) return Refuse(device, cudaErrorMemoryAllocation);
  std::memcpy(static_cast<void*>(work + 1), closure, bytes);
  work->kernel = {call, work + 1, ""};
  work->grid = {{g.x, g.y, g.z}, {b.x, b.y, b.z}, config.dynamicSmemBytes, ++device.seed};
  config.stream->Add(work);
  ++device.launches;
  return cudaSuccess;
}

}  // namespace cuda_emulator

using cuda_emulator::TheDevice;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
  }
  return "unknown";
}

const char* cudaGetErrorString(cudaError_t error) {
  return cudaGetErrorName(error);
}

cudaError_t cudaGetLastError() {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  const cudaError_t last = TheDevice().last;
  TheDevice().last = TheDevice().sticky;
  return last;
}

cudaError_t cudaGetDeviceCount(int* count) {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  if (const cudaError_t error = Begin(TheDevice()); error != cudaSuccess) return error;
  *count = TheDevice().count;
  return *count > 0 ? cudaSuccess : Refuse(TheDevice(), cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device) {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  if (const cudaError_t error = Begin(TheDevice()); error != cudaSuccess) return error;
  return device >= 0 && device < TheDevice().count ? cudaSuccess
                                                   : Refuse(TheDevice(), cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  if (const cudaError_t error = Begin(TheDevice()); error != cudaSuccess) return error;
  std::snprintf(properties->name, sizeof properties->name, "emulator");
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  if (const cudaError_t error = Begin(TheDevice()); error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = 4;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 8;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = cuda_emulator::kMostShared;
      break;
  }
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  if (const cudaError_t error = Begin(TheDevice()); error != cudaSuccess) return error;
  *total = cuda_emulator::kDeviceBytes;
  *free = cuda_emulator::kDeviceBytes - TheDevice().allocated;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** data, size_t bytes) {
  return cuda_emulator::Allocate(data, bytes, false);
}

cudaError_t cudaFree(void* data) {
  return cuda_emulator::Free(data, false);
}

cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) {
  return cuda_emulator::Allocate(data, bytes, true);
}

cudaError_t cudaFreeHost(void* data) {
  return cuda_emulator::Free(data, true);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  using cuda_emulator::Work;
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  if (const cudaError_t error = Begin(TheDevice()); error != cudaSuccess) return error;
  if (Overruns(TheDevice(), to, bytes) || Overruns(TheDevice(), from, bytes)) {
    return Refuse(TheDevice(), cudaErrorInvalidValue);
  }
  // The host may do with its own memory what it likes when this returns: what comes from there is
  // read now, and what goes there is written now.
  const bool from_host = !BytesLeft(TheDevice(), from).has_value();
  const bool to_host = !BytesLeft(TheDevice(), to).has_value();
  Work* work = cuda_emulator::NewWork(from_host ? bytes : 0);
  if (work == nullptr) return Refuse(TheDevice(), cudaErrorMemoryAllocation);
  if (from_host && bytes > 0) from = std::memcpy(static_cast<void*>(work + 1), from, bytes);
  work->kind = Work::Kind::kCopy;
  work->to = to;
  work->from = from;
  work->bytes = bytes;
  stream->Add(work);
  return to_host ? stream->Run(TheDevice()) : cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  using cuda_emulator::Work;
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  if (const cudaError_t error = Begin(TheDevice()); error != cudaSuccess) return error;
  if (Overruns(TheDevice(), to, bytes)) return Refuse(TheDevice(), cudaErrorInvalidValue);
  Work* work = cuda_emulator::NewWork(0);
  if (work == nullptr) return Refuse(TheDevice(), cudaErrorMemoryAllocation);
  work->kind = Work::Kind::kFill;
  work->to = to;
  work->value = value;
  work->bytes = bytes;
  stream->Add(work);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  if (const cudaError_t error = Begin(TheDevice()); error != cudaSuccess) return error;
  *stream = new cuda_emulator::Stream;
  TheDevice().streams.push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  ++TheDevice().calls;
  stream->Run(TheDevice());
  std::vector<cuda_emulator::Stream*>& streams = TheDevice().streams;
  streams.erase(std::find(streams.begin(), streams.end(), stream));
  delete stream;
  return TheDevice().sticky;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  if (const cudaError_t error = Begin(TheDevice()); error != cudaSuccess) return error;
  ++TheDevice().waits;
  return stream->Run(TheDevice());
}
