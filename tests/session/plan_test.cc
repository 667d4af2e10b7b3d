// The plan is the allocation: what is planned from headers, what a load says that it took, and what
// it asked the backend for are the same bytes, whatever the model, the formats and the limits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/engine/engine.h"
#include "lib/engine/plan_memory.h"
#include "lib/io/checkpoint.h"
#include "lib/session/quantize_model.h"
#include "lib/session/session.h"
#include "lib/session/synthetic_shapes.h"
#include "tests/io/temporary_directory.h"
#include "tests/session/ledger_backend.h"
#include "tests/support/sanitized_build.h"
#include "tests/support/zero_point_model.h"

namespace llmcore::core {
namespace {

using testing::ElementsAre;

std::string Abacus() {
  return std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus";
}

// A model to plan and to load: a directory, or a shape of random weights.
struct Subject {
  std::string name;
  std::string directory;  // empty: random weights
  ModelConfig config;     // of a directory too
  std::shared_ptr<const WeightSource> random;
};

Subject RandomSubject(const std::string& name, const ModelConfig& config) {
  return {name, "", config, *RandomWeights(LargestTensor(config))};
}

ModelConfig SmallConfig(Architecture architecture, int32_t hidden, int32_t inner, int32_t heads,
                        int32_t kv_heads, int32_t head_dim, int32_t vocabulary) {
  ModelConfig config;
  config.architecture = architecture;
  config.hidden_size = hidden;
  config.intermediate_size = inner;
  config.num_layers = 3;
  config.num_heads = heads;
  config.num_kv_heads = kv_heads;
  config.head_dim = head_dim;
  config.vocab_size = vocabulary;
  config.max_position_embeddings = 1000;
  config.sliding_window.assign(3, 0);
  return config;
}

// Every architecture, with sizes that fill no block, tile or cache line.
std::vector<Subject> RandomSubjects() {
  ModelConfig llama = SmallConfig(Architecture::kLlama, 64, 168, 4, 2, 16, 301);
  llama.tie_word_embeddings = true;
  ModelConfig qwen2 = SmallConfig(Architecture::kQwen2, 84, 130, 7, 1, 12, 513);
  qwen2.qkv_bias = true;
  ModelConfig qwen3 = SmallConfig(Architecture::kQwen3, 128, 384, 6, 3, 32, 1000);
  qwen3.qk_norm = true;
  qwen3.tie_word_embeddings = true;
  ModelConfig mistral = SmallConfig(Architecture::kMistral, 96, 200, 3, 3, 20, 77);
  mistral.sliding_window.assign(3, 50);
  ModelConfig biased = SmallConfig(Architecture::kLlama, 72, 100, 8, 4, 8, 130);
  biased.qkv_bias = biased.output_bias = biased.mlp_bias = true;
  return {RandomSubject("random llama", llama), RandomSubject("random qwen2", qwen2),
          RandomSubject("random qwen3", qwen3), RandomSubject("random mistral", mistral),
          RandomSubject("random llama with biases", biased)};
}

Subject DirectorySubject(const std::string& name, const std::string& directory) {
  absl::StatusOr<ModelConfig> config = LoadModelConfig(directory);
  EXPECT_TRUE(config.ok()) << config.status();
  return {name, directory, *std::move(config), nullptr};
}

std::vector<Subject> ReferenceSubjects() {
  std::vector<Subject> subjects;
  std::error_code none;
  const std::string folder = std::string(LLMCORE_REFERENCE_DIR) + "/models";
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    const std::string path = entry.path().string();
    if (!std::filesystem::exists(path + "/config.json")) continue;
    subjects.push_back(DirectorySubject(entry.path().filename().string(), path));
  }
  std::sort(subjects.begin(), subjects.end(),
            [](const Subject& a, const Subject& b) { return a.name < b.name; });
  return subjects;
}

// What Model::Plan makes of options, for random weights too. Budgets are enforced when `load` says
// so.
absl::StatusOr<MemoryPlan> PlanOf(const Subject& subject, const ModelOptions& options, bool load) {
  if (!subject.directory.empty()) {
    if (!load) return Model::Plan(subject.directory, options);
    LLMCORE_ASSIGN_OR_RETURN(const auto model, Model::Load(subject.directory, options));
    return model->plan();
  }
  MemoryRequest request;
  request.weight_format = options.weight_format;
  request.kv_format = options.kv_format;
  request.activation_format = options.activation_format;
  request.memory_budget = options.memory_budget;
  request.kv_cache_tokens = options.kv_cache_tokens;
  request.kv_cache_fraction = options.kv_cache_fraction;
  request.max_context = options.max_context;
  request.max_batch_tokens = options.max_batch_tokens;
  request.max_batch_sequences = options.max_batch_sequences;
  request.prefix_cache = options.prefix_cache;
  request.swap_bytes = options.swap_bytes;
  Ledger ledger;
  const auto backend = LedgerBackend(options.threads, /*reserve_only=*/false, &ledger);
  absl::StatusOr<MemoryPlan> plan = PlanMemory(subject.config, request, *backend, load);
  EXPECT_TRUE(ledger.device.empty() && ledger.host.empty()) << "a plan that allocates";
  return plan;
}

uint64_t BytesOf(const MemoryPlan& plan, MemoryCategory category) {
  return plan.bytes[static_cast<int>(category)];
}

// Loads what `plan` says, and compares what the backend was asked for to the byte.
void ExpectAllocates(const Subject& subject, const MemoryPlan& plan, int threads,
                     bool reserve_only) {
  std::optional<Checkpoint> checkpoint;
  std::shared_ptr<const WeightSource> weights = subject.random;
  if (weights == nullptr) {
    checkpoint.emplace(*Checkpoint::Open(subject.directory));
    weights = CheckpointWeights(&*checkpoint, subject.config);
  }
  Ledger ledger;
  const auto engine = Engine::Create(subject.config, plan, *weights,
                                     LedgerBackend(threads, reserve_only, &ledger), {});
  ASSERT_TRUE(engine.ok()) << engine.status();
  EXPECT_THAT(ledger.device,
              ElementsAre(BytesOf(plan, MemoryCategory::kWeights) - plan.mapped_bytes,
                          BytesOf(plan, MemoryCategory::kKvCache),
                          BytesOf(plan, MemoryCategory::kActivations),
                          BytesOf(plan, MemoryCategory::kWorkspace)));
  if (plan.swap_blocks == 0) {
    EXPECT_EQ(BytesOf(plan, MemoryCategory::kSwap), 0u);
    EXPECT_THAT(ledger.host, ElementsAre(BytesOf(plan, MemoryCategory::kHost)));
  } else {
    EXPECT_THAT(ledger.host, ElementsAre(BytesOf(plan, MemoryCategory::kHost),
                                         BytesOf(plan, MemoryCategory::kSwap)));
  }
  if (checkpoint.has_value()) {
    uint64_t mapped = 0;
    for (const TensorView* const tensor : checkpoint->tensors()) {
      if (absl::EndsWith(tensor->name, kPackedSuffix)) mapped += tensor->data.size();
    }
    EXPECT_EQ(plan.mapped_bytes, mapped);
  }
}

// A load with `options` takes just what was planned.
void ExpectLoads(const Subject& subject, const ModelOptions& options, const MemoryPlan& planned) {
  const auto loaded = PlanOf(subject, options, /*load=*/true);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->ToJson(), planned.ToJson());
}

void ExpectRefused(const Subject& subject, const ModelOptions& options, uint64_t needed) {
  const absl::Status status = PlanOf(subject, options, /*load=*/true).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(BytesNeeded(status), needed) << status;
}

// The budgets around a plan: its total will do, one byte less is refused with that total.
void CheckFixedBudget(const Subject& subject, ModelOptions options, const MemoryPlan& plan) {
  options.kv_cache_fraction.reset();
  options.kv_cache_tokens = plan.kv_cache_tokens();
  options.memory_budget = plan.total();
  ExpectLoads(subject, options, plan);
  options.memory_budget = plan.total() - 1;
  ExpectRefused(subject, options, plan.total());
}

// Without a size of its own the KV cache has what the budget leaves: as much as it says that it
// needs will do, and of more not a block is left.
void CheckOpenBudget(const Subject& subject, ModelOptions options, uint64_t spare) {
  options.kv_cache_tokens.reset();
  options.kv_cache_fraction.reset();
  options.memory_budget = 1;
  const auto least = PlanOf(subject, options, /*load=*/false);
  ASSERT_TRUE(least.ok()) << least.status();
  ExpectRefused(subject, options, least->total());
  options.memory_budget = least->total() - 1;
  ExpectRefused(subject, options, least->total());
  options.memory_budget = least->total();
  ExpectLoads(subject, options, *least);

  options.memory_budget = least->total() + spare;
  const auto plan = PlanOf(subject, options, /*load=*/false);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LE(plan->total(), *options.memory_budget);
  ModelOptions more = options;
  more.kv_cache_tokens = plan->kv_cache_tokens() + 1;
  const auto larger = PlanOf(subject, more, /*load=*/false);
  ASSERT_TRUE(larger.ok()) << larger.status();
  EXPECT_GT(larger->total(), *options.memory_budget);
  ExpectLoads(subject, options, *plan);

  options.kv_cache_fraction = 0.5;
  const auto half = PlanOf(subject, options, /*load=*/false);
  ASSERT_TRUE(half.ok()) << half.status();
  const uint64_t cache = BytesOf(*half, MemoryCategory::kKvCache);
  const uint64_t rest = *options.memory_budget - (half->total() - cache);
  const uint64_t block = cache / static_cast<uint64_t>(half->kv_blocks);
  EXPECT_TRUE(2 * cache <= rest || half->kv_blocks == least->kv_blocks);
  EXPECT_GT(2 * (cache + block) + 2 * 4096, rest);  // a block more has other parts grow too
  ExpectLoads(subject, options, *half);
}

// Draws what the combination leaves open.
class Chooser {
 public:
  explicit Chooser(uint64_t seed) : random_(seed) {}

  template <typename T>
  T OneOf(std::initializer_list<T> values) {
    return *(values.begin() + random_() % values.size());
  }
  uint64_t Below(uint64_t end) { return random_() % end; }

 private:
  std::mt19937_64 random_;
};

ModelOptions ChooseOptions(const ModelConfig& config, WeightFormat weights, KvFormat kv,
                           Chooser* chooser) {
  using A = ActivationFormat;
  ModelOptions options;
  options.device = "cpu";
  options.weight_format = weights;
  options.kv_format = kv;
  options.activation_format = A::kF32;
  if (weights == WeightFormat::kBf16)
    options.activation_format = chooser->OneOf({A::kF32, A::kBf16});
  if (IsQuantized(weights)) {
    options.activation_format = chooser->OneOf({A::kF32, A::kInt8});
  }
  options.threads = chooser->OneOf({1, 2, 3});
  options.prefix_cache = chooser->OneOf({false, true});
  options.swap_bytes =
      chooser->OneOf({uint64_t{0}, (uint64_t{32} << 20) + chooser->Below(1 << 20)});
  using Tokens = std::optional<int32_t>;
  options.max_batch_tokens = chooser->OneOf({Tokens(), Tokens(1), Tokens(7), Tokens(600)});
  options.max_batch_sequences = chooser->OneOf({Tokens(), Tokens(1), Tokens(3), Tokens(64)});
  options.max_context =
      chooser->OneOf({Tokens(), Tokens(1), Tokens(std::min(50, config.max_position_embeddings))});
  const int64_t least = options.max_context.value_or(1);
  switch (chooser->Below(3)) {
    case 0:
      break;
    case 1:
      options.kv_cache_tokens = least + static_cast<int64_t>(chooser->Below(3000));
      break;
    case 2:
      options.memory_budget = (uint64_t{64} << 20) + chooser->Below(1 << 20);
      break;
  }
  return options;
}

std::string Describe(const Subject& subject, const ModelOptions& options) {
  const auto text = [](auto value) { return value.has_value() ? absl::StrCat(*value) : "default"; };
  return absl::StrCat(subject.name, options.prefix_cache ? ", prefix cache" : "", ", swap ",
                      options.swap_bytes, ", weights ", WeightFormatName(options.weight_format),
                      ", kv ", KvFormatName(options.kv_format), ", activations ",
                      ActivationFormatName(options.activation_format), ", threads ",
                      options.threads, ", context ", text(options.max_context), ", batch tokens ",
                      text(options.max_batch_tokens), ", sequences ",
                      text(options.max_batch_sequences), ", kv tokens ",
                      text(options.kv_cache_tokens), ", budget ", text(options.memory_budget));
}

void CheckCombination(const Subject& subject, const ModelOptions& options, uint64_t spare) {
  SCOPED_TRACE(Describe(subject, options));
  const auto plan = PlanOf(subject, options, /*load=*/false);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ExpectLoads(subject, options, *plan);
  ExpectAllocates(subject, *plan, options.threads, /*reserve_only=*/false);
  CheckFixedBudget(subject, options, *plan);
  CheckOpenBudget(subject, options, spare);
}

constexpr KvFormat kKvFormats[] = {KvFormat::kF32, KvFormat::kBf16, KvFormat::kF16, KvFormat::kInt8,
                                   KvFormat::kInt4};
constexpr WeightFormat kWeightFormats[] = {WeightFormat::kF32, WeightFormat::kBf16,
                                           WeightFormat::kF16, WeightFormat::kInt8,
                                           WeightFormat::kInt4};

// Every format of weights with every format of the cache, and limits drawn for each. Returns how
// many combinations these were.
int CheckAllFormats(const std::vector<Subject>& subjects, uint64_t seed) {
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Chooser chooser(seed);
  int combinations = 0;
  for (const Subject& subject : subjects) {
    std::vector<WeightFormat> formats(std::begin(kWeightFormats), std::end(kWeightFormats));
    if (const auto& stored = subject.config.quantization; stored.has_value()) {
      formats = {stored->format};
    }
    for (const WeightFormat weights : formats) {
      for (const KvFormat kv : kKvFormats) {
        const ModelOptions options = ChooseOptions(subject.config, weights, kv, &chooser);
        CheckCombination(subject, options, chooser.Below(uint64_t{1} << 22));
        ++combinations;
        if (testing::Test::HasFailure()) return combinations;
      }
    }
  }
  return combinations;
}

TEST(PlanTest, IsWhatLoadingTakesInEveryFormatAndBudget) {
  const TemporaryDirectory parent;
  std::vector<Subject> subjects = RandomSubjects();
  subjects.push_back(DirectorySubject("built-in", Abacus()));
  for (const WeightFormat format : {WeightFormat::kInt4, WeightFormat::kInt8}) {
    for (const std::string layout : {"rows", "cpu"}) {
      const std::string name = absl::StrCat("built-in ", WeightFormatName(format), " ", layout);
      ModelOptions options;
      options.weight_format = format;
      options.checkpoint_layout = layout;
      const std::string directory = parent.path() + "/" + name;
      ASSERT_TRUE(QuantizeModel(Abacus(), directory, options).ok());
      subjects.push_back(DirectorySubject(name, directory));
    }
  }
  const std::pair<std::string, ZeroPointModel> zero_points[] = {
      {"awq", {}},
      {"gptq, some plain",
       {.packing = ZeroPointModel::Packing::kGptq, .plain = {"k_proj", "down_proj"}}}};
  for (const auto& [name, model] : zero_points) {
    const std::string directory = parent.path() + "/" + name;
    std::filesystem::create_directory(directory);
    WriteZeroPointModel(model, directory, "");
    subjects.push_back(DirectorySubject(name, directory));
  }
  const int combinations = CheckAllFormats(subjects, std::random_device{}());
  EXPECT_TRUE(HasFailure() || combinations == 6 * 25 + 6 * 5) << combinations;
}

TEST(PlanTest, IsWhatLoadingTakesOfTheReferenceModels) {
  const std::vector<Subject> subjects = ReferenceSubjects();
  if (subjects.empty()) GTEST_SKIP() << "no models under " << LLMCORE_REFERENCE_DIR;
  const int combinations = CheckAllFormats(subjects, std::random_device{}());
  EXPECT_TRUE(HasFailure() || combinations == static_cast<int>(subjects.size()) * 25);
}

// Loading with memory that is only reserved, and so for shapes larger than the machine.
TEST(PlanTest, IsWhatLoadingTakesOfPublishedShapes) {
  Chooser chooser(7);
  int combinations = 0;
  for (const std::string shape : {"qwen2.5-0.5b", "llama-3.2-1b", "llama-3-8b", "qwen2.5-32b"}) {
    const Subject subject = RandomSubject(shape, *SyntheticConfig(shape));
    for (const WeightFormat weights : kWeightFormats) {
      for (const KvFormat kv : kKvFormats) {
        ModelOptions options = ChooseOptions(subject.config, weights, kv, &chooser);
        options.memory_budget.reset();
        SCOPED_TRACE(Describe(subject, options));
        const auto plan = PlanOf(subject, options, /*load=*/false);
        ASSERT_TRUE(plan.ok()) << plan.status();
        const auto synthetic = Model::PlanSynthetic(shape, options);
        ASSERT_TRUE(synthetic.ok()) << synthetic.status();
        EXPECT_EQ(synthetic->ToJson(), plan->ToJson());
        ExpectAllocates(subject, *plan, options.threads, /*reserve_only=*/true);
        ++combinations;
        ASSERT_FALSE(HasFailure());
      }
    }
  }
  EXPECT_EQ(combinations, 4 * 25);
}

TEST(PlanTest, QuantizedCachesTakeTheirBitsAndAQuarterMore) {
  ModelOptions options;
  options.device = "cpu";
  options.kv_cache_tokens = 8192;
  for (const auto& [format, bits] :
       {std::pair(KvFormat::kF32, 32.0), std::pair(KvFormat::kBf16, 16.0),
        std::pair(KvFormat::kF16, 16.0), std::pair(KvFormat::kInt8, 8.25),
        std::pair(KvFormat::kInt4, 4.25)}) {
    options.kv_format = format;
    const auto plan = Model::PlanSynthetic("llama-3-8b", options);
    ASSERT_TRUE(plan.ok()) << plan.status();
    const double values = 8192.0 * 32 * 2 * 8 * 128;
    EXPECT_EQ(static_cast<double>(BytesOf(*plan, MemoryCategory::kKvCache)) * 8 / values, bits)
        << KvFormatName(format);
  }
}

TEST(PlanTest, SwapMemoryHasTheWholeBlocksThatItsBytesHold) {
  ModelOptions options;
  options.device = "cpu";
  options.kv_cache_tokens = 8192;
  const auto without = Model::PlanSynthetic("llama-3.2-1b", options);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_EQ(without->swap_blocks, 0);
  const uint64_t block = without->kv_block_bytes;
  EXPECT_EQ(block, uint64_t{2} * 16 * 32 * 8 * 64 * 2);
  constexpr uint64_t kKept = 64;  // of each, beside it
  for (const auto& [bytes, blocks] :
       {std::pair(block + kKept, 1), std::pair(2 * (block + kKept) - 1, 1),
        std::pair(100 * (block + kKept), 100), std::pair(100 * (block + kKept) + 7, 100)}) {
    options.swap_bytes = bytes;
    const auto plan = Model::PlanSynthetic("llama-3.2-1b", options);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(plan->swap_blocks, blocks);
    EXPECT_EQ(BytesOf(*plan, MemoryCategory::kSwap),
              static_cast<uint64_t>(blocks) * (block + kKept));
    // What a step notes of the blocks that come back is the host's.
    const uint64_t notes = 2 * sizeof(BlockId) * static_cast<uint64_t>(plan->kv_blocks);
    EXPECT_EQ(plan->total(),
              without->total() + notes + static_cast<uint64_t>(blocks) * (block + kKept));
  }
  for (const uint64_t bytes : {uint64_t{1}, block + kKept - 1}) {
    options.swap_bytes = bytes;
    const absl::Status status = Model::PlanSynthetic("llama-3.2-1b", options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  }
  for (const uint64_t bytes : {uint64_t{1} << 50, ~uint64_t{0}}) {
    options.swap_bytes = bytes;
    const auto plan = Model::PlanSynthetic("llama-3.2-1b", options);
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_LE(BytesOf(*plan, MemoryCategory::kSwap), bytes);
  }
}

TEST(PlanTest, AnyBudgetIsAnAnswer) {
  ModelOptions options;
  options.device = "cpu";
  for (const uint64_t budget :
       {uint64_t{1}, uint64_t{1} << 40, uint64_t{1} << 63, ~uint64_t{0} - 1, ~uint64_t{0}}) {
    options.memory_budget = budget;
    for (const double fraction : {1e-300, 0.3, 1.0}) {
      options.kv_cache_fraction = fraction;
      const auto plan = Model::PlanSynthetic("qwen2.5-32b", options);
      ASSERT_TRUE(plan.ok()) << plan.status();
      EXPECT_GE(plan->kv_cache_tokens(), 256);
      EXPECT_LE(plan->kv_cache_tokens(), int64_t{1} << 30);
      EXPECT_TRUE(budget == 1 || plan->total() <= budget);
    }
  }
}

// The headers of a model of 70 billion weights: files of the real sizes, with holes for data.
void WriteHeaders(const std::string& directory) {
  constexpr int kShards = 30;
  constexpr int64_t kHidden = 8192, kInner = 28672, kLayers = 80, kVocabulary = 128256, kKv = 1024;
  std::ofstream(directory + "/config.json")
      << R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
           "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
           "num_attention_heads": 64, "num_key_value_heads": 8, "vocab_size": 128256,
           "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
           "tie_word_embeddings": false})";
  std::vector<std::pair<std::string, std::vector<int64_t>>> tensors = {
      {"model.embed_tokens.weight", {kVocabulary, kHidden}}};
  for (int64_t i = 0; i < kLayers; ++i) {
    const std::string prefix = absl::StrCat("model.layers.", i, ".");
    const auto add = [&](const char* name, std::vector<int64_t> shape) {
      tensors.emplace_back(prefix + name + ".weight", std::move(shape));
    };
    add("input_layernorm", {kHidden});
    add("self_attn.q_proj", {kHidden, kHidden});
    add("self_attn.k_proj", {kKv, kHidden});
    add("self_attn.v_proj", {kKv, kHidden});
    add("self_attn.o_proj", {kHidden, kHidden});
    add("post_attention_layernorm", {kHidden});
    add("mlp.gate_proj", {kInner, kHidden});
    add("mlp.up_proj", {kInner, kHidden});
    add("mlp.down_proj", {kHidden, kInner});
  }
  tensors.emplace_back("model.norm.weight", std::vector<int64_t>{kHidden});
  tensors.emplace_back("lm_head.weight", std::vector<int64_t>{kVocabulary, kHidden});

  std::string map;
  const size_t share = (tensors.size() + kShards - 1) / kShards;
  for (size_t shard = 0; shard * share < tensors.size(); ++shard) {
    const std::string name = absl::StrCat("model-", shard + 1, "-of-", kShards, ".safetensors");
    std::string header = "{";
    uint64_t offset = 0;
    for (size_t i = shard * share; i < std::min((shard + 1) * share, tensors.size()); ++i) {
      const auto& [tensor, shape] = tensors[i];
      uint64_t bytes = 2;
      std::string extents;
      for (const int64_t extent : shape) {
        bytes *= static_cast<uint64_t>(extent);
        absl::StrAppend(&extents, extents.empty() ? "" : ",", extent);
      }
      absl::StrAppend(&header, header.size() > 1 ? "," : "", "\"", tensor,
                      R"(":{"dtype":"BF16","shape":[)", extents, R"(],"data_offsets":[)", offset,
                      ",", offset + bytes, "]}");
      absl::StrAppend(&map, map.empty() ? "" : ",", "\"", tensor, "\":\"", name, "\"");
      offset += bytes;
    }
    header += "}";
    const uint64_t size = header.size();
    const std::string path = directory + "/" + name;
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(&size), sizeof(size))
        .write(header.data(), static_cast<std::streamsize>(size));
    std::filesystem::resize_file(path, sizeof(size) + size + offset);
  }
  std::ofstream(directory + "/model.safetensors.index.json") << "{\"weight_map\":{" << map << "}}";
}

TEST(PlanTest, OfSeventyBillionWeightsTakesLessThanATenthOfASecond) {
  using Clock = std::chrono::steady_clock;
  const TemporaryDirectory directory;
  WriteHeaders(directory.path());
  ModelOptions options;
  options.device = "cpu";
  double best = 1e9;
  for (int i = 0; i < 7; ++i) {
    const Clock::time_point start = Clock::now();
    const auto plan = Model::Plan(directory.path(), options);
    best = std::min(best, std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    ASSERT_TRUE(plan.ok()) << plan.status();
    // 70,553,706,496 weights and biases in two bytes, of which norms take four.
    EXPECT_NEAR(static_cast<double>(BytesOf(*plan, MemoryCategory::kWeights)), 2.0 * 70553706496,
                10e6);
  }
  std::printf("a plan of 70 billion weights: %.1f ms\n", best);
  if (kSanitized) GTEST_SKIP() << "times mean nothing under a sanitizer";
  EXPECT_LT(best, 100);
}

}  // namespace
}  // namespace llmcore::core
