// Times the operations of a backend by shape, a JSON object a line: seconds of a call, bytes that
// it reads and writes at least, and arithmetic. Weights and cache are taken in turns from copies
// that together exceed any cache, as in the steps of a model.
//
//   operations --device cuda --only 'linear/int4' --seconds 0.2
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/backend/backend.h"
#include "lib/session/device.h"

namespace llmcore::benchmarks {
namespace {

using core::Backend;
using core::DeviceMemory;
using core::KvFormat;
using core::Matrix;
using core::WeightFormat;
using core::WeightKind;

constexpr char kHelp[] =
    "Usage: operations [--device DEVICE] [--only REGEX] [--seconds S] [--tiny] [--list]\n"
    "Times the operations of a backend on the shapes of Llama-3-8B, a JSON object a line.\n"
    "  --device DEVICE  cpu, cuda (the default) or cuda:N\n"
    "  --only REGEX     those whose names hold this\n"
    "  --seconds S      of each, 0.1 unless given\n"
    "  --tiny           small shapes: whether it works, and no figure\n"
    "  --list           names, and nothing is run\n";

struct Options {
  std::string device = "cuda";
  std::string only;
  double seconds = 0.1;
  bool tiny = false;
  bool list = false;
};

// What all copies of an operand should take together: twice the largest cache of today's GPUs.
constexpr uint64_t kBeyondCaches = uint64_t{256} << 20;
constexpr int kSamples = 5;

struct Size {
  const char* name;
  int64_t inputs;
  int64_t outputs;  // of each half of a gated weight
  bool gated;
};

struct Measured {
  double median = 0;
  double least = 0;
  double most = 0;
};

class Bench {
 public:
  Bench(std::unique_ptr<Backend> backend, const Options& options)
      : backend_(std::move(backend)), options_(options), only_(options.only) {}

  absl::Status Run() {
    const std::vector<Size> sizes =
        options_.tiny ? std::vector<Size>{{"qkv", 128, 64, false}, {"gate_up", 128, 96, true}}
                      : std::vector<Size>{{"qkv", 4096, 6144, false},
                                          {"out", 4096, 4096, false},
                                          {"gate_up", 4096, 14336, true},
                                          {"down", 14336, 4096, false}};
    for (const WeightFormat format :
         {WeightFormat::kInt4, WeightFormat::kInt8, WeightFormat::kBf16}) {
      for (const Size& size : sizes) LLMCORE_RETURN_IF_ERROR(RunLinear(format, size));
    }
    for (const KvFormat format : {KvFormat::kBf16, KvFormat::kInt8, KvFormat::kInt4}) {
      LLMCORE_RETURN_IF_ERROR(RunAttention(format, /*sequences=*/1, /*rows=*/1, 1024));
      if (options_.tiny) continue;
      LLMCORE_RETURN_IF_ERROR(RunAttention(format, 1, 1, 8192));
      LLMCORE_RETURN_IF_ERROR(RunAttention(format, 32, 1, 1024));
      LLMCORE_RETURN_IF_ERROR(RunAttention(format, 1, 2048, 2048));
    }
    for (const int64_t rows :
         options_.tiny ? std::vector<int64_t>{2} : std::vector<int64_t>{1, 128}) {
      LLMCORE_RETURN_IF_ERROR(RunSample("greedy", rows, {.temperature = 0}));
      // Logits of NewMatrix are at most 2 apart: so scores are up to 20.
      LLMCORE_RETURN_IF_ERROR(RunSample("plain", rows, {.temperature = 0.1f}));
      LLMCORE_RETURN_IF_ERROR(RunSample("top_k:40", rows, {.temperature = 0.1f, .top_k = 40}));
      LLMCORE_RETURN_IF_ERROR(RunSample("top_p:0.95", rows, {.temperature = 0.1f, .top_p = 0.95f}));
    }
    return absl::OkStatus();
  }

 private:
  bool IsWanted(const std::string& name) const {
    if (!std::regex_search(name, only_)) return false;
    if (options_.list) std::printf("%s\n", name.c_str());
    return !options_.list;
  }

  absl::StatusOr<void*> Allocate(uint64_t bytes) {
    LLMCORE_ASSIGN_OR_RETURN(std::unique_ptr<DeviceMemory> memory, backend_->Allocate(bytes));
    memory_.push_back(std::move(memory));
    return memory_.back()->data();
  }

  // Small values of both signs.
  absl::StatusOr<Matrix> NewMatrix(int64_t rows, int64_t columns) {
    std::vector<float> values(static_cast<size_t>(rows * columns));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(static_cast<int>(i * 2654435761u >> 16 & 255) - 128) / 128;
    }
    LLMCORE_ASSIGN_OR_RETURN(void* data, Allocate(values.size() * sizeof(float)));
    LLMCORE_RETURN_IF_ERROR(backend_->CopyToDevice(data, std::as_bytes(std::span(values))));
    return Matrix{static_cast<float*>(data), rows, columns};
  }

  core::StepContext Context(const core::StepLimits& limits, absl::Status* status) {
    const uint64_t bytes = backend_->WorkspaceBytes(limits);
    absl::StatusOr<void*> data = Allocate(bytes);
    *status = data.status();
    core::StepContext context;
    if (data.ok()) context.workspace = {static_cast<std::byte*>(*data), bytes};
    return context;
  }

  // Calls run(i) with a growing i, as often as fills the time, and waits at the end of a sample.
  template <typename RunOnce>
  absl::StatusOr<Measured> Time(const RunOnce& run) {
    using Clock = std::chrono::steady_clock;
    int64_t calls = 1;
    int64_t next = 0;
    const auto sample = [&]() -> absl::StatusOr<double> {
      const Clock::time_point begin = Clock::now();
      for (int64_t i = 0; i < calls; ++i) LLMCORE_RETURN_IF_ERROR(run(next++));
      LLMCORE_RETURN_IF_ERROR(backend_->Synchronize());
      return std::chrono::duration<double>(Clock::now() - begin).count();
    };
    LLMCORE_RETURN_IF_ERROR(sample().status());  // warms up
    while (true) {
      LLMCORE_ASSIGN_OR_RETURN(const double seconds, sample());
      if (options_.tiny || seconds > options_.seconds / kSamples / 2) break;
      calls *= 2;
    }
    std::vector<double> samples;
    for (int i = 0; i < kSamples; ++i) {
      LLMCORE_ASSIGN_OR_RETURN(const double seconds, sample());
      samples.push_back(seconds / static_cast<double>(calls));
    }
    std::sort(samples.begin(), samples.end());
    return Measured{samples[kSamples / 2], samples.front(), samples.back()};
  }

  static void Print(const std::string& name, const Measured& time, uint64_t bytes, double ops) {
    std::printf(
        "{\"name\": \"%s\", \"seconds\": %.5g, \"least\": %.5g, \"most\": %.5g, "
        "\"bytes\": %llu, \"ops\": %.5g}\n",
        name.c_str(), time.median, time.least, time.most, static_cast<unsigned long long>(bytes),
        ops);
    std::fflush(stdout);
  }

  absl::Status RunLinear(WeightFormat format, const Size& size) {
    const std::vector<int64_t> tokens = options_.tiny
                                            ? std::vector<int64_t>{1, 9}
                                            : std::vector<int64_t>{1, 8, 16, 32, 64, 256, 2048};
    std::vector<std::pair<std::string, int64_t>> wanted;
    for (const int64_t count : tokens) {
      const std::string name = absl::StrCat("linear/", std::string(core::WeightFormatName(format)),
                                            "/", size.name, "/tokens:", count);
      if (IsWanted(name)) wanted.emplace_back(name, count);
    }
    if (wanted.empty()) return absl::OkStatus();

    const core::WeightShape shape = {format, size.gated ? WeightKind::kGated : WeightKind::kPlain,
                                     size.outputs * (size.gated ? 2 : 1), size.inputs};
    const uint64_t bytes = backend_->PackedWeightBytes(shape);
    const uint64_t copies = options_.tiny ? 2 : std::max<uint64_t>(2, kBeyondCaches / bytes + 1);
    std::vector<uint16_t> source(static_cast<size_t>(size.inputs * size.outputs));
    for (size_t i = 0; i < source.size(); ++i) {  // bf16 from 0.0078 to 0.03, of both signs
      source[i] = static_cast<uint16_t>((i * 2654435761u >> 16 & 0x80FF) | 0x3C00);
    }
    core::SourceMatrix part;
    part.data = reinterpret_cast<const std::byte*>(source.data());
    part.dtype = core::DType::kBf16;
    part.rows = size.outputs;
    part.columns = size.inputs;
    const std::vector<core::SourceMatrix> parts(size.gated ? 2 : 1, part);
    std::vector<core::PackedWeight> weights;
    for (uint64_t i = 0; i < copies; ++i) {
      LLMCORE_ASSIGN_OR_RETURN(void* data, Allocate(bytes));
      LLMCORE_RETURN_IF_ERROR(backend_->PackWeight(shape, parts, data, {}));
      weights.push_back({shape, data});
    }
    absl::Status status;
    const core::StepContext context =
        Context({static_cast<int32_t>(tokens.back()), size.inputs, 32, 128, 256}, &status);
    LLMCORE_RETURN_IF_ERROR(status);
    const bool quantized = format != WeightFormat::kBf16;
    const auto activations =
        quantized ? core::ActivationFormat::kInt8 : core::ActivationFormat::kBf16;
    for (const auto& [name, count] : wanted) {
      LLMCORE_ASSIGN_OR_RETURN(const Matrix in, NewMatrix(count, size.inputs));
      LLMCORE_ASSIGN_OR_RETURN(const Matrix out, NewMatrix(count, size.outputs));
      LLMCORE_ASSIGN_OR_RETURN(const Measured time, Time([&](int64_t i) {
                                 const core::PackedWeight& weight =
                                     weights[static_cast<size_t>(i) % weights.size()];
                                 if (!size.gated) {
                                   core::LinearParams params;
                                   params.in = in;
                                   params.weight = weight;
                                   params.activation_format = activations;
                                   params.out = out;
                                   return backend_->Linear(context, params);
                                 }
                                 core::LinearGatedParams params;
                                 params.in = in;
                                 params.weight = weight;
                                 params.activation_format = activations;
                                 params.out = out;
                                 return backend_->LinearGated(context, params);
                               }));
      const auto moved =
          static_cast<uint64_t>(count * (size.inputs + size.outputs)) * sizeof(float);
      Print(name, time, bytes + moved,
            2.0 * static_cast<double>(count) * static_cast<double>(shape.rows * size.inputs));
    }
    memory_.clear();
    return absl::OkStatus();
  }

  // The last `rows` positions of each sequence of `context_tokens`, causal.
  absl::Status RunAttention(KvFormat format, int32_t sequences, int32_t rows,
                            int32_t context_tokens) {
    const std::string name =
        absl::StrCat("attention/", std::string(core::KvFormatName(format)),
                     "/sequences:", sequences, "/rows:", rows, "/context:", context_tokens);
    if (!IsWanted(name)) return absl::OkStatus();
    const int32_t heads = options_.tiny ? 2 : 32;
    const int32_t head_dim = options_.tiny ? 16 : 128;
    core::KvCache cache;
    cache.shape = {format, 1, options_.tiny ? 1 : 8, head_dim, 32};
    const int32_t blocks_each = (context_tokens + 31) / 32;
    const uint64_t block_bytes = backend_->KvBlockBytes(cache.shape);
    const auto layer_bytes = static_cast<uint64_t>(sequences * blocks_each) * block_bytes;
    cache.shape.layers = static_cast<int32_t>(
        options_.tiny ? 2 : std::max<uint64_t>(2, kBeyondCaches / layer_bytes + 1));
    cache.blocks = sequences * blocks_each;
    LLMCORE_ASSIGN_OR_RETURN(cache.data,
                             Allocate(layer_bytes * static_cast<uint64_t>(cache.shape.layers)));
    std::vector<int32_t> first_row;
    std::vector<int32_t> first_position;
    std::vector<int32_t> table;
    for (int32_t i = 0; i <= sequences; ++i) first_row.push_back(i * rows);
    for (int32_t i = 0; i < sequences; ++i) first_position.push_back(context_tokens - rows);
    // Blocks of a sequence lie apart, as they do after a while.
    for (int32_t i = 0; i < sequences; ++i) {
      for (int32_t b = 0; b < blocks_each; ++b) table.push_back(b * sequences + i);
    }
    absl::Status status;
    const core::StepContext context =
        Context({sequences * rows, 4096, heads, head_dim, context_tokens}, &status);
    LLMCORE_RETURN_IF_ERROR(status);
    core::AttentionParams params;
    LLMCORE_ASSIGN_OR_RETURN(
        params.qkv, NewMatrix(sequences * rows, (heads + 2 * cache.shape.kv_heads) * head_dim));
    LLMCORE_ASSIGN_OR_RETURN(params.out, NewMatrix(sequences * rows, heads * head_dim));
    params.heads = heads;
    params.scale = 1 / std::sqrt(static_cast<float>(head_dim));
    params.cache = cache;
    params.batch = {first_row, first_position, table, blocks_each};
    LLMCORE_ASSIGN_OR_RETURN(const Measured time, Time([&](int64_t i) {
                               params.layer = static_cast<int32_t>(i % cache.shape.layers);
                               return backend_->Attention(context, params);
                             }));
    const double pairs =
        static_cast<double>(sequences) * (static_cast<double>(rows) * (context_tokens - rows) +
                                          static_cast<double>(rows) * (rows + 1) / 2);
    const auto moved = static_cast<uint64_t>(sequences * rows) *
                       static_cast<uint64_t>(heads * head_dim) * 2 * sizeof(float);
    Print(name, time, layer_bytes + moved, 4 * pairs * heads * head_dim);
    memory_.clear();
    return absl::OkStatus();
  }

  // From logits that, as in a step, have just been written and may still be in a cache.
  absl::Status RunSample(const char* how, int64_t rows, core::TokenDraw draw) {
    const std::string name = absl::StrCat("sample/", how, "/rows:", rows);
    const int64_t vocabulary = options_.tiny ? 1000 : 128256;
    if (!IsWanted(name) || !backend_->Samples(vocabulary)) return absl::OkStatus();
    core::SampleParams params;
    LLMCORE_ASSIGN_OR_RETURN(params.logits, NewMatrix(rows, vocabulary));
    const auto count = static_cast<size_t>(rows);
    LLMCORE_ASSIGN_OR_RETURN(
        const std::unique_ptr<DeviceMemory> host,
        backend_->AllocateHost(count * (sizeof(core::TokenDraw) + sizeof(core::DrawnToken))));
    draw.least_score = -HUGE_VALF;
    draw.uniform = 0.5;
    auto* draws = static_cast<core::TokenDraw*>(host->data());
    std::fill_n(draws, count, draw);
    params.draws = draws;
    params.tokens = reinterpret_cast<core::DrawnToken*>(draws + count);
    LLMCORE_ASSIGN_OR_RETURN(const Measured time,
                             Time([&](int64_t) { return backend_->Sample({}, params); }));
    Print(name, time, count * static_cast<uint64_t>(vocabulary) * sizeof(float), 0);
    memory_.clear();
    return absl::OkStatus();
  }

  const std::unique_ptr<Backend> backend_;
  const Options options_;
  const std::regex only_;
  std::vector<std::unique_ptr<DeviceMemory>> memory_;
};

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const bool has_value = i + 1 < argc;
    if (flag == "--help") {
      std::fputs(kHelp, stdout);
      return 0;
    }
    if (flag == "--tiny") {
      options.tiny = true;
    } else if (flag == "--list") {
      options.list = true;
    } else if (flag == "--device" && has_value) {
      options.device = argv[++i];
    } else if (flag == "--only" && has_value) {
      options.only = argv[++i];
    } else if (flag == "--seconds" && has_value && std::atof(argv[i + 1]) > 0) {
      options.seconds = std::atof(argv[++i]);
    } else {
      std::fprintf(stderr, "operations: %s is not understood\n%s", flag.c_str(), kHelp);
      return 2;
    }
  }
  absl::Status status;
  try {
    auto backend = core::CreateBackend(options.list ? "cpu" : options.device, /*threads=*/0);
    status = backend.status();
    if (status.ok()) status = Bench(*std::move(backend), options).Run();
  } catch (const std::exception& error) {  // a pattern that is none, or no memory
    status = absl::InvalidArgumentError(error.what());
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "operations: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace
}  // namespace llmcore::benchmarks

int main(int argc, char** argv) {
  return llmcore::benchmarks::Main(argc, argv);
}
