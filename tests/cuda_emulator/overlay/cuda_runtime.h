// What cuda/ uses of the toolkit's header of this name, for the emulator: the language as far as a
// C++ compiler can have it, and the runtime API over runtime.cc.
#ifndef LLMCORE_TESTS_CUDA_EMULATOR_CUDA_RUNTIME_H_
#define LLMCORE_TESTS_CUDA_EMULATOR_CUDA_RUNTIME_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <tuple>
#include <utility>

#include "tests/cuda_emulator/block.h"
#include "tests/cuda_emulator/runtime.h"

// ---- Language ----------------------------------------------------------------------------------

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)
#define __grid_constant__
// A block stays on one OS thread, which runs one at a time.
#define __shared__ static thread_local

namespace cuda_emulator {

// A number that depends on the thread that reads it.
template <Index Place::*kIndex, uint32_t Index::*kComponent>
struct Component {
  operator uint32_t() const { return Here().*kIndex.*kComponent; }
};
template <Index Place::*kIndex>
struct IndexVariable {
  Component<kIndex, &Index::x> x;
  Component<kIndex, &Index::y> y;
  Component<kIndex, &Index::z> z;
};

}  // namespace cuda_emulator

inline constexpr ::cuda_emulator::IndexVariable<& ::cuda_emulator::Place::thread> threadIdx = {};
inline constexpr ::cuda_emulator::IndexVariable<& ::cuda_emulator::Place::block> blockIdx = {};
inline constexpr ::cuda_emulator::IndexVariable<& ::cuda_emulator::Place::block_size> blockDim = {};
inline constexpr ::cuda_emulator::IndexVariable<& ::cuda_emulator::Place::grid_size> gridDim = {};

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) {
  return {x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz) {}
};

inline void __syncthreads() {
  ::cuda_emulator::BlockBarrier();
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) {
  ::cuda_emulator::WarpBarrier(mask);
}
inline void __threadfence() {
  ::cuda_emulator::MemoryFence();
}

namespace cuda_emulator {

template <typename T>
struct Shuffle {
  T value;
  uint32_t from;
  T result;
};

template <typename T>
CUDA_EMULATOR_MEET void MeetShuffle(void* const* operands, uint32_t mask) {
  for (uint32_t lane = 0; lane < kWarp; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    auto* own = static_cast<Shuffle<T>*>(operands[lane]);
    const auto* other = static_cast<const Shuffle<T>*>(operands[own->from]);
    if (other == nullptr) Fault("a shuffle reads lane %u, outside of mask %08x", own->from, mask);
    own->result = other->value;
  }
}

template <typename T>
T ShuffleFrom(uint32_t mask, T value, uint32_t from) {
  Shuffle<T> operand = {value, from, value};
  WarpMeet(mask, &operand, MeetShuffle<T>);
  return operand.result;
}

uint32_t Ballot(uint32_t mask, bool predicate);

}  // namespace cuda_emulator

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane) {
  return ::cuda_emulator::ShuffleFrom(mask, value, static_cast<uint32_t>(lane) % 32);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return ::cuda_emulator::ShuffleFrom(mask, value,
                                      ::cuda_emulator::Here().lane ^ static_cast<uint32_t>(bits));
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
  const uint32_t lane = ::cuda_emulator::Here().lane;
  return ::cuda_emulator::ShuffleFrom(mask, value, lane + delta < 32 ? lane + delta : lane);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta) {
  const uint32_t lane = ::cuda_emulator::Here().lane;
  return ::cuda_emulator::ShuffleFrom(mask, value, lane >= delta ? lane - delta : lane);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return ::cuda_emulator::Ballot(mask, predicate != 0);
}
inline int __any_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) == mask;
}

template <typename T>
T atomicAdd(T* address, T value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
template <typename T>
T atomicExch(T* address, T value) {
  return __atomic_exchange_n(address, value, __ATOMIC_RELAXED);
}
template <typename T>
T atomicMin(T* address, T value) {
  T old = __atomic_load_n(address, __ATOMIC_RELAXED);
  while (value < old && !__atomic_compare_exchange_n(address, &old, value, true, __ATOMIC_RELAXED,
                                                     __ATOMIC_RELAXED)) {
  }
  return old;
}

// The compiler is told not to contract, so that these are what they say.
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __fmaf_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}
inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline int min(int a, int b) {
  return a < b ? a : b;
}
inline int max(int a, int b) {
  return a > b ? a : b;
}
inline float rsqrtf(float value) {
  return 1 / std::sqrt(value);
}

// ---- Runtime API -------------------------------------------------------------------------------

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorIllegalState = 401,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchFailure = 719,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorStreamCaptureUnmatched = 903,
  cudaErrorStreamCaptureWrongThread = 908,
};
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2
};
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
constexpr unsigned cudaStreamNonBlocking = 1;
constexpr unsigned cudaHostAllocDefault = 0;

using cudaStream_t = ::cuda_emulator::Stream*;
using cudaGraph_t = ::cuda_emulator::Graph*;
using cudaGraphExec_t = ::cuda_emulator::GraphExec*;
struct cudaLaunchAttribute;
struct cudaLaunchConfig_t {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};
struct cudaDeviceProp {
  char name[256];
};

const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaMalloc(void** data, size_t bytes);
cudaError_t cudaFree(void* data);
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void* data);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

namespace cuda_emulator {
cudaError_t SetSharedLimit(const void* kernel, int bytes);
// Queues a launch whose closure of `bytes` is copied as it is.
cudaError_t QueueLaunch(const cudaLaunchConfig_t& config, const void* kernel,
                        void (*call)(const void*), const void* closure, size_t bytes);

template <typename... Parameters>
struct Closure {
  void (*kernel)(Parameters...);
  std::tuple<Parameters...> arguments;
  static void Call(const void* self) {
    const auto* closure = static_cast<const Closure*>(self);
    std::apply(closure->kernel, closure->arguments);
  }
};
}  // namespace cuda_emulator

template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int value) {
  return ::cuda_emulator::SetSharedLimit(reinterpret_cast<const void*>(kernel), value);
}
template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  using Closure = ::cuda_emulator::Closure<Parameters...>;
  const Closure closure = {kernel,
                           std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)};
  return ::cuda_emulator::QueueLaunch(*config, reinterpret_cast<const void*>(kernel), Closure::Call,
                                      &closure, sizeof closure);
}

#endif  // LLMCORE_TESTS_CUDA_EMULATOR_CUDA_RUNTIME_H_
