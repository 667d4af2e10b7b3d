// The operations of the CPU backend by shape. Each reports bytes/s (weights, once a call) and
// ops/s (two a multiplication); BM_ReadBandwidth and BM_DotPeak are the ceilings of the same run.
//
//   cpu_benchmark --benchmark_filter='LinearInt4/|Peak'
//
// Where other programs use the cores, compare the CPU column at threads:1; rates are of real time.
#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "lib/cpu/cpu_backend.h"
#include "lib/tensor/int4.h"

namespace llmcore::cpu {
namespace {

using benchmark::Counter;
using core::ActivationFormat;
using core::Backend;
using core::DeviceMemory;
using core::DType;
using core::Matrix;
using core::PackedWeight;
using core::SourceMatrix;
using core::WeightFormat;
using core::WeightKind;
using core::WeightShape;

constexpr int64_t kThreads = 2;

std::unique_ptr<Backend> MakeBackend(int64_t threads = kThreads) {
  auto backend = CpuBackend::Create({.threads = static_cast<int>(threads)});
  return backend.ok() ? *std::move(backend) : nullptr;
}

std::unique_ptr<DeviceMemory> Allocate(Backend& backend, uint64_t bytes) {
  auto memory = backend.Allocate(bytes);
  return memory.ok() ? *std::move(memory) : nullptr;
}

// Random f32 activations.
struct Activations {
  Activations(Backend& backend, int64_t rows, int64_t columns)
      : memory(Allocate(backend, static_cast<uint64_t>(rows * columns) * 4)) {
    matrix = {static_cast<float*>(memory->data()), rows, columns};
    std::mt19937 generator(1);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < rows * columns; ++i) matrix.data[i] = normal(generator);
  }
  std::unique_ptr<DeviceMemory> memory;
  Matrix matrix;
};

// A packed weight of random bf16 values.
struct Weight {
  Weight(Backend& backend, WeightShape shape) {
    packed.shape = shape;
    memory = Allocate(backend, backend.PackedWeightBytes(shape));
    packed.data = memory->data();
    const int parts = shape.kind == WeightKind::kGated ? 2 : 1;
    std::vector<uint16_t> values(static_cast<size_t>(shape.rows / parts * shape.columns));
    uint32_t state = 1;
    for (uint16_t& v : values) {
      state = state * 1664525u + 1013904223u;
      v = static_cast<uint16_t>(0x3C00u + (state >> 23) + ((state >> 8) & 0x8000u));
    }
    const SourceMatrix part = {reinterpret_cast<const std::byte*>(values.data()), DType::kBf16,
                               shape.rows / parts, shape.columns};
    const std::vector<SourceMatrix> sources(static_cast<size_t>(parts), part);
    (void)backend.PackWeight(shape, sources, memory->data(), {});
  }
  std::unique_ptr<DeviceMemory> memory;
  PackedWeight packed;
};

// ---- One linear -------------------------------------------------------------------------------

void RunLinear(benchmark::State& state, WeightFormat format, ActivationFormat activations) {
  const int64_t rows = state.range(0);
  const int64_t in = state.range(1);
  const int64_t out = state.range(2);
  const auto backend = MakeBackend(state.range(3));
  const Weight weight(*backend, {format, WeightKind::kPlain, out, in});
  const Activations x(*backend, rows, in);
  const Activations y(*backend, rows, out);
  const auto workspace =
      Allocate(*backend, backend->WorkspaceBytes({.rows = static_cast<int32_t>(rows),
                                                  .max_columns = std::max(in, out)}));
  core::StepContext context;
  context.workspace = {static_cast<std::byte*>(workspace->data()), workspace->size()};
  for (auto _ : state) {
    const absl::Status status = backend->Linear(context, {.in = x.matrix,
                                                          .weight = weight.packed,
                                                          .activation_format = activations,
                                                          .out = y.matrix});
    if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
  }
  const double operations = 2.0 * static_cast<double>(rows) * static_cast<double>(in * out);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(weight.memory->size()));
  state.counters["ops"] = Counter(operations, Counter::kIsIterationInvariantRate);
  state.SetLabel(backend->Description());
}

void BM_LinearInt4(benchmark::State& state) {
  RunLinear(state, WeightFormat::kInt4, ActivationFormat::kInt8);
}
void BM_LinearInt4F32Activations(benchmark::State& state) {
  RunLinear(state, WeightFormat::kInt4, ActivationFormat::kF32);
}
void BM_LinearInt8(benchmark::State& state) {
  RunLinear(state, WeightFormat::kInt8, ActivationFormat::kInt8);
}
void BM_LinearBf16(benchmark::State& state) {
  RunLinear(state, WeightFormat::kBf16, ActivationFormat::kF32);
}
void BM_LinearF32(benchmark::State& state) {
  RunLinear(state, WeightFormat::kF32, ActivationFormat::kF32);
}

void Shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"cpu/rows", "in", "out", "threads"});
  for (const int64_t threads : {1, 2}) {
    for (const int64_t rows : {1, 4, 8, 16, 32, 512}) b->Args({rows, 2048, 8192, threads});
  }
  b->UseRealTime();
}
BENCHMARK(BM_LinearInt4)->Apply(Shapes);
BENCHMARK(BM_LinearInt4F32Activations)->Apply(Shapes);
BENCHMARK(BM_LinearInt8)->Apply(Shapes);
BENCHMARK(BM_LinearBf16)->Apply(Shapes);
BENCHMARK(BM_LinearF32)->Apply(Shapes);

// ---- All linears of a model ---------------------------------------------------------------------

// Llama-3.2-1B: what a step spends on its linears. Every layer has its own memory, so that weights
// come from where they come in a model; the head runs on one row, or on all (rows up to 32, as
// that many sequences would).
void RunModel(benchmark::State& state, WeightFormat format, ActivationFormat activations) {
  constexpr int64_t kHidden = 2048;
  constexpr int64_t kIntermediate = 8192;
  constexpr int64_t kQkv = 3072;
  constexpr int64_t kVocabulary = 128256;
  constexpr int kLayers = 16;
  const int64_t rows = state.range(0);
  const auto backend = MakeBackend(state.range(1));
  struct Layer {
    Weight qkv, out, gate_up, down;
  };
  std::vector<Layer> layers;
  for (int i = 0; i < kLayers; ++i) {
    layers.push_back({Weight(*backend, {format, WeightKind::kPlain, kQkv, kHidden}),
                      Weight(*backend, {format, WeightKind::kPlain, kHidden, kHidden}),
                      Weight(*backend, {format, WeightKind::kGated, 2 * kIntermediate, kHidden}),
                      Weight(*backend, {format, WeightKind::kPlain, kHidden, kIntermediate})});
  }
  const Weight head(*backend, {format, WeightKind::kPlain, kVocabulary, kHidden});
  const int64_t head_rows = rows <= 32 ? rows : 1;
  const Activations hidden(*backend, rows, kHidden);
  const Activations wide(*backend, rows, kIntermediate);
  const Activations logits(*backend, head_rows, kVocabulary);
  const auto workspace = Allocate(
      *backend,
      backend->WorkspaceBytes({.rows = static_cast<int32_t>(rows), .max_columns = kIntermediate}));
  core::StepContext context;
  context.workspace = {static_cast<std::byte*>(workspace->data()), workspace->size()};
  const auto linear = [&](const Weight& weight, Matrix in, Matrix out) {
    return backend->Linear(
        context, {.in = in, .weight = weight.packed, .activation_format = activations, .out = out});
  };
  for (auto _ : state) {
    absl::Status status;
    for (const Layer& layer : layers) {
      Matrix qkv = wide.matrix;
      qkv.columns = kQkv;
      status.Update(linear(layer.qkv, hidden.matrix, qkv));
      Matrix attended = wide.matrix;
      attended.columns = kHidden;
      status.Update(linear(layer.out, attended, hidden.matrix));
      status.Update(backend->LinearGated(context, {.in = hidden.matrix,
                                                   .weight = layer.gate_up.packed,
                                                   .activation_format = activations,
                                                   .out = wide.matrix}));
      status.Update(linear(layer.down, wide.matrix, hidden.matrix));
      // The values must stay in range from layer to layer.
      for (int64_t i = 0; i < rows * kHidden; ++i) {
        hidden.matrix.data[i] = static_cast<float>(i % 17) - 8.0f;
      }
    }
    Matrix last = hidden.matrix;
    last.rows = head_rows;
    status.Update(linear(head, last, logits.matrix));
    if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
  }
  state.counters["tokens"] = Counter(static_cast<double>(rows), Counter::kIsIterationInvariantRate);
  state.SetLabel(backend->Description());
}

void BM_Llama1BLinearsInt4(benchmark::State& state) {
  RunModel(state, WeightFormat::kInt4, ActivationFormat::kInt8);
}
void BM_Llama1BLinearsInt4F32Activations(benchmark::State& state) {
  RunModel(state, WeightFormat::kInt4, ActivationFormat::kF32);
}
void Rows(benchmark::internal::Benchmark* b) {
  b->ArgNames({"cpu/rows", "threads"})->Unit(benchmark::kMillisecond)->UseRealTime();
  for (const int64_t threads : {1, 2}) {
    for (const int64_t rows : {1, 16, 32, 512}) b->Args({rows, threads});
  }
}
BENCHMARK(BM_Llama1BLinearsInt4)->Apply(Rows);
BENCHMARK(BM_Llama1BLinearsInt4F32Activations)->Apply(Rows);

// ---- Attention ----------------------------------------------------------------------------------

// One layer of Llama-3.2-1B (32 heads, 8 KV heads of 64) for one sequence whose last `rows`
// positions are computed.
void BM_Attention(benchmark::State& state) {
  const auto rows = static_cast<int32_t>(state.range(0));
  const auto context_tokens = static_cast<int32_t>(state.range(1));
  const auto backend = MakeBackend(state.range(2));
  core::KvCache cache;
  cache.shape = {core::KvFormat::kBf16, 1, 8, 64, 16};
  cache.blocks = (context_tokens + 15) / 16;
  const auto memory =
      Allocate(*backend, backend->KvBlockBytes(cache.shape) * static_cast<uint64_t>(cache.blocks));
  cache.data = memory->data();
  std::vector<int32_t> table(static_cast<size_t>(cache.blocks));
  for (int32_t i = 0; i < cache.blocks; ++i) table[static_cast<size_t>(i)] = i;
  const std::vector<int32_t> first_row = {0, rows};
  const std::vector<int32_t> first_position = {context_tokens - rows};
  core::AttentionParams params;
  const Activations qkv(*backend, rows, (32 + 16) * 64);
  const Activations out(*backend, rows, 32 * 64);
  params.qkv = qkv.matrix;
  params.heads = 32;
  params.scale = 0.125f;
  params.cache = cache;
  params.batch = {first_row, first_position, table, cache.blocks};
  params.out = out.matrix;
  const auto workspace = Allocate(
      *backend,
      backend->WorkspaceBytes({.rows = rows, .max_columns = 3072, .heads = 32, .head_dim = 64}));
  core::StepContext context;
  context.workspace = {static_cast<std::byte*>(workspace->data()), workspace->size()};
  for (auto _ : state) {
    const absl::Status status = backend->Attention(context, params);
    if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
  }
  const double keys = (2.0 * context_tokens - rows + 1) / 2 * rows;
  state.counters["ops"] = Counter(keys * 32 * 64 * 4, Counter::kIsIterationInvariantRate);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(memory->size()));
}
BENCHMARK(BM_Attention)
    ->ArgNames({"cpu/rows", "context", "threads"})
    ->Args({1, 512, 1})
    ->Args({1, 8192, 1})
    ->Args({1, 8192, 2})
    ->Args({512, 512, 1})
    ->Args({512, 512, 2})
    ->Args({512, 8192, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

// ---- Packing ------------------------------------------------------------------------------------

void RunPack(benchmark::State& state, WeightFormat format) {
  const int64_t rows = 8192;
  const int64_t columns = 2048;
  const auto backend = MakeBackend(state.range(0));
  std::vector<uint16_t> values(static_cast<size_t>(rows * columns));
  uint32_t random = 1;
  for (uint16_t& v : values) {
    random = random * 1664525u + 1013904223u;
    v = static_cast<uint16_t>(0x3C00u + (random >> 23) + ((random >> 8) & 0x8000u));
  }
  const SourceMatrix part = {reinterpret_cast<const std::byte*>(values.data()), DType::kBf16, rows,
                             columns};
  const WeightShape shape = {format, WeightKind::kPlain, rows, columns};
  const auto memory = Allocate(*backend, backend->PackedWeightBytes(shape));
  for (auto _ : state) {
    const absl::Status status = backend->PackWeight(shape, {&part, 1}, memory->data(), {});
    if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
  }
  state.SetItemsProcessed(state.iterations() * rows * columns);
  state.SetBytesProcessed(state.iterations() * rows * columns * 2);
}
void BM_PackInt4(benchmark::State& state) {
  RunPack(state, WeightFormat::kInt4);
}
void BM_PackInt8(benchmark::State& state) {
  RunPack(state, WeightFormat::kInt8);
}
void BM_PackBf16(benchmark::State& state) {
  RunPack(state, WeightFormat::kBf16);
}
// Codes as a quantized checkpoint stores them to panels; more than any cache holds.
void RunRepack(benchmark::State& state, WeightFormat format) {
  const int64_t rows = 32768;
  const int64_t columns = 4096;
  const int64_t row_bytes = format == WeightFormat::kInt4 ? columns / 2 : columns;
  const auto backend = MakeBackend(state.range(0));
  std::vector<std::byte> codes(static_cast<size_t>(rows * row_bytes));
  uint32_t random = 1;
  for (std::byte& code : codes) {
    random = random * 1664525u + 1013904223u;
    code = static_cast<std::byte>(random >> 24);
  }
  const std::vector<uint16_t> scales(static_cast<size_t>(rows * columns / core::kQuantBlock),
                                     0x3C00);
  const SourceMatrix part = {codes.data(), core::DType::kU8,
                             rows,         columns,
                             format,       reinterpret_cast<const std::byte*>(scales.data())};
  const WeightShape shape = {format, WeightKind::kPlain, rows, columns};
  const auto memory = Allocate(*backend, backend->PackedWeightBytes(shape));
  for (auto _ : state) {
    const absl::Status status = backend->PackWeight(shape, {&part, 1}, memory->data(), {});
    if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
  }
  state.SetBytesProcessed(state.iterations() * rows * row_bytes);
}
void BM_RepackInt4(benchmark::State& state) {
  RunRepack(state, WeightFormat::kInt4);
}
void BM_RepackInt8(benchmark::State& state) {
  RunRepack(state, WeightFormat::kInt8);
}
BENCHMARK(BM_PackInt4)->ArgName("cpu/threads")->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(BM_PackInt8)->ArgName("cpu/threads")->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(BM_PackBf16)->ArgName("cpu/threads")->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(BM_RepackInt4)->ArgName("cpu/threads")->Arg(1)->Arg(2)->UseRealTime();
BENCHMARK(BM_RepackInt8)->ArgName("cpu/threads")->Arg(1)->Arg(2)->UseRealTime();

// ---- Ceilings -----------------------------------------------------------------------------------

// 256 MB read by all threads, far more than a cache of theirs holds.
void BM_ReadBandwidth(benchmark::State& state) {
  constexpr int64_t kBytes = int64_t{256} << 20;
  const auto backend = MakeBackend(1);
  const auto memory = Allocate(*backend, kBytes);
  std::memset(memory->data(), 1, kBytes);
  auto pool = core::ThreadPool::Create(static_cast<int>(state.range(0)));
  if (!pool.ok()) return state.SkipWithError("no threads");
  std::vector<uint64_t> sums(64);
  for (auto _ : state) {
    const absl::Status status =
        (*pool)->ParallelFor(kBytes, kBytes / 64, nullptr, [&](int64_t begin, int64_t end, int) {
          const auto* words = static_cast<const uint64_t*>(memory->data());
          uint64_t sum[8] = {};
          for (int64_t i = begin / 8; i < end / 8; i += 8) {
            for (int64_t j = 0; j < 8; ++j) sum[j] ^= words[i + j];
          }
          for (const uint64_t s : sum) sums[static_cast<size_t>(begin / (kBytes / 64))] ^= s;
        });
    benchmark::DoNotOptimize(status);
    benchmark::DoNotOptimize(sums.data());
  }
  state.SetBytesProcessed(state.iterations() * kBytes);
}
BENCHMARK(BM_ReadBandwidth)->ArgName("cpu/threads")->Arg(1)->Arg(2)->UseRealTime();

#if defined(__x86_64__) && defined(__GNUC__)
// vpdpbusd on 24 independent accumulators: what a perfect tile would reach.
__attribute__((target("avx512f,avx512vnni"))) void DotPeak(int64_t turns) {
  for (int64_t i = 0; i < turns; ++i) {
    __asm__ volatile(
#define LLMCORE_DOT(n) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #n "\n\t"
        LLMCORE_DOT(0) LLMCORE_DOT(1) LLMCORE_DOT(2) LLMCORE_DOT(3) LLMCORE_DOT(4) LLMCORE_DOT(5)
            LLMCORE_DOT(6) LLMCORE_DOT(7) LLMCORE_DOT(8) LLMCORE_DOT(9) LLMCORE_DOT(10)
                LLMCORE_DOT(11) LLMCORE_DOT(12) LLMCORE_DOT(13) LLMCORE_DOT(14) LLMCORE_DOT(15)
                    LLMCORE_DOT(16) LLMCORE_DOT(17) LLMCORE_DOT(18) LLMCORE_DOT(19) LLMCORE_DOT(20)
                        LLMCORE_DOT(21) LLMCORE_DOT(22) LLMCORE_DOT(23)
#undef LLMCORE_DOT
                            ::
                                : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                                  "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                                  "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21",
                                  "xmm22", "xmm23");
  }
}

void BM_DotPeak(benchmark::State& state) {
  if (!core::DetectCpuFeatures().avx512_vnni) return state.SkipWithError("no AVX-512 VNNI here");
  auto pool = core::ThreadPool::Create(static_cast<int>(state.range(0)));
  if (!pool.ok()) return state.SkipWithError("no threads");
  constexpr int64_t kTurns = 100000;
  constexpr int64_t kPieces = 16;
  for (auto _ : state) {
    const absl::Status status =
        (*pool)->ParallelFor(kPieces, 1, nullptr, [&](int64_t, int64_t, int) { DotPeak(kTurns); });
    benchmark::DoNotOptimize(status);
  }
  state.counters["ops"] =
      Counter(double{kPieces * kTurns} * 24 * 128, Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_DotPeak)->ArgName("cpu/threads")->Arg(1)->Arg(2)->UseRealTime();
#endif

}  // namespace
}  // namespace llmcore::cpu

BENCHMARK_MAIN();
