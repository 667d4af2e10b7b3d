// The emulator computes what the language promises, and notices each kind of fault that it is there
// to notice. A fault that it misses is a failure here.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "cuda/kernels/common/launch.cuh"
#include "cuda/kernels/common/ptx.cuh"
#include "lib/tensor/float16.h"
#include "tests/cuda_emulator/runtime.h"
#include "tests/support/sanitized_build.h"

namespace llmcore::cuda {
namespace {

// Device memory of one test, read and written through a stream that is waited for.
class EmulatorTest : public testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    cuda_emulator::ResetDevice();
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    for (void* data : allocations_) (void)cudaFree(data);
    (void)cudaStreamDestroy(stream_);
    cuda_emulator::ResetDevice();
  }

  template <typename T>
  T* Allocate(size_t count) {
    void* data = nullptr;
    EXPECT_EQ(cudaMalloc(&data, count * sizeof(T)), cudaSuccess);
    allocations_.push_back(data);
    return static_cast<T*>(data);
  }
  template <typename T>
  T* Upload(const std::vector<T>& values) {
    T* data = Allocate<T>(values.size());
    EXPECT_EQ(
        cudaMemcpyAsync(data, values.data(), values.size() * sizeof(T), cudaMemcpyDefault, stream_),
        cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    return data;
  }
  template <typename T>
  std::vector<T> Download(const T* data, size_t count) {
    std::vector<T> values(count);
    EXPECT_EQ(cudaMemcpyAsync(values.data(), data, count * sizeof(T), cudaMemcpyDefault, stream_),
              cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    return values;
  }
  template <typename Params>
  cudaError_t Run(void (*kernel)(Params), int blocks, int threads, size_t shared,
                  const Params& params) {
    const cudaError_t error = Launch(kernel, dim3(static_cast<unsigned>(blocks)),
                                     dim3(static_cast<unsigned>(threads)), shared, stream_, params);
    return error != cudaSuccess ? error : cudaStreamSynchronize(stream_);
  }
  // Fails its launch, and says why.
  template <typename Params>
  void ExpectFault(void (*kernel)(Params), int threads, size_t shared, const Params& params,
                   const std::string& says) {
    EXPECT_EQ(Run(kernel, 1, threads, shared, params), cudaErrorLaunchFailure);
    EXPECT_NE(cuda_emulator::LastFault().find(says), std::string::npos)
        << cuda_emulator::LastFault();
    // A device that broke stays broken.
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorLaunchFailure);
    cuda_emulator::ResetDevice();
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  }

  cudaStream_t stream_ = nullptr;
  std::vector<void*> allocations_;
};

struct Buffers {
  const float* in;
  float* out;
  int count;
  int variant;
};

// ---- What is right -----------------------------------------------------------------------------

__global__ void ReverseInBlocks(const Buffers p) {
  auto* shared = reinterpret_cast<float*>(DynamicShared());
  const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
  shared[threadIdx.x] = p.in[at];
  __syncthreads();
  p.out[at] = shared[blockDim.x - 1 - threadIdx.x];
}

TEST_F(EmulatorTest, BarriersAndSharedMemoryWorkOverManyBlocks) {
  std::vector<float> values(64 * 256);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  float* out = Allocate<float>(values.size());
  ASSERT_EQ(Run(ReverseInBlocks, 64, 256, 1024, {Upload(values), out, 0, 0}), cudaSuccess);
  const std::vector<float> result = Download(out, values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(result[i], values[i / 256 * 256 + 255 - i % 256]);
  }
}

__global__ void StaticSharedSum(const Buffers p) {
  __shared__ float values[64];
  values[threadIdx.x] = p.in[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  for (unsigned half = 32; half > 0; half /= 2) {
    if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) p.out[blockIdx.x] = values[0];
}

TEST_F(EmulatorTest, StaticSharedMemoryIsOfTheBlock) {
  const std::vector<float> ones(64 * 50, 1.0f);
  float* out = Allocate<float>(50);
  ASSERT_EQ(Run(StaticSharedSum, 50, 64, 0, {Upload(ones), out, 0, 0}), cudaSuccess);
  EXPECT_EQ(Download(out, 50), std::vector<float>(50, 64.0f));
}

__global__ void WarpOperations(const Buffers p) {
  const unsigned lane = threadIdx.x % 32;
  float sum = p.in[threadIdx.x];
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, bits);
  const float broadcast = __shfl_sync(0xFFFFFFFFu, p.in[threadIdx.x], 5);
  const float down = __shfl_down_sync(0xFFFFFFFFu, p.in[threadIdx.x], 3u);
  const float up = __shfl_up_sync(0xFFFFFFFFu, p.in[threadIdx.x], 1u);
  const unsigned odd = __ballot_sync(0xFFFFFFFFu, lane % 2);
  // Halves of a warp that go their own ways.
  float half = 0;
  if (lane < 16) {
    half = __shfl_xor_sync(0x0000FFFFu, sum, 1);
  } else {
    half = __shfl_xor_sync(0xFFFF0000u, sum, 2);
  }
  const bool fine = odd == 0xAAAAAAAAu && half == sum && __any_sync(0xFFFFFFFFu, lane == 7) &&
                    !__all_sync(0xFFFFFFFFu, lane == 7);
  float* out = p.out + threadIdx.x * 5;
  out[0] = sum;
  out[1] = broadcast;
  out[2] = down;
  out[3] = up;
  out[4] = fine ? 1.0f : 0.0f;
}

TEST_F(EmulatorTest, ShufflesAndVotesAreThoseOfTheWarp) {
  std::vector<float> values(64);
  for (size_t i = 0; i < 64; ++i) values[i] = static_cast<float>(i);
  float* out = Allocate<float>(64 * 5);
  ASSERT_EQ(Run(WarpOperations, 1, 64, 0, {Upload(values), out, 0, 0}), cudaSuccess)
      << cuda_emulator::LastFault();
  const std::vector<float> result = Download(out, 64 * 5);
  for (size_t i = 0; i < 64; ++i) {
    const size_t warp = i / 32 * 32;
    EXPECT_EQ(result[i * 5], static_cast<float>(warp * 32 + 496));
    EXPECT_EQ(result[i * 5 + 1], static_cast<float>(warp + 5));
    EXPECT_EQ(result[i * 5 + 2], static_cast<float>(i % 32 < 29 ? i + 3 : i));
    EXPECT_EQ(result[i * 5 + 3], static_cast<float>(i % 32 > 0 ? i - 1 : i));
    EXPECT_EQ(result[i * 5 + 4], 1.0f);
  }
}

struct Counters {
  unsigned* counter;
  unsigned* least;
};

__global__ void Count(const Counters p) {
  atomicAdd(p.counter, 1u);
  atomicMin(p.least, 1000u - blockIdx.x);
}

TEST_F(EmulatorTest, AtomicsMeetAcrossBlocks) {
  unsigned* numbers = Upload(std::vector<unsigned>{0, 0xFFFFFFFFu});
  ASSERT_EQ(Run(Count, 40, 96, 0, {numbers, numbers + 1}), cudaSuccess);
  EXPECT_EQ(Download(numbers, 2), (std::vector<unsigned>{40 * 96, 1000 - 39}));
}

struct Matrices {
  const uint32_t* a;  // [16][8] pairs, row-major
  const uint32_t* b;  // [8][8] pairs: columns of b, each 16 values
  float* d;           // [16][8]
  int variant;        // 0: bf16, 1: f16, 2: bf16 with a through ldmatrix
};

__global__ void Multiply(const Matrices p) {
  const int lane = static_cast<int>(threadIdx.x);
  const int g = lane / 4;
  const int t = lane % 4;
  uint32_t a[4] = {p.a[g * 8 + t], p.a[(g + 8) * 8 + t], p.a[g * 8 + t + 4],
                   p.a[(g + 8) * 8 + t + 4]};
  if (p.variant == 2) {
    auto* shared = reinterpret_cast<uint32_t*>(DynamicShared());
    for (int i = lane; i < 16 * 8; i += 32) shared[i] = p.a[i];
    __syncwarp();
    // Matrices 0 to 3: rows 0-7 and 8-15 of the left half, then of the right one.
    LoadMatrix4(a, shared + (lane % 16) * 8 + lane / 16 * 4);
  }
  const uint32_t b[2] = {p.b[g * 8 + t], p.b[g * 8 + t + 4]};
  float d[4] = {0.5f, 0, 0, 0};
  if (p.variant == 1) {
    MmaF16(d, a, b);
  } else {
    MmaBf16(d, a, b);
  }
  for (int i = 0; i < 4; ++i) p.d[(g + i / 2 * 8) * 8 + t * 2 + i % 2] = d[i];
}

TEST_F(EmulatorTest, TensorCoresMultiplyAsThePtxManualSays) {
  float a[16][16];
  float b[16][8];
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 16; ++k) a[i][k] = static_cast<float>((i * 7 + k * 3) % 11 - 5);
    for (int n = 0; n < 8; ++n) b[i][n] = static_cast<float>((i * 5 + n * 2) % 9 - 4);
  }
  for (const int variant : {0, 1, 2}) {
    const auto bits = [&](float v) -> uint32_t {
      return variant == 1 ? F32ToF16(v) : F32ToBf16(v);
    };
    std::vector<uint32_t> pairs_a(16 * 8);
    std::vector<uint32_t> pairs_b(8 * 8);
    for (size_t i = 0; i < 16; ++i) {
      for (size_t k = 0; k < 8; ++k) {
        pairs_a[i * 8 + k] = bits(a[i][2 * k]) | bits(a[i][2 * k + 1]) << 16;
      }
    }
    for (size_t n = 0; n < 8; ++n) {
      for (size_t k = 0; k < 8; ++k) {
        pairs_b[n * 8 + k] = bits(b[2 * k][n]) | bits(b[2 * k + 1][n]) << 16;
      }
    }
    float* d = Allocate<float>(16 * 8);
    ASSERT_EQ(Run(Multiply, 1, 32, 512, {Upload(pairs_a), Upload(pairs_b), d, variant}),
              cudaSuccess)
        << cuda_emulator::LastFault();
    const std::vector<float> result = Download(d, 16 * 8);
    for (size_t i = 0; i < 16; ++i) {
      for (size_t n = 0; n < 8; ++n) {
        float expected = i < 8 && n % 2 == 0 ? 0.5f : 0.0f;
        for (size_t k = 0; k < 16; ++k) expected += a[i][k] * b[k][n];
        ASSERT_EQ(result[i * 8 + n], expected) << variant << ": " << i << ", " << n;
      }
    }
  }
}

TEST_F(EmulatorTest, PairsOfBf16RoundOnce) {
  // 128 + q - 136 is exact; a product is rounded to nearest even.
  EXPECT_EQ(FmaBf16x2(0x43004307u, 0x3F803F80u, 0xC308C308u), 0xC100BF80u);
  const uint16_t third = F32ToBf16(1.0f / 3);
  const float exact = core::Bf16ToF32(third) * 7.0f;
  EXPECT_EQ(FmaBf16x2(third, F32ToBf16(7.0f), 0x8000u) & 0xFFFFu, uint32_t{F32ToBf16(exact)});
}

// Tiles of 32 values through shared memory, the next one on its way while this one is summed.
// Variants leave something out.
__global__ void Pipeline(const Buffers p) {
  constexpr int kTile = 32 * 4;
  auto* shared = reinterpret_cast<float*>(DynamicShared());
  const int thread = static_cast<int>(threadIdx.x);
  const auto load = [&](int tile) {
    CopyAsync<16>(shared + tile % 2 * kTile + thread * 4, p.in + tile * kTile + thread * 4, true);
    CommitAsync();
  };
  float sum = 0;
  load(0);
  for (int tile = 0; tile < p.count; ++tile) {
    if (tile + 1 < p.count) {
      load(tile + 1);
    } else {
      CommitAsync();
    }
    if (p.variant != 1) WaitAsync<1>();   // 1: does not wait
    if (p.variant != 2) __syncthreads();  // 2: does not meet the others, whose copies it reads
    for (int i = 0; i < kTile; ++i) sum += shared[tile % 2 * kTile + (i + thread) % kTile];
    if (p.variant != 3) __syncthreads();  // 3: the stage is written again while others read it
  }
  p.out[thread] = sum;
}

bool PipelineIsRight(const std::vector<float>& sums, float expected) {
  for (const float sum : sums) {
    if (!(sum == expected)) return false;
  }
  return true;
}

TEST_F(EmulatorTest, AsyncCopiesArriveWhenWaitedFor) {
  std::vector<float> values(128 * 6);
  float expected = 0;
  for (size_t i = 0; i < values.size(); ++i) expected += values[i] = static_cast<float>(i % 10);
  float* out = Allocate<float>(32);
  ASSERT_EQ(Run(Pipeline, 1, 32, 1024, {Upload(values), out, 6, 0}), cudaSuccess);
  EXPECT_TRUE(PipelineIsRight(Download(out, 32), expected));
}

__global__ void ZeroFill(const Buffers p) {
  float* shared = reinterpret_cast<float*>(DynamicShared());
  CopyAsync<16>(shared + threadIdx.x * 4, p.in, threadIdx.x % 2 == 0);
  CommitAsync();
  WaitAsync<0>();
  p.out[threadIdx.x] = shared[threadIdx.x * 4];
}

TEST_F(EmulatorTest, AsyncCopiesThatAreNotValidWriteZeros) {
  float* out = Allocate<float>(2);
  ASSERT_EQ(Run(ZeroFill, 1, 2, 32, {Upload(std::vector<float>(4, 7.0f)), out, 0, 0}), cudaSuccess);
  EXPECT_EQ(Download(out, 2), (std::vector<float>{7, 0}));
}

TEST_F(EmulatorTest, StreamsRunWhenTheHostWaits) {
  const std::vector<float> values(256, 3.0f);
  const float* in = Upload(values);
  float* out = Upload(std::vector<float>(256, -1.0f));
  void* pinned = nullptr;
  ASSERT_EQ(cudaHostAlloc(&pinned, 1024, cudaHostAllocDefault), cudaSuccess);
  auto* result = static_cast<float*>(pinned);
  result[0] = 0;
  ASSERT_EQ(Launch(ReverseInBlocks, dim3(1), dim3(256), 1024, stream_, Buffers{in, out, 0, 0}),
            cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(result, out, 1024, cudaMemcpyDefault, stream_), cudaSuccess);
  EXPECT_EQ(result[0], 0.0f);  // not yet
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(std::vector<float>(result, result + 256), values);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(EmulatorTest, MemoryOfTheHostItselfIsCopiedBeforeTheCallReturns) {
  float* out = Allocate<float>(1);
  float value = 1;
  ASSERT_EQ(cudaMemcpyAsync(out, &value, sizeof value, cudaMemcpyDefault, stream_), cudaSuccess);
  value = 2;
  float result = 0;
  ASSERT_EQ(cudaMemcpyAsync(&result, out, sizeof result, cudaMemcpyDefault, stream_), cudaSuccess);
  EXPECT_EQ(result, 1.0f);
}

TEST_F(EmulatorTest, LimitsOfADeviceAreLimits) {
  const Buffers none = {};
  EXPECT_EQ(Run(Pipeline, 1, 2048, 0, none), cudaErrorInvalidValue);
  EXPECT_EQ(Launch(Pipeline, dim3(1), dim3(32), 200 << 10, stream_, none), cudaErrorInvalidValue);
  EXPECT_EQ(Launch(Pipeline, dim3(1, 70000), dim3(32), 0, stream_, none), cudaErrorInvalidValue);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);  // the device is as it was
  void* data = nullptr;
  EXPECT_EQ(cudaMalloc(&data, size_t{1} << 50), cudaErrorMemoryAllocation);
}

// ---- Planted faults ----------------------------------------------------------------------------

// Whether some order of threads shows the fault in the result.
#define EXPECT_SOME_ORDER_SHOWS(variant_)                                           \
  do {                                                                              \
    const std::vector<float> values_(128 * 6, 1.0f);                                \
    const float* in_ = Upload(values_);                                             \
    float* out_ = Allocate<float>(64);                                              \
    bool seen_ = false;                                                             \
    for (uint64_t seed_ = 1; seed_ <= 20 && !seen_; ++seed_) {                      \
      cuda_emulator::SetSeed(seed_ * 977);                                          \
      ASSERT_EQ(Run(Pipeline, 1, 32, 1024, {in_, out_, 6, variant_}), cudaSuccess); \
      seen_ = !PipelineIsRight(Download(out_, 32), 768.0f);                         \
    }                                                                               \
    EXPECT_TRUE(seen_) << "20 orders of threads gave the right result";             \
  } while (false)

TEST_F(EmulatorTest, AMissingWaitShowsInTheResult) {
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer ends the program at the race";
  EXPECT_SOME_ORDER_SHOWS(1);
}

TEST_F(EmulatorTest, AMissingBarrierShowsInTheResult) {
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer ends the program at the race";
  EXPECT_SOME_ORDER_SHOWS(2);
}

TEST_F(EmulatorTest, AStageThatIsWrittenTooEarlyShowsInTheResult) {
  if (kThreadSanitizer) GTEST_SKIP() << "ThreadSanitizer ends the program at the race";
  EXPECT_SOME_ORDER_SHOWS(3);
}

// Every thread writes the same value: right in any order, and still a race.
__global__ void BenignLooking(const Buffers p) {
  auto* shared = reinterpret_cast<float*>(DynamicShared());
  if (threadIdx.x == 0) shared[0] = 1;
  if (p.variant == 0) __syncthreads();
  if (threadIdx.x == 1) shared[0] = 1;
  __syncthreads();
  p.out[threadIdx.x] = shared[0];
}

TEST_F(EmulatorTest, ThreadSanitizerSeesRacesWhoseResultIsRight) {
  if (!kThreadSanitizer) GTEST_SKIP() << "needs ThreadSanitizer";
  float* out = Allocate<float>(32);
  ASSERT_EQ(Run(BenignLooking, 1, 32, 4, {nullptr, out, 0, 0}), cudaSuccess);
  const auto run_and_exit = [](const cudaError_t) { std::exit(0); };
  const testing::ExitedWithCode says_race(66);  // of ThreadSanitizer, now or at the end
  EXPECT_EXIT(run_and_exit(Run(BenignLooking, 1, 32, 4, {nullptr, out, 0, 1})), says_race,
              "data race");
  const float* in = Upload(std::vector<float>(128 * 6, 1.0f));
  for (const int variant : {2, 3}) {
    EXPECT_EXIT(run_and_exit(Run(Pipeline, 1, 32, 1024, {in, out, 6, variant})), says_race,
                "data race")
        << variant;
  }
}

enum Fault : int { kMask, kOtherOperation, kReturned, kOneBarrier, kOutsideShuffle, kOwnMask };

__global__ void Divergent(const Buffers p) {
  const unsigned lane = threadIdx.x % 32;
  switch (p.variant) {
    case kMask:  // lanes that disagree on who takes part
      p.out[lane] = __shfl_xor_sync(lane < 16 ? 0xFFFFFFFFu : 0xFFFF0000u, 1.0f, 1);
      break;
    case kOtherOperation:
      if (lane < 16) {
        (void)__ballot_sync(0xFFFFFFFFu, 1);
      } else {
        (void)__shfl_xor_sync(0xFFFFFFFFu, 1.0f, 1);
      }
      break;
    case kReturned:
      if (lane == 3) return;
      (void)__ballot_sync(0xFFFFFFFFu, 1);
      break;
    case kOneBarrier:  // a warp waits for the block, the other for one of its lanes
      if (threadIdx.x < 32) {
        __syncthreads();
      } else if (lane != 0) {
        (void)__ballot_sync(0xFFFFFFFFu, 1);
      } else {
        __syncthreads();
      }
      break;
    case kOutsideShuffle:
      if (lane < 16) p.out[lane] = __shfl_sync(0x0000FFFFu, 1.0f, 20);
      break;
    case kOwnMask:
      if (lane == 31) (void)__ballot_sync(0x1u, 1);
      break;
  }
}

TEST_F(EmulatorTest, DivergentWarpsAreFaults) {
  float* out = Allocate<float>(64);
  const auto fault = [&](Fault variant, int threads, const char* says) {
    SCOPED_TRACE(says);
    ExpectFault(Divergent, threads, 0, Buffers{nullptr, out, 0, variant}, says);
  };
  fault(kMask, 32, "mask");
  fault(kOtherOperation, 32, "another operation");
  fault(kReturned, 32, "return");
  fault(kOneBarrier, 64, "deadlock");
  fault(kOutsideShuffle, 32, "outside of mask");
  fault(kOwnMask, 32, "not in its own mask");
}

__global__ void Overrun(const Buffers p) {
  auto* shared = reinterpret_cast<float*>(DynamicShared());
  if (p.variant == 0) shared[p.count] = 1;
  if (p.variant == 1) p.out[p.count] = 1;
  if (p.variant == 2) p.out[0] = p.in[p.count];
}

TEST_F(EmulatorTest, WritesPastSharedMemoryAreFaults) {
  const Buffers p = {nullptr, nullptr, 8, 0};
  if (kAddressSanitizer) {
    EXPECT_DEATH((void)Run(Overrun, 1, 1, 32, p), "AddressSanitizer");
  } else {
    ExpectFault(Overrun, 1, 32, p, "shared memory was written");
  }
}

TEST_F(EmulatorTest, WritesBesideDeviceMemoryAreFaults) {
  float* out = Allocate<float>(64);
  for (const int at : {64, -1}) {
    const Buffers p = {nullptr, out, at, 1};
    if (kAddressSanitizer) {
      EXPECT_DEATH((void)Run(Overrun, 1, 1, 0, p), "AddressSanitizer");
    } else {
      ExpectFault(Overrun, 1, 0, p, at > 0 ? "behind an allocation" : "before an allocation");
    }
  }
}

TEST_F(EmulatorTest, ReadsPastDeviceMemoryEndUnderAddressSanitizer) {
  if (!kAddressSanitizer) GTEST_SKIP() << "needs AddressSanitizer";
  float* out = Allocate<float>(64);
  const float* in = Upload(std::vector<float>(8));
  EXPECT_DEATH((void)Run(Overrun, 1, 1, 0, {in, out, 8, 2}), "AddressSanitizer");
}

TEST_F(EmulatorTest, SharedMemoryBeginsAsNan) {
  float* out = Allocate<float>(1);
  const auto kernel =
      +[](const Buffers p) { p.out[0] = reinterpret_cast<float*>(DynamicShared())[0]; };
  ASSERT_EQ(Run(kernel, 1, 1, 16, {nullptr, out, 0, 0}), cudaSuccess);
  EXPECT_TRUE(std::isnan(Download(out, 1)[0]));
}

TEST_F(EmulatorTest, CopiesPastAnAllocationAreRefused) {
  float* data = Allocate<float>(8);
  std::vector<float> host(16);
  EXPECT_EQ(cudaMemcpyAsync(data, host.data(), 36, cudaMemcpyDefault, stream_),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(host.data(), data + 4, 20, cudaMemcpyDefault, stream_),
            cudaErrorInvalidValue);
}

// ---- Graphs ------------------------------------------------------------------------------------

struct AddParams {
  float* out;
  const float* in;
  float value;
};
__global__ void Add(const AddParams p) {
  *p.out += *p.in + p.value;
}

// What a test captures, and the graph that comes of it.
class EmulatorGraphTest : public EmulatorTest {
 protected:
  void SetUp() override {
    EmulatorTest::SetUp();
    graphs_ = cuda_emulator::Graphs();
    out_ = Upload(std::vector<float>(1, 0.0f));
    in_ = Upload(std::vector<float>(1, 0.0f));
    void* pinned = nullptr;
    ASSERT_EQ(cudaHostAlloc(&pinned, sizeof(float), cudaHostAllocDefault), cudaSuccess);
    pinned_ = static_cast<float*>(pinned);
  }
  void TearDown() override {
    if (exec_ != nullptr) (void)cudaGraphExecDestroy(exec_);
    EXPECT_EQ(cuda_emulator::Graphs(), graphs_);
    (void)cudaFreeHost(pinned_);
    EmulatorTest::TearDown();
  }

  void Begin() {
    ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  }
  cudaError_t LaunchAdd(float value) {
    return Launch(Add, dim3(1), dim3(1), 0, stream_, AddParams{out_, in_, value});
  }
  void End() {
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
    ASSERT_EQ(cudaGraphInstantiate(&exec_, graph, 0), cudaSuccess);
    ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  }
  // Ends a capture that `error` has spoiled, after which the stream is as it was.
  void ExpectSpoiled() {
    EXPECT_EQ(LaunchAdd(1), cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(LaunchAdd(4), cudaSuccess);
    EXPECT_EQ(Download(out_, 1)[0], 4.0f);
  }

  cudaGraphExec_t exec_ = nullptr;
  float* out_ = nullptr;
  const float* in_ = nullptr;
  float* pinned_ = nullptr;
  int64_t graphs_ = 0;
};

TEST_F(EmulatorGraphTest, WhatIsCapturedRunsAtEachLaunchAndNotBefore) {
  const int64_t launches = cuda_emulator::Launches();
  const int64_t nodes = cuda_emulator::GraphNodes();
  const int64_t launched = cuda_emulator::GraphLaunches();
  Begin();
  ASSERT_EQ(LaunchAdd(1), cudaSuccess);
  ASSERT_EQ(LaunchAdd(2), cudaSuccess);
  End();
  EXPECT_EQ(Download(out_, 1)[0], 0.0f);
  EXPECT_EQ(cuda_emulator::Launches(), launches);
  for (int i = 1; i <= 3; ++i) ASSERT_EQ(cudaGraphLaunch(exec_, stream_), cudaSuccess);
  EXPECT_EQ(Download(out_, 1)[0], 9.0f);
  EXPECT_EQ(cuda_emulator::GraphLaunches() - launched, 3);
  EXPECT_EQ(cuda_emulator::GraphNodes() - nodes, 6);
}

// The fault that a backend must not make: a number of a step that is an argument is that of the
// step which was captured.
TEST_F(EmulatorGraphTest, ArgumentsAreThoseOfTheCapture) {
  AddParams params = {out_, in_, 1};
  Begin();
  ASSERT_EQ(Launch(Add, dim3(1), dim3(1), 0, stream_, params), cudaSuccess);
  End();
  params.value = 100;
  ASSERT_EQ(cudaGraphLaunch(exec_, stream_), cudaSuccess);
  EXPECT_EQ(Download(out_, 1)[0], 1.0f);
}

TEST_F(EmulatorGraphTest, CopiesReadWhatIsThereWhenTheyRun) {
  *pinned_ = 1;
  Begin();
  ASSERT_EQ(
      cudaMemcpyAsync(const_cast<float*>(in_), pinned_, sizeof(float), cudaMemcpyDefault, stream_),
      cudaSuccess);
  ASSERT_EQ(LaunchAdd(0), cudaSuccess);
  End();
  *pinned_ = 5;
  ASSERT_EQ(cudaGraphLaunch(exec_, stream_), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  *pinned_ = 7;
  ASSERT_EQ(cudaGraphLaunch(exec_, stream_), cudaSuccess);
  // A host that does not wait before it writes: the launch reads what it should not.
  *pinned_ = 30;
  EXPECT_EQ(Download(out_, 1)[0], 35.0f);
}

TEST_F(EmulatorGraphTest, WaitingSpoilsACapture) {
  Begin();
  ASSERT_EQ(LaunchAdd(1), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorStreamCaptureUnsupported);
  ExpectSpoiled();
}

TEST_F(EmulatorGraphTest, AllocatingAndFreeingSpoilACapture) {
  void* data = nullptr;
  Begin();
  EXPECT_EQ(cudaMalloc(&data, 16), cudaErrorStreamCaptureUnsupported);
  ExpectSpoiled();
  Begin();
  EXPECT_EQ(cudaFreeHost(pinned_), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(LaunchAdd(1), cudaErrorStreamCaptureInvalidated);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
}

// Such memory may be gone when the graph runs.
TEST_F(EmulatorGraphTest, MemoryOfTheHostItselfSpoilsACapture) {
  float value = 1;
  Begin();
  EXPECT_EQ(
      cudaMemcpyAsync(const_cast<float*>(in_), &value, sizeof value, cudaMemcpyDefault, stream_),
      cudaErrorStreamCaptureUnsupported);
  ExpectSpoiled();
}

TEST_F(EmulatorGraphTest, OtherThreadsGoOnDuringACapture) {
  Begin();
  std::thread([] {
    void* data = nullptr;
    EXPECT_EQ(cudaMalloc(&data, 16), cudaSuccess);
    EXPECT_EQ(cudaFree(data), cudaSuccess);
  }).join();
  std::thread([this] {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureWrongThread);
  }).join();
  ASSERT_EQ(LaunchAdd(1), cudaSuccess);
  End();
  ASSERT_EQ(cudaGraphLaunch(exec_, stream_), cudaSuccess);
  EXPECT_EQ(Download(out_, 1)[0], 1.0f);
}

TEST_F(EmulatorGraphTest, CapturesBeginAndEndOnce) {
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureUnmatched);
  Begin();
  EXPECT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal),
            cudaErrorIllegalState);
  End();
  ASSERT_EQ(cudaGraphLaunch(exec_, stream_), cudaSuccess);  // of nothing
  EXPECT_EQ(Download(out_, 1)[0], 0.0f);
}

TEST_F(EmulatorGraphTest, AFaultInAGraphBreaksTheDevice) {
  Begin();
  ASSERT_EQ(Launch(Overrun, dim3(1), dim3(1), 0, stream_, Buffers{nullptr, out_, 1, 1}),
            cudaSuccess);
  End();
  const auto run = [this] {
    const cudaError_t error = cudaGraphLaunch(exec_, stream_);
    return error != cudaSuccess ? error : cudaStreamSynchronize(stream_);
  };
  if (kAddressSanitizer) {
    EXPECT_DEATH((void)run(), "AddressSanitizer");
    return;
  }
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGraphLaunch(exec_, stream_), cudaErrorLaunchFailure);
}

}  // namespace
}  // namespace llmcore::cuda
