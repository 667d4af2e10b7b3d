// The operations of the CPU backend by shape. Each reports bytes/s (weights, once a call) and ops/s
// (two a multiplication), and of_bandwidth and of_peak, their fractions of what this process
// measured the machine to do at most with as many threads (ceilings.h).
//
//   cpu_benchmark --benchmark_filter='LinearInt4/|Peak'
//
// Where other programs use the cores, compare the CPU column at threads:1; rates are of real time.
#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "benchmarks/kernels/ceilings.h"
#include "lib/cpu/cpu_backend.h"
#include "lib/sampling/sampler.h"
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

// ---- Fractions of the ceilings ------------------------------------------------------------------

// Measured once for each number of threads, before the first benchmark that asks.
double CachedBandwidth(int threads) {
  static std::map<int, double> cache;
  double& bytes = cache[threads];
  if (bytes == 0) bytes = benchmarks::ReadBandwidth(threads);
  return bytes;
}

double CachedPeak(ActivationFormat activations, int threads) {
  static std::map<std::pair<ActivationFormat, int>, double> cache;
  double& ops = cache[{activations, threads}];
  if (ops == 0) {
    ops = (activations == ActivationFormat::kInt8   ? benchmarks::Int8DotPeak(threads)
           : activations == ActivationFormat::kBf16 ? benchmarks::Bf16DotPeak(threads)
                                                    : benchmarks::F32FmaPeak(threads))
              .ops;
  }
  return ops;
}

// Of one iteration that reads `bytes` and does `ops`.
void ReportWork(benchmark::State& state, double bytes, double ops, ActivationFormat activations,
                int64_t threads) {
  const auto count = static_cast<int>(threads);
  const auto rate = [](double value) { return Counter(value, Counter::kIsIterationInvariantRate); };
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
  state.counters["ops"] = rate(ops);
  state.counters["of_bandwidth"] = rate(bytes / CachedBandwidth(count));
  const double peak = CachedPeak(activations, count);
  if (peak > 0) state.counters["of_peak"] = rate(ops / peak);
}

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
  ReportWork(state, static_cast<double>(weight.memory->size()), operations, activations,
             state.range(3));
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
void BM_LinearInt8F32Activations(benchmark::State& state) {
  RunLinear(state, WeightFormat::kInt8, ActivationFormat::kF32);
}
void BM_LinearBf16(benchmark::State& state) {
  RunLinear(state, WeightFormat::kBf16, ActivationFormat::kBf16);
}
void BM_LinearBf16F32Activations(benchmark::State& state) {
  RunLinear(state, WeightFormat::kBf16, ActivationFormat::kF32);
}
void BM_LinearF16(benchmark::State& state) {
  RunLinear(state, WeightFormat::kF16, ActivationFormat::kF32);
}
void BM_LinearF32(benchmark::State& state) {
  RunLinear(state, WeightFormat::kF32, ActivationFormat::kF32);
}

void Shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"cpu/rows", "in", "out", "threads"});
  for (const int64_t threads : {1, 2}) {
    for (const int64_t rows : {1, 4, 8, 16, 32, 512}) b->Args({rows, 2048, 8192, threads});
    for (const int64_t rows : {1, 512}) {
      b->Args({rows, 8192, 2048, threads});  // down, of Llama-3.2-1B
      b->Args({rows, 896, 9728, threads});   // gate and up, of Qwen2.5-0.5B
    }
  }
  b->UseRealTime();
}
BENCHMARK(BM_LinearInt4)->Apply(Shapes);
BENCHMARK(BM_LinearInt4F32Activations)->Apply(Shapes);
BENCHMARK(BM_LinearInt8)->Apply(Shapes);
BENCHMARK(BM_LinearInt8F32Activations)->Apply(Shapes);
BENCHMARK(BM_LinearBf16)->Apply(Shapes);
BENCHMARK(BM_LinearBf16F32Activations)->Apply(Shapes);
BENCHMARK(BM_LinearF16)->Apply(Shapes);
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
  double bytes = static_cast<double>(head.memory->size());
  double operations = 2.0 * static_cast<double>(head_rows * kHidden * kVocabulary);
  for (const Layer& layer : layers) {
    for (const Weight* weight : {&layer.qkv, &layer.out, &layer.gate_up, &layer.down}) {
      bytes += static_cast<double>(weight->memory->size());
      operations += 2.0 * static_cast<double>(rows * weight->packed.shape.rows) *
                    static_cast<double>(weight->packed.shape.columns);
    }
  }
  ReportWork(state, bytes, operations, activations, state.range(1));
  state.counters["tokens"] = Counter(static_cast<double>(rows), Counter::kIsIterationInvariantRate);
  state.SetLabel(backend->Description());
}

void BM_Llama1BLinearsInt4(benchmark::State& state) {
  RunModel(state, WeightFormat::kInt4, ActivationFormat::kInt8);
}
void BM_Llama1BLinearsInt4F32Activations(benchmark::State& state) {
  RunModel(state, WeightFormat::kInt4, ActivationFormat::kF32);
}
void BM_Llama1BLinearsBf16(benchmark::State& state) {
  RunModel(state, WeightFormat::kBf16, ActivationFormat::kBf16);
}
void BM_Llama1BLinearsBf16F32Activations(benchmark::State& state) {
  RunModel(state, WeightFormat::kBf16, ActivationFormat::kF32);
}
void Rows(benchmark::internal::Benchmark* b) {
  b->ArgNames({"cpu/rows", "threads"})->Unit(benchmark::kMillisecond)->UseRealTime();
  for (const int64_t threads : {1, 2}) {
    for (const int64_t rows : {1, 16, 32, 512}) b->Args({rows, threads});
  }
}
BENCHMARK(BM_Llama1BLinearsInt4)->Apply(Rows);
BENCHMARK(BM_Llama1BLinearsInt4F32Activations)->Apply(Rows);
BENCHMARK(BM_Llama1BLinearsBf16)->Apply(Rows);
BENCHMARK(BM_Llama1BLinearsBf16F32Activations)->Apply(Rows);

// ---- Attention ----------------------------------------------------------------------------------

// Attention of Llama-3.2-1B (32 heads, 8 KV heads of 64) for one sequence whose last `rows`
// positions are computed, layer after layer of 16, so that a long context comes out of memory as in
// a step. Times are of one layer. Bytes are those of the context's blocks, read once.
void RunAttention(benchmark::State& state, core::KvFormat format) {
  constexpr int32_t kLayers = 16;
  const auto rows = static_cast<int32_t>(state.range(0));
  const auto context_tokens = static_cast<int32_t>(state.range(1));
  const auto backend = MakeBackend(state.range(2));
  core::KvCache cache;
  cache.shape = {format, kLayers, 8, 64, 16};
  cache.blocks = (context_tokens + 15) / 16;
  const uint64_t layer_bytes =
      backend->KvBlockBytes(cache.shape) * static_cast<uint64_t>(cache.blocks);
  const auto memory = Allocate(*backend, layer_bytes * kLayers);
  cache.data = memory->data();
  std::vector<int32_t> table(static_cast<size_t>(cache.blocks));
  for (int32_t i = 0; i < cache.blocks; ++i) table[static_cast<size_t>(i)] = i;
  const auto workspace =
      Allocate(*backend, backend->WorkspaceBytes({.rows = std::max(rows, 512),
                                                  .max_columns = 3072,
                                                  .heads = 32,
                                                  .head_dim = 64,
                                                  .max_context = context_tokens}));
  core::StepContext context;
  context.workspace = {static_cast<std::byte*>(workspace->data()), workspace->size()};

  // A cache of random keys and values.
  const Activations filler(*backend, 512, (32 + 16) * 64);
  for (int32_t layer = 0; layer < kLayers; ++layer) {
    for (int32_t first = 0; first < context_tokens; first += 512) {
      const std::vector<int32_t> first_row = {0, std::min(512, context_tokens - first)};
      const std::vector<int32_t> first_position = {first};
      core::RopeAppendParams append;
      append.qkv = filler.matrix;
      append.qkv.rows = first_row[1];
      append.heads = 32;
      append.cache = cache;
      append.layer = layer;
      append.batch = {first_row, first_position, table, cache.blocks};
      const absl::Status status = backend->RopeAppend(context, append);
      if (!status.ok()) return state.SkipWithError(std::string(status.message()).c_str());
    }
  }

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
  for (auto _ : state) {
    const absl::Status status = backend->Attention(context, params);
    if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
    params.layer = (params.layer + 1) % kLayers;
  }
  const double keys = (2.0 * context_tokens - rows + 1) / 2 * rows;
  state.counters["ops"] = Counter(keys * 32 * 64 * 4, Counter::kIsIterationInvariantRate);
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(layer_bytes));
  state.SetLabel(backend->Description());
}

void BM_AttentionF32(benchmark::State& state) {
  RunAttention(state, core::KvFormat::kF32);
}
void BM_AttentionBf16(benchmark::State& state) {
  RunAttention(state, core::KvFormat::kBf16);
}
void BM_AttentionInt8(benchmark::State& state) {
  RunAttention(state, core::KvFormat::kInt8);
}
void BM_AttentionInt4(benchmark::State& state) {
  RunAttention(state, core::KvFormat::kInt4);
}
void Contexts(benchmark::internal::Benchmark* b) {
  b->ArgNames({"cpu/rows", "context", "threads"})->Unit(benchmark::kMicrosecond)->UseRealTime();
  for (const int64_t threads : {1, 2}) {
    for (const int64_t context : {128, 512, 2048, 8192}) b->Args({1, context, threads});
    for (const int64_t context : {512, 8192}) b->Args({512, context, threads});
  }
}
BENCHMARK(BM_AttentionF32)->Apply(Contexts);
BENCHMARK(BM_AttentionBf16)->Apply(Contexts);
BENCHMARK(BM_AttentionInt8)->Apply(Contexts);
BENCHMARK(BM_AttentionInt4)->Apply(Contexts);

// What a step spends on the rotation of queries and keys and on writing the cache, in one layer.
void RunRopeAppend(benchmark::State& state, core::KvFormat format) {
  const auto rows = static_cast<int32_t>(state.range(0));
  const auto backend = MakeBackend(state.range(1));
  core::KvCache cache;
  cache.shape = {format, 1, 8, 64, 16};
  cache.blocks = (rows + 15) / 16;
  const auto memory =
      Allocate(*backend, backend->KvBlockBytes(cache.shape) * static_cast<uint64_t>(cache.blocks));
  cache.data = memory->data();
  std::vector<int32_t> table(static_cast<size_t>(cache.blocks));
  for (int32_t i = 0; i < cache.blocks; ++i) table[static_cast<size_t>(i)] = i;
  const std::vector<int32_t> first_row = {0, rows};
  const std::vector<int32_t> first_position = {0};
  const auto workspace = Allocate(
      *backend,
      backend->WorkspaceBytes({.rows = rows, .max_columns = 3072, .heads = 32, .head_dim = 64}));
  core::StepContext context;
  context.workspace = {static_cast<std::byte*>(workspace->data()), workspace->size()};
  const Activations qkv(*backend, rows, (32 + 16) * 64);
  std::vector<float> angles(static_cast<size_t>(rows) * 64, 0.0f);  // a quarter turn
  for (size_t i = 0; i < angles.size(); ++i) angles[i] = i % 64 < 32 ? 0.0f : 1.0f;
  core::RopeAppendParams params;
  params.qkv = qkv.matrix;
  params.heads = 32;
  params.cos_sin = angles.data();
  params.cache = cache;
  params.batch = {first_row, first_position, table, cache.blocks};
  for (auto _ : state) {
    const absl::Status status = backend->RopeAppend(context, params);
    if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
  }
  state.SetItemsProcessed(state.iterations() * rows);
}
void BM_RopeAppendBf16(benchmark::State& state) {
  RunRopeAppend(state, core::KvFormat::kBf16);
}
void BM_RopeAppendInt8(benchmark::State& state) {
  RunRopeAppend(state, core::KvFormat::kInt8);
}
BENCHMARK(BM_RopeAppendBf16)
    ->ArgNames({"cpu/rows", "threads"})
    ->Args({1, 2})
    ->Args({512, 2})
    ->UseRealTime();
BENCHMARK(BM_RopeAppendInt8)
    ->ArgNames({"cpu/rows", "threads"})
    ->Args({1, 2})
    ->Args({512, 2})
    ->UseRealTime();

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

// ---- Sampling -----------------------------------------------------------------------------------

// One token of a vocabulary as large as Qwen2.5's, one thread.
void RunSample(benchmark::State& state, const core::SamplingParams& params) {
  constexpr int32_t kVocabulary = 151936;
  std::vector<float> logits(kVocabulary);
  std::mt19937 generator(1);
  std::normal_distribution<float> normal(0, 2.5f);
  for (float& logit : logits) logit = normal(generator);
  for (size_t i = 0; i < 20; ++i) logits[i * 37] += 12 - 0.5f * static_cast<float>(i);
  core::Sampler sampler(kVocabulary);
  core::SampleInput input;
  input.params = &params;
  input.logits = logits;
  for (auto _ : state) {
    ++input.key.position;
    const auto token = sampler.Sample(input);
    if (!token.ok()) state.SkipWithError(std::string(token.status().message()).c_str());
  }
}
void BM_SampleGreedy(benchmark::State& state) {
  core::SamplingParams params;
  params.temperature = 0;
  RunSample(state, params);
}
void BM_SamplePlain(benchmark::State& state) {
  core::SamplingParams params;
  params.temperature = 0.7f;
  RunSample(state, params);
}
void BM_SampleTopP(benchmark::State& state) {
  core::SamplingParams params;
  params.temperature = 0.7f;
  params.top_p = 0.9f;
  RunSample(state, params);
}
void BM_SampleTopK(benchmark::State& state) {
  core::SamplingParams params;
  params.temperature = 0.7f;
  params.top_k = 40;
  RunSample(state, params);
}
BENCHMARK(BM_SampleGreedy);
BENCHMARK(BM_SamplePlain);
BENCHMARK(BM_SampleTopP);
BENCHMARK(BM_SampleTopK);

// ---- Ceilings -----------------------------------------------------------------------------------

// Measured anew, not as the fractions above have them: a machine may change its mind.
void BM_ReadBandwidth(benchmark::State& state) {
  double bytes = 0;
  for (auto _ : state) bytes = benchmarks::ReadBandwidth(static_cast<int>(state.range(0)));
  state.counters["bytes_per_second"] = bytes;
}
BENCHMARK(BM_ReadBandwidth)->ArgName("cpu/threads")->Arg(1)->Arg(2)->Iterations(1)->UseRealTime();

template <benchmarks::Peak (*kMeasure)(int threads)>
void BM_Peak(benchmark::State& state) {
  benchmarks::Peak peak;
  for (auto _ : state) peak = kMeasure(static_cast<int>(state.range(0)));
  if (peak.ops == 0) return state.SkipWithError("this processor has no such instruction");
  state.counters["ops"] = peak.ops;
  state.SetLabel(peak.instruction);
}
#define LLMCORE_PEAK(measure) \
  BENCHMARK(BM_Peak<measure>)->ArgName("cpu/threads")->Arg(1)->Arg(2)->Iterations(1)->UseRealTime()
LLMCORE_PEAK(benchmarks::Int8DotPeak);
LLMCORE_PEAK(benchmarks::Bf16DotPeak);
LLMCORE_PEAK(benchmarks::F32FmaPeak);
#undef LLMCORE_PEAK

}  // namespace
}  // namespace llmcore::cpu

BENCHMARK_MAIN();
