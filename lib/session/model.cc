#include "lib/session/model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/checksum.h"
#include "lib/engine/engine.h"
#include "lib/engine/plan_memory.h"
#include "lib/io/checkpoint.h"
#include "lib/io/model_path.h"
#include "lib/model/decoder_weights.h"
#include "lib/session/device.h"
#include "lib/session/synthetic_shapes.h"

namespace llmcore::core {
namespace {

absl::StatusOr<WeightFormat> ResolveWeightFormat(WeightFormat asked, WeightFormat stored) {
  if (asked == WeightFormat::kAuto || asked == stored) return stored;
  if (asked == WeightFormat::kInt4Zeros) {
    return absl::InvalidArgumentError("weights are not quantized to int4-zeros while loading");
  }
  if (IsQuantized(stored)) {
    return absl::InvalidArgumentError(absl::StrCat("the weights are stored in ",
                                                   WeightFormatName(stored), "; ",
                                                   WeightFormatName(asked), " was asked for"));
  }
  return asked;
}

KvFormat ResolveKvFormat(KvFormat asked, WeightFormat weights) {
  if (asked != KvFormat::kAuto) return asked;
  return weights == WeightFormat::kF32 ? KvFormat::kF32 : KvFormat::kBf16;
}

absl::StatusOr<ActivationFormat> ResolveActivationFormat(ActivationFormat asked,
                                                         WeightFormat weights) {
  const bool quantized = IsQuantized(weights);
  if (asked == ActivationFormat::kAuto) {
    return quantized ? ActivationFormat::kInt8 : ActivationFormat::kF32;
  }
  if (asked == ActivationFormat::kBf16 && weights != WeightFormat::kBf16) {
    return absl::InvalidArgumentError("bf16 activations need bf16 weights");
  }
  if (asked == ActivationFormat::kInt8 && !quantized) {
    return absl::InvalidArgumentError("int8 activations need int8 or int4 weights");
  }
  return asked;
}

// What is planned, and then loaded. No weights: random ones.
absl::StatusOr<MemoryPlan> MakePlan(const ModelConfig& config, const ModelOptions& options,
                                    const WeightSource* weights, Backend& backend,
                                    bool enforce_budget) {
  MemoryRequest request;
  request.weights = weights;
  const WeightFormat stored = weights != nullptr ? weights->stored_format() : WeightFormat::kBf16;
  LLMCORE_ASSIGN_OR_RETURN(request.weight_format,
                           ResolveWeightFormat(options.weight_format, stored));
  request.kv_format = ResolveKvFormat(options.kv_format, request.weight_format);
  LLMCORE_ASSIGN_OR_RETURN(
      request.activation_format,
      ResolveActivationFormat(options.activation_format, request.weight_format));
  request.memory_budget = options.memory_budget;
  request.kv_cache_tokens = options.kv_cache_tokens;
  request.kv_cache_fraction = options.kv_cache_fraction;
  request.max_context = options.max_context;
  request.max_batch_tokens = options.max_batch_tokens;
  request.max_batch_sequences = options.max_batch_sequences;
  request.prefix_cache = options.prefix_cache;
  request.swap_bytes = options.swap_bytes;
  const uint64_t free_on_device = backend.FreeMemory();
  request.free_memory = free_on_device > 0 ? free_on_device : FreeHostMemory();
  return PlanMemory(config, request, backend, enforce_budget);
}

std::string Fingerprint(const ModelConfig& config, const MemoryPlan& plan,
                        const WeightSource& source) {
  Checksum checksum;
  checksum.Add(absl::StrCat(
      ArchitectureName(config.architecture), ",", config.hidden_size, ",", config.num_layers, ",",
      config.num_heads, ",", config.num_kv_heads, ",", config.head_dim, ",", config.vocab_size, ",",
      RopeScalingName(config.rope.scaling), ",", config.rope.theta, ",", config.rope.factor, ",",
      WeightFormatName(plan.weight_format), ",", KvFormatName(plan.kv_format), ",",
      ActivationFormatName(plan.activation_format)));
  source.AddSample(&checksum);
  return checksum.Hex();
}

// The directory of a model, its configuration and its weights, all validated from headers.
struct OpenedModel {
  std::string directory;
  ModelConfig config;
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<WeightSource> weights;
};

absl::StatusOr<OpenedModel> OpenModel(absl::string_view path, const Backend& backend) {
  OpenedModel opened;
  LLMCORE_ASSIGN_OR_RETURN(opened.directory, ResolveModelPath(path));
  LLMCORE_ASSIGN_OR_RETURN(opened.config, LoadModelConfig(opened.directory));
  LLMCORE_ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(opened.directory));
  opened.checkpoint = std::make_unique<Checkpoint>(std::move(checkpoint));
  opened.weights = CheckpointWeights(opened.checkpoint.get(), opened.config);
  const absl::Status status = CheckWeights(opened.config, *opened.weights, backend);
  if (!status.ok()) return Annotate(status, opened.directory);
  return opened;
}

WorkControl ControlOf(const ModelOptions& options) {
  return {options.cancel.get(), options.progress};
}

}  // namespace

Model::Model() = default;
Model::~Model() = default;

absl::Status Model::Build(const ModelOptions& options, const WeightSource& weights,
                          std::unique_ptr<Backend> backend) {
  LLMCORE_ASSIGN_OR_RETURN(plan_,
                           MakePlan(config_, options, &weights, *backend, /*enforce_budget=*/true));
  fingerprint_ = Fingerprint(config_, plan_, weights);
  LLMCORE_ASSIGN_OR_RETURN(engine_, Engine::Create(config_, plan_, weights, std::move(backend),
                                                   ControlOf(options), options.scheduler));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Model>> Model::Load(absl::string_view path,
                                                         const ModelOptions& options) {
  LLMCORE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend,
                           CreateBackend(options.device, options.threads, options.deterministic));
  LLMCORE_ASSIGN_OR_RETURN(OpenedModel opened, OpenModel(path, *backend));
  std::shared_ptr<Model> model(new Model);
  model->config_ = opened.config;
  LLMCORE_ASSIGN_OR_RETURN(model->generation_config_, LoadGenerationConfig(opened.directory));
  model->text_ = TextCodec::Load(opened.directory);
  model->FindEndOfText();
  LLMCORE_RETURN_IF_ERROR(model->Build(options, *opened.weights, std::move(backend)));
  if (model->plan_.mapped_bytes > 0) model->mapped_ = std::move(opened.checkpoint);
  if (options.log) {
    options.log(LogLevel::kInfo,
                absl::StrCat("loaded ", opened.directory, " on ", model->BackendDescription(), ": ",
                             model->plan_.total(), " bytes"));
  }
  return std::shared_ptr<const Model>(std::move(model));
}

absl::StatusOr<std::shared_ptr<const Model>> Model::LoadSynthetic(absl::string_view shape,
                                                                  const ModelOptions& options) {
  LLMCORE_ASSIGN_OR_RETURN(ModelConfig config, SyntheticConfig(shape));
  LLMCORE_ASSIGN_OR_RETURN(const std::unique_ptr<WeightSource> weights,
                           RandomWeights(LargestTensor(config)));
  std::shared_ptr<Model> model(new Model);
  model->config_ = std::move(config);
  model->text_ = TextCodec::None(absl::NotFoundError("a synthetic model has no tokenizer"));
  LLMCORE_ASSIGN_OR_RETURN(std::unique_ptr<Backend> backend,
                           CreateBackend(options.device, options.threads, options.deterministic));
  LLMCORE_RETURN_IF_ERROR(model->Build(options, *weights, std::move(backend)));
  return std::shared_ptr<const Model>(std::move(model));
}

absl::StatusOr<MemoryPlan> Model::Plan(absl::string_view path, const ModelOptions& options) {
  LLMCORE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend,
                           CreateBackend(options.device, options.threads, options.deterministic));
  LLMCORE_ASSIGN_OR_RETURN(const OpenedModel opened, OpenModel(path, *backend));
  return MakePlan(opened.config, options, opened.weights.get(), *backend,
                  /*enforce_budget=*/false);
}

absl::StatusOr<MemoryPlan> Model::PlanSynthetic(absl::string_view shape,
                                                const ModelOptions& options) {
  LLMCORE_ASSIGN_OR_RETURN(const ModelConfig config, SyntheticConfig(shape));
  LLMCORE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend,
                           CreateBackend(options.device, options.threads, options.deterministic));
  return MakePlan(config, options, /*weights=*/nullptr, *backend, /*enforce_budget=*/false);
}

void Model::FindEndOfText() {
  end_of_text_ = config_.eos_token_ids;
  end_of_text_.insert(end_of_text_.end(), generation_config_.eos_token_ids.begin(),
                      generation_config_.eos_token_ids.end());
  const auto& tokenizer = text_->tokenizer();
  if (tokenizer.ok() && (*tokenizer)->eos().has_value()) {
    end_of_text_.push_back(*(*tokenizer)->eos());
  }
}

bool Model::IsEndOfText(TokenId token) const {
  return std::find(end_of_text_.begin(), end_of_text_.end(), token) != end_of_text_.end();
}

std::string Model::BackendDescription() const {
  return engine_->BackendDescription();
}

absl::StatusOr<bool> Model::Step() const {
  return engine_->Step();
}

void Model::SetTrace(bool enabled) const {
  engine_->SetTrace(enabled);
}

std::string Model::TraceJson() const {
  return engine_->TraceJson();
}

}  // namespace llmcore::core
