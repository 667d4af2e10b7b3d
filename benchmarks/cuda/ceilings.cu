// What a GPU can do at most, as JSON: memory read and copied, host memory by copy and by reading it
// where it is, bf16 tensor cores in registers and in cuBLAS products, and the time of a launch.
//
//   cuda_ceilings [--device N] [--gemm TOKENSxINPUTSxOUTPUTS ...]
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "benchmarks/cuda/cublas.h"
#include "cuda/kernels/common/ptx.cuh"

namespace llmcore::benchmarks {
namespace {

constexpr char kHelp[] =
    "Usage: cuda_ceilings [--device N] [--gemm TOKENSxINPUTSxOUTPUTS ...]\n"
    "Measures what a GPU can do at most and prints it as JSON, in a few seconds.\n"
    "  --device N  the GPU, from 0\n"
    "  --gemm ...  also times this product of bf16 by cuBLAS, once for each\n";

constexpr size_t kBytes = size_t{1} << 30;      // far beyond any cache
constexpr size_t kHostBytes = size_t{1} << 28;  // a tenth of a second of a slow bus
constexpr int kAttempts = 5;
constexpr int kThreads = 256;
constexpr int kBlocksAnSm = 8;

// A failure ends this program with one sentence.
void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "cuda_ceilings: %s: %s (%s)\n", what, cudaGetErrorName(error),
               cudaGetErrorString(error));
  std::exit(1);
}

// The sum keeps the loads; it is written where it is 1, which it is not.
__global__ void ReadKernel(const uint4* data, size_t count, uint32_t* out) {
  const size_t stride = static_cast<size_t>(gridDim.x) * blockDim.x;
  uint4 sum = {};
  size_t i = static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i + 3 * stride < count; i += 4 * stride) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const uint4 v = cuda::LoadStream16(data + i + j * stride);
      sum.x ^= v.x;
      sum.y ^= v.y;
      sum.z ^= v.z;
      sum.w ^= v.w;
    }
  }
  if ((sum.x ^ sum.y ^ sum.z ^ sum.w) == 1) *out = 1;
}

constexpr int kMmaTurns = 4096;
constexpr int kMmaChains = 8;  // independent accumulators of a warp

__global__ void MmaKernel(float* out) {
  float d[kMmaChains][4] = {};
  const uint32_t a[4] = {threadIdx.x, 1, 2, 3};
  const uint32_t b[2] = {threadIdx.x, 5};
  for (int turn = 0; turn < kMmaTurns; ++turn) {
#pragma unroll
    for (int chain = 0; chain < kMmaChains; ++chain) cuda::MmaBf16(d[chain], a, b);
  }
  float sum = 0;
#pragma unroll
  for (int chain = 0; chain < kMmaChains; ++chain) sum += d[chain][0] + d[chain][3];
  if (sum == 1) *out = 1;
}

__global__ void EmptyKernel() {}

class Timer {
 public:
  Timer() {
    Check(cudaEventCreate(&begin_), "creating an event");
    Check(cudaEventCreate(&end_), "creating an event");
  }
  // The best of some attempts: what else uses the machine is no part of a ceiling.
  template <typename Work>
  double Best(const char* what, const Work& work) {
    double best = 0;
    for (int attempt = 0; attempt <= kAttempts; ++attempt) {  // the first warms up
      Check(cudaEventRecord(begin_), what);
      work();
      Check(cudaEventRecord(end_), what);
      Check(cudaEventSynchronize(end_), what);
      Check(cudaGetLastError(), what);
      float milliseconds = 0;
      Check(cudaEventElapsedTime(&milliseconds, begin_, end_), what);
      if (attempt == 1 || (attempt > 1 && milliseconds / 1e3 < best)) best = milliseconds / 1e3;
    }
    return best;
  }

 private:
  cudaEvent_t begin_;
  cudaEvent_t end_;
};

void* DeviceMemory(size_t bytes) {
  void* data = nullptr;
  Check(cudaMalloc(&data, bytes), "allocating device memory");
  Check(cudaMemset(data, 0, bytes), "clearing device memory");
  return data;
}

void PrintRate(const char* name, double amount, double seconds) {
  std::printf("  \"%s\": %.5g,\n", name, amount / seconds);
}

struct Product {
  int64_t tokens;
  int64_t inputs;
  int64_t outputs;
};

void PrintProducts(Timer& timer, const std::vector<Product>& products) {
  std::string why;
  const std::unique_ptr<Cublas> cublas = Cublas::Open(&why);
  std::printf("  \"cublas\": %s%s%s,\n",
              cublas ? "" : "\"not there: ", cublas ? "true" : why.c_str(), cublas ? "" : "\"");
  std::printf("  \"gemm\": [");
  const char* separator = "";
  for (const Product& p : products) {
    if (cublas == nullptr) break;
    // Enough copies of the weight that it never comes from a cache, as in a step of a model.
    const size_t weight_bytes = static_cast<size_t>(p.inputs * p.outputs) * 2;
    const size_t copies = std::max<size_t>(1, (size_t{256} << 20) / weight_bytes);
    auto* weights = static_cast<char*>(DeviceMemory(weight_bytes * copies));
    void* in = DeviceMemory(static_cast<size_t>(p.tokens * p.inputs) * 2);
    void* out = DeviceMemory(static_cast<size_t>(p.tokens * p.outputs) * 2);
    const int turns = static_cast<int>(std::max<size_t>(copies, 20));
    bool worked = true;
    const double seconds = timer.Best("a product of cuBLAS", [&] {
      for (int i = 0; i < turns; ++i) {
        worked = worked && cublas->Multiply(p.tokens, p.inputs, p.outputs, in,
                                            weights + i % copies * weight_bytes, out);
      }
    });
    for (void* data : {static_cast<void*>(weights), in, out}) {
      Check(cudaFree(data), "freeing device memory");
    }
    if (!worked) {
      std::fprintf(stderr, "cuda_ceilings: cuBLAS refused a product\n");
      std::exit(1);
    }
    std::printf(
        "%s\n    {\"tokens\": %lld, \"inputs\": %lld, \"outputs\": %lld, \"seconds\": %.5g}",
        separator, static_cast<long long>(p.tokens), static_cast<long long>(p.inputs),
        static_cast<long long>(p.outputs), seconds / turns);
    separator = ",";
  }
  std::printf("\n  ],\n");
}

int Main(int argc, char** argv) {
  int device = 0;
  std::vector<Product> products = {{4096, 8192, 8192}};
  for (int i = 1; i < argc; ++i) {
    long long tokens = 0;
    long long inputs = 0;
    long long outputs = 0;
    if (std::strcmp(argv[i], "--help") == 0) {
      std::fputs(kHelp, stdout);
      return 0;
    }
    if (std::strcmp(argv[i], "--device") == 0 && i + 1 < argc) {
      device = std::atoi(argv[++i]);
    } else if (std::strcmp(argv[i], "--gemm") == 0 && i + 1 < argc &&
               std::sscanf(argv[i + 1], "%lldx%lldx%lld", &tokens, &inputs, &outputs) == 3 &&
               tokens > 0 && inputs > 0 && outputs > 0 && tokens < 65536 && inputs < 65536 &&
               outputs < 1 << 20) {
      products.push_back({tokens, inputs, outputs});
      ++i;
    } else {
      std::fprintf(stderr, "cuda_ceilings: %s is not understood\n%s", argv[i], kHelp);
      return 2;
    }
  }
  Check(cudaSetDevice(device), "no CUDA device");
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, device), "no CUDA device");
  const int blocks = properties.multiProcessorCount * kBlocksAnSm;
  Timer timer;
  std::printf("{\n  \"device\": \"%s\",\n  \"multiprocessors\": %d,\n", properties.name,
              properties.multiProcessorCount);

  auto* data = static_cast<uint4*>(DeviceMemory(2 * kBytes));
  auto* out = static_cast<uint32_t*>(DeviceMemory(sizeof(uint4)));
  PrintRate("read_bytes_per_second", kBytes, timer.Best("reading", [&] {
    ReadKernel<<<blocks, kThreads>>>(data, kBytes / sizeof(uint4), out);
  }));
  // Bytes read and bytes written.
  PrintRate("copy_bytes_per_second", 2.0 * kBytes, timer.Best("copying", [&] {
    Check(cudaMemcpyAsync(data + kBytes / sizeof(uint4), data, kBytes, cudaMemcpyDeviceToDevice),
          "copying");
  }));

  void* host = nullptr;
  Check(cudaHostAlloc(&host, kHostBytes, cudaHostAllocDefault), "pinned host memory");
  std::memset(host, 0, kHostBytes);
  PrintRate("host_to_device_bytes_per_second", kHostBytes, timer.Best("copying from the host", [&] {
    Check(cudaMemcpyAsync(data, host, kHostBytes, cudaMemcpyHostToDevice), "copying");
  }));
  PrintRate("host_read_bytes_per_second", kHostBytes, timer.Best("reading host memory", [&] {
    ReadKernel<<<blocks, kThreads>>>(static_cast<const uint4*>(host), kHostBytes / sizeof(uint4),
                                     out);
  }));

  const double mma_ops = 2.0 * 16 * 8 * 16 * kMmaTurns * kMmaChains * (kThreads / 32) * blocks;
  PrintRate("mma_bf16_ops_per_second", mma_ops, timer.Best("multiplying", [&] {
    MmaKernel<<<blocks, kThreads>>>(reinterpret_cast<float*>(out));
  }));
  constexpr int kLaunches = 1000;
  std::printf("  \"launch_seconds\": %.4g,\n", timer.Best("launching", [] {
    for (int i = 0; i < kLaunches; ++i) EmptyKernel<<<1, 32>>>();
  }) / kLaunches);
  Check(cudaFree(data), "freeing device memory");
  PrintProducts(timer, products);
  std::printf("  \"attempts\": %d\n}\n", kAttempts);
  return 0;
}

}  // namespace
}  // namespace llmcore::benchmarks

int main(int argc, char** argv) {
  return llmcore::benchmarks::Main(argc, argv);
}
