// The runtime API on the host. Streams are queues which run when the host waits for them.
#include "tests/cuda_emulator/runtime.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
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
  size_t more = 0;  // bytes behind the struct: a launch's arguments, or what a copy took along
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
  int64_t graph_launches = 0;
  int64_t graph_nodes = 0;
  int64_t captures = 0;
  int64_t graphs = 0;
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
cudaError_t RefuseInCapture(Device& device);

cudaError_t Allocate(void** data, size_t bytes, bool on_host) {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  if (const cudaError_t error = Begin(device); error != cudaSuccess) return error;
  if (const cudaError_t error = RefuseInCapture(device); error != cudaSuccess) return error;
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
  if (const cudaError_t error = RefuseInCapture(device); error != cudaSuccess) return error;
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

// A list of work, and its end.
class WorkList {
 public:
  WorkList() = default;
  WorkList(const WorkList&) = delete;
  WorkList& operator=(const WorkList&) = delete;
  ~WorkList() {
    while (Work* work = Pop()) std::free(work);
  }

  Work* first() const { return first_; }
  void Add(Work* work) {
    *end_ = work;
    end_ = &work->next;
  }
  Work* Pop() {
    Work* work = first_;
    if (work == nullptr) return nullptr;
    first_ = work->next;
    if (first_ == nullptr) end_ = &first_;
    return work;
  }
  // Adds a copy of each of the others. False when there is no memory for all of them.
  bool AddCopiesOf(const WorkList& other);

 private:
  Work* first_ = nullptr;
  Work** end_ = &first_;
};

class Graph {
 public:
  WorkList nodes;
};
class GraphExec {
 public:
  WorkList nodes;
};

class Stream {
 public:
  // To the stream, or to what it captures.
  void Add(Work* work) { (capture_ != nullptr ? capture_->nodes : queue_).Add(work); }

  cudaError_t Run(Device& device) {
    cudaError_t error = device.sticky;
    while (Work* work = queue_.Pop()) {
      if (error == cudaSuccess) error = device.sticky = RunWork(device, *work);
      std::free(work);
    }
    if (error != cudaSuccess) device.last = error;
    return error;
  }

  cudaError_t Launch(Device& device, const GraphExec& exec) {
    WorkList copies;
    if (!copies.AddCopiesOf(exec.nodes)) return Refuse(device, cudaErrorMemoryAllocation);
    while (Work* work = copies.Pop()) {
      work->next = nullptr;
      if (work->kind == Work::Kind::kLaunch) work->grid.seed = ++device.seed;
      ++device.graph_nodes;
      queue_.Add(work);
    }
    ++device.graph_launches;
    return cudaSuccess;
  }

  bool captures() const { return capture_ != nullptr; }
  bool CapturesOf(std::thread::id thread) const { return captures() && thread_ == thread; }
  bool invalidated() const { return invalidated_; }
  void Invalidate() { invalidated_ = true; }
  void BeginCapture() {
    capture_ = new Graph;
    thread_ = std::this_thread::get_id();
    invalidated_ = false;
  }
  Graph* EndCapture() { return std::exchange(capture_, nullptr); }

 private:
  WorkList queue_;
  Graph* capture_ = nullptr;
  std::thread::id thread_;  // that captures
  bool invalidated_ = false;
};

namespace {

void RunAllStreams(Device& device) {
  for (Stream* stream : device.streams) (void)stream->Run(device);
}

Work* NewWork(size_t more) {
  void* memory = std::malloc(sizeof(Work) + more);
  if (memory == nullptr) return nullptr;
  Work* work = new (memory) Work;
  work->more = more;
  return work;
}

Work* CopyOf(const Work& work) {
  Work* copy = NewWork(work.more);
  if (copy == nullptr) return nullptr;
  *copy = work;
  copy->next = nullptr;
  std::memcpy(static_cast<void*>(copy + 1), static_cast<const void*>(&work + 1), work.more);
  if (work.kind == Work::Kind::kLaunch) copy->kernel.arguments = copy + 1;
  return copy;
}

// What would wait, allocate or free is not for a thread that captures, and spoils the capture.
cudaError_t RefuseInCapture(Device& device) {
  for (Stream* stream : device.streams) {
    if (!stream->CapturesOf(std::this_thread::get_id())) continue;
    stream->Invalidate();
    return Refuse(device, cudaErrorStreamCaptureUnsupported);
  }
  return cudaSuccess;
}

// Whether work may be added to `stream`: a spoiled capture takes no more.
cudaError_t BeginWork(Device& device, const Stream& stream) {
  if (const cudaError_t error = Begin(device); error != cudaSuccess) return error;
  if (stream.captures() && stream.invalidated()) {
    return Refuse(device, cudaErrorStreamCaptureInvalidated);
  }
  return cudaSuccess;
}

}  // namespace

bool WorkList::AddCopiesOf(const WorkList& other) {
  for (const Work* work = other.first(); work != nullptr; work = work->next) {
    Work* copy = CopyOf(*work);
    if (copy == nullptr) return false;
    Add(copy);
  }
  return true;
}

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

int64_t GraphLaunches() {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  return TheDevice().graph_launches;
}

int64_t GraphNodes() {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  return TheDevice().graph_nodes;
}

int64_t Captures() {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  return TheDevice().captures;
}

int64_t Graphs() {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  return TheDevice().graphs;
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
  if (const cudaError_t error = BeginWork(device, *config.stream); error != cudaSuccess)
    return error;
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
  if (!config.stream->captures()) ++device.launches;
  config.stream->Add(work);
  return cudaSuccess;
}

}  // namespace cuda_emulator

using cuda_emulator::Device;
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
    case cudaErrorIllegalState:
      return "cudaErrorIllegalState";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureUnmatched:
      return "cudaErrorStreamCaptureUnmatched";
    case cudaErrorStreamCaptureWrongThread:
      return "cudaErrorStreamCaptureWrongThread";
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
  if (const cudaError_t error = cuda_emulator::BeginWork(TheDevice(), *stream);
      error != cudaSuccess) {
    return error;
  }
  if (Overruns(TheDevice(), to, bytes) || Overruns(TheDevice(), from, bytes)) {
    return Refuse(TheDevice(), cudaErrorInvalidValue);
  }
  // The host may do with its own memory what it likes when this returns: what comes from there is
  // read now, and what goes there is written now.
  const bool from_host = !BytesLeft(TheDevice(), from).has_value();
  const bool to_host = !BytesLeft(TheDevice(), to).has_value();
  // A copy of a graph reads and writes memory when it is run, which the host's own may not outlive.
  if (stream->captures() && (from_host || to_host)) {
    return cuda_emulator::RefuseInCapture(TheDevice());
  }
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
  if (const cudaError_t error = cuda_emulator::BeginWork(TheDevice(), *stream);
      error != cudaSuccess) {
    return error;
  }
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
  delete stream->EndCapture();
  std::vector<cuda_emulator::Stream*>& streams = TheDevice().streams;
  streams.erase(std::find(streams.begin(), streams.end(), stream));
  delete stream;
  return TheDevice().sticky;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  if (const cudaError_t error = Begin(TheDevice()); error != cudaSuccess) return error;
  if (stream->captures()) {
    stream->Invalidate();
    return Refuse(TheDevice(), cudaErrorStreamCaptureUnsupported);
  }
  ++TheDevice().waits;
  return stream->Run(TheDevice());
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  const std::lock_guard<std::mutex> lock(TheDevice().mutex);
  if (const cudaError_t error = Begin(TheDevice()); error != cudaSuccess) return error;
  if (stream->captures()) return Refuse(TheDevice(), cudaErrorIllegalState);
  stream->BeginCapture();
  return cudaSuccess;
}

// Ends the capture whatever it returns, but for another thread's.
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  *graph = nullptr;
  cudaError_t error = Begin(device);
  if (!stream->captures()) {
    return error != cudaSuccess ? error : Refuse(device, cudaErrorStreamCaptureUnmatched);
  }
  if (!stream->CapturesOf(std::this_thread::get_id())) {
    return Refuse(device, cudaErrorStreamCaptureWrongThread);
  }
  if (error == cudaSuccess && stream->invalidated()) {
    error = Refuse(device, cudaErrorStreamCaptureInvalidated);
  }
  cudaGraph_t captured = stream->EndCapture();
  if (error != cudaSuccess) {
    delete captured;
    return error;
  }
  ++device.captures;
  ++device.graphs;
  *graph = captured;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  if (const cudaError_t error = Begin(device); error != cudaSuccess) return error;
  auto* made = new cuda_emulator::GraphExec;
  if (!made->nodes.AddCopiesOf(graph->nodes)) {
    delete made;
    return Refuse(device, cudaErrorMemoryAllocation);
  }
  ++device.graphs;
  *exec = made;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  if (const cudaError_t error = Begin(device); error != cudaSuccess) return error;
  if (stream->captures()) return Refuse(device, cudaErrorStreamCaptureUnsupported);
  return stream->Launch(device, *exec);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  ++device.calls;
  --device.graphs;
  delete exec;
  return device.sticky;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  Device& device = TheDevice();
  const std::lock_guard<std::mutex> lock(device.mutex);
  ++device.calls;
  --device.graphs;
  delete graph;
  return device.sticky;
}
