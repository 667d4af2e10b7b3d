#include "lib/config/model_config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/file.h"
#include "lib/base/quote.h"
#include "lib/config/config_fields.h"
#include "lib/config/quantization_config.h"
#include "lib/config/rope_config.h"

namespace llmcore::core {
namespace {

// Far above any published model, far below what could overflow a size in bytes.
constexpr int32_t kMostHidden = 1 << 17;
constexpr int32_t kMostIntermediate = 1 << 20;
constexpr int32_t kMostLayers = 4096;
constexpr int32_t kMostHeads = 4096;
constexpr int32_t kMostHeadDim = 4096;
constexpr int32_t kMostVocabulary = 1 << 24;
constexpr int32_t kMostPositions = 1 << 27;

// What the configuration classes of transformers assume for missing keys.
struct ArchitectureInfo {
  Architecture architecture;
  absl::string_view name;
  absl::string_view model_type;
  int32_t max_position_embeddings;
  std::optional<int32_t> num_kv_heads;  // unset: as many as heads
  std::optional<int32_t> head_dim;      // unset: hidden_size / num_attention_heads
};
constexpr ArchitectureInfo kArchitectures[] = {
    {Architecture::kLlama, "LlamaForCausalLM", "llama", 2048, std::nullopt, std::nullopt},
    {Architecture::kMistral, "MistralForCausalLM", "mistral", 4096 * 32, 8, std::nullopt},
    {Architecture::kQwen2, "Qwen2ForCausalLM", "qwen2", 32768, 32, std::nullopt},
    {Architecture::kQwen3, "Qwen3ForCausalLM", "qwen3", 32768, 32, 128},
};

// Settings of relatives and derivatives of these architectures that would change the result. Not in
// the list, because transformers ignores them for these architectures as well: auto_map,
// dual_chunk_attention_config, num_nextn_predict_layers.
constexpr RefusedField kRefused[] = {
    {"pretraining_tp", Neutral::kOne},
    {"partial_rotary_factor", Neutral::kOne},
    {"rotary_pct", Neutral::kOne},
    {"rope_ratio", Neutral::kOne},
    {"rope_interleave", Neutral::kOff},
    {"rope_interleaved", Neutral::kOff},
    {"use_mrope", Neutral::kOff},
    {"mrope_section", Neutral::kOff},
    {"no_rope_layers", Neutral::kOff},
    {"no_rope_layer_interval", Neutral::kOff},
    {"alibi", Neutral::kOff},
    {"use_alibi", Neutral::kOff},
    {"attn_logit_softcapping", Neutral::kOff},
    {"final_logit_softcapping", Neutral::kOff},
    {"logit_softcapping", Neutral::kOff},
    {"query_pre_attn_scalar", Neutral::kOff},
    {"attention_multiplier", Neutral::kOff},
    {"embedding_multiplier", Neutral::kOne},
    {"residual_multiplier", Neutral::kOne},
    {"lm_head_multiplier", Neutral::kOne},
    {"logits_scaling", Neutral::kOne},
    {"logit_scale", Neutral::kOne},
    {"scale_emb", Neutral::kOne},
    {"scale_depth", Neutral::kOff},
    {"dim_model_base", Neutral::kOff},
    {"scale_embedding", Neutral::kOff},
    {"attention_chunk_size", Neutral::kOff},
    {"attn_temperature_tuning", Neutral::kOff},
    {"use_bidirectional_attention", Neutral::kOff},
    {"is_causal", Neutral::kTrue},
    {"use_qk_norm", Neutral::kOff},
    {"qk_layernorm", Neutral::kOff},
    {"clip_qkv", Neutral::kOff},
    {"kv_lora_rank", Neutral::kOff},
    {"q_lora_rank", Neutral::kOff},
    {"num_kv_shared_layers", Neutral::kOff},
    {"lm_head_bias", Neutral::kOff},
    {"use_parallel_residual", Neutral::kOff},
    {"num_experts", Neutral::kOff},
    {"num_local_experts", Neutral::kOff},
    {"n_routed_experts", Neutral::kOff},
    {"num_experts_per_tok", Neutral::kOff},
    {"moe_intermediate_size", Neutral::kOff},
    {"block_configs", Neutral::kOff},
    {"per_layer_config", Neutral::kOff},
    {"text_config", Neutral::kOff},
    {"vision_config", Neutral::kOff},
    {"audio_config", Neutral::kOff},
    {"is_encoder_decoder", Neutral::kOff},
    {"add_cross_attention", Neutral::kOff},
    {"pruned_heads", Neutral::kOff},
    {"compression_config", Neutral::kOff},
};

absl::Status UnknownArchitecture(absl::string_view key, absl::string_view name) {
  std::string known;
  for (const ArchitectureInfo& info : kArchitectures) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", info.name);
  }
  return absl::UnimplementedError(absl::StrCat(Quoted(key), " is ", Quoted(name),
                                               ", which is not supported; supported are ", known));
}

absl::StatusOr<const ArchitectureInfo*> FindArchitecture(const JsonObject& json) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view type, json.GetStringOr("model_type", ""));
  const ArchitectureInfo* by_type = nullptr;
  const ArchitectureInfo* by_name = nullptr;
  if (IsSet(json, "architectures")) {
    LLMCORE_ASSIGN_OR_RETURN(const JsonValue::Array* names, json.GetArray("architectures"));
    if (names->size() != 1 || names->front().if_string() == nullptr) {
      return absl::InvalidArgumentError("\"architectures\" must be a list of one name");
    }
    const absl::string_view name = *names->front().if_string();
    for (const ArchitectureInfo& info : kArchitectures) {
      if (info.name == name) by_name = &info;
    }
    if (name == "LLaMAForCausalLM") by_name = &kArchitectures[0];  // first conversions of LLaMA
    if (by_name == nullptr) return UnknownArchitecture("architectures", name);
  }
  for (const ArchitectureInfo& info : kArchitectures) {
    if (info.model_type == type) by_type = &info;
  }
  if (by_type == nullptr && (!type.empty() || by_name == nullptr)) {
    if (type.empty()) {
      return absl::InvalidArgumentError("neither \"architectures\" nor \"model_type\" is there");
    }
    return UnknownArchitecture("model_type", type);
  }
  if (by_name != nullptr && by_type != nullptr && by_name != by_type) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"architectures\" is ", by_name->name, ", but \"model_type\" is ", type));
  }
  return by_name != nullptr ? by_name : by_type;
}

absl::Status ParseSizes(const JsonObject& json, const ArchitectureInfo& info, ModelConfig* config) {
  LLMCORE_ASSIGN_OR_RETURN(config->hidden_size, GetSize(json, "hidden_size", kMostHidden));
  LLMCORE_ASSIGN_OR_RETURN(config->intermediate_size,
                           GetSize(json, "intermediate_size", kMostIntermediate));
  LLMCORE_ASSIGN_OR_RETURN(config->num_layers, GetSize(json, "num_hidden_layers", kMostLayers));
  LLMCORE_ASSIGN_OR_RETURN(config->num_heads, GetSize(json, "num_attention_heads", kMostHeads));
  LLMCORE_ASSIGN_OR_RETURN(config->vocab_size, GetSize(json, "vocab_size", kMostVocabulary));
  LLMCORE_ASSIGN_OR_RETURN(
      config->max_position_embeddings,
      GetSize(json, "max_position_embeddings", kMostPositions, info.max_position_embeddings));

  // An explicit null always means as many as heads; only a missing key takes the class's default.
  const bool has_kv_heads = json.Find("num_key_value_heads") != nullptr;
  const int32_t kv_heads =
      has_kv_heads ? config->num_heads : info.num_kv_heads.value_or(config->num_heads);
  LLMCORE_ASSIGN_OR_RETURN(config->num_kv_heads,
                           GetSize(json, "num_key_value_heads", kMostHeads, kv_heads));
  if (config->num_heads % config->num_kv_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"num_attention_heads\" (", config->num_heads,
        ") must be a multiple of \"num_key_value_heads\" (", config->num_kv_heads, ")"));
  }

  const bool has_head_dim = json.Find("head_dim") != nullptr;
  if (IsSet(json, "head_dim") || (!has_head_dim && info.head_dim.has_value())) {
    LLMCORE_ASSIGN_OR_RETURN(config->head_dim,
                             GetSize(json, "head_dim", kMostHeadDim, info.head_dim));
  } else if (config->hidden_size % config->num_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat("\"hidden_size\" (", config->hidden_size,
                                                   ") must be a multiple of "
                                                   "\"num_attention_heads\" (",
                                                   config->num_heads, ")"));
  } else {
    config->head_dim = config->hidden_size / config->num_heads;
  }
  if (config->head_dim % 2 != 0 || config->head_dim > kMostHeadDim) {
    return absl::InvalidArgumentError(absl::StrCat("the head dimension must be even and at most ",
                                                   kMostHeadDim, ", is ", config->head_dim));
  }
  return absl::OkStatus();
}

absl::StatusOr<GateActivation> ParseActivation(const JsonObject& json) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view name, json.GetStringOr("hidden_act", "silu"));
  if (name == "silu" || name == "swish") return GateActivation::kSilu;
  if (name == "gelu") return GateActivation::kGelu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return GateActivation::kGeluTanh;
  return absl::UnimplementedError(
      absl::StrCat("\"hidden_act\" is ", Quoted(name),
                   ", which is not supported; silu, gelu, gelu_new and gelu_pytorch_tanh are"));
}

absl::Status ParseBiases(const JsonObject& json, ModelConfig* config) {
  const bool fixed = config->architecture == Architecture::kMistral ||
                     config->architecture == Architecture::kQwen2;
  const bool by_default = config->architecture == Architecture::kQwen2;
  LLMCORE_ASSIGN_OR_RETURN(config->qkv_bias, json.GetBoolOr("attention_bias", by_default));
  if (fixed && config->qkv_bias != by_default) {
    return UnsupportedField("attention_bias", *json.Find("attention_bias"));
  }
  config->output_bias = config->qkv_bias && !fixed;
  LLMCORE_ASSIGN_OR_RETURN(config->mlp_bias, json.GetBoolOr("mlp_bias", false));
  if (config->mlp_bias && config->architecture != Architecture::kLlama) {
    return UnsupportedField("mlp_bias", *json.Find("mlp_bias"));
  }
  config->qk_norm = config->architecture == Architecture::kQwen3;
  return absl::OkStatus();
}

// The layers of "layer_types" that are windowed; nullopt when the key is not there.
absl::StatusOr<std::optional<std::vector<bool>>> ParseLayerTypes(const JsonObject& json,
                                                                 int32_t num_layers) {
  if (!IsSet(json, "layer_types")) return std::nullopt;
  LLMCORE_ASSIGN_OR_RETURN(const JsonValue::Array* types, json.GetArray("layer_types"));
  if (types->size() != static_cast<size_t>(num_layers)) {
    return absl::InvalidArgumentError(absl::StrCat("\"layer_types\" has ", types->size(),
                                                   " entries for ", num_layers, " layers"));
  }
  std::vector<bool> windowed;
  for (const JsonValue& type : *types) {
    const absl::string_view* const name = type.if_string();
    if (name == nullptr || (*name != "full_attention" && *name != "sliding_attention")) {
      return absl::UnimplementedError(
          absl::StrCat("\"layer_types\" holds ", ValueText(type), ", which is not supported"));
    }
    windowed.push_back(*name == "sliding_attention");
  }
  return windowed;
}

// The window of those layers that have one; 0 for none.
absl::StatusOr<int32_t> ParseWindow(const JsonObject& json, Architecture architecture) {
  const JsonValue* const window = json.Find("sliding_window");
  constexpr int32_t kByDefault = 4096;
  switch (architecture) {
    case Architecture::kLlama:
      if (IsSet(json, "sliding_window")) return UnsupportedField("sliding_window", *window);
      return 0;
    case Architecture::kMistral:
      break;
    case Architecture::kQwen2:
    case Architecture::kQwen3: {
      LLMCORE_ASSIGN_OR_RETURN(const bool used, json.GetBoolOr("use_sliding_window", false));
      if (!used) return 0;
      break;
    }
  }
  if (window != nullptr && window->is_null()) return 0;
  return GetSize(json, "sliding_window", kMostPositions, kByDefault);
}

absl::Status ParseSlidingWindow(const JsonObject& json, ModelConfig* config) {
  const auto layers = static_cast<size_t>(config->num_layers);
  LLMCORE_ASSIGN_OR_RETURN(const int32_t window, ParseWindow(json, config->architecture));
  LLMCORE_ASSIGN_OR_RETURN(const std::optional<std::vector<bool>> types,
                           ParseLayerTypes(json, config->num_layers));
  size_t first_windowed = 0;
  const bool is_qwen =
      config->architecture == Architecture::kQwen2 || config->architecture == Architecture::kQwen3;
  if (is_qwen && window > 0) {
    LLMCORE_ASSIGN_OR_RETURN(const int64_t first, json.GetIntOr("max_window_layers", 28));
    if (first < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"max_window_layers\" must not be negative, is ", first));
    }
    first_windowed = static_cast<size_t>(first);
  }
  config->sliding_window.assign(layers, 0);
  for (size_t layer = 0; layer < layers; ++layer) {
    const bool windowed = window > 0 && layer >= first_windowed;
    const bool wanted = types.has_value() ? (*types)[layer] : windowed;
    // Only the Qwen classes read layer_types; elsewhere and without a window it must say the same.
    if (wanted != windowed && (!is_qwen || window == 0)) {
      return absl::UnimplementedError(
          absl::StrCat("\"layer_types\" contradicts the sliding window in layer ", layer));
    }
    config->sliding_window[layer] = wanted ? window : 0;
  }
  return absl::OkStatus();
}

// transformers 5 writes "dtype", earlier versions "torch_dtype".
std::optional<DType> StoredDType(const JsonObject& json) {
  for (const absl::string_view key : {"dtype", "torch_dtype"}) {
    const JsonValue* const value = json.Find(key);
    if (value == nullptr || value->if_string() == nullptr) continue;
    const absl::string_view name = absl::StripPrefix(*value->if_string(), "torch.");
    if (name == "float32") return DType::kF32;
    if (name == "bfloat16") return DType::kBf16;
    if (name == "float16") return DType::kF16;
  }
  return std::nullopt;
}

}  // namespace

absl::string_view ArchitectureName(Architecture architecture) {
  for (const ArchitectureInfo& info : kArchitectures) {
    if (info.architecture == architecture) return info.name;
  }
  return "unknown";
}

absl::StatusOr<ModelConfig> ParseModelConfig(const JsonObject& json) {
  ModelConfig config;
  LLMCORE_ASSIGN_OR_RETURN(const ArchitectureInfo* info, FindArchitecture(json));
  config.architecture = info->architecture;
  LLMCORE_RETURN_IF_ERROR(RefuseFields(json, kRefused));
  LLMCORE_ASSIGN_OR_RETURN(config.quantization, ParseQuantization(json));
  LLMCORE_RETURN_IF_ERROR(ParseSizes(json, *info, &config));
  LLMCORE_ASSIGN_OR_RETURN(config.rms_norm_eps, GetNumber(json, "rms_norm_eps", 1e-12, 0.1, 1e-6));
  LLMCORE_ASSIGN_OR_RETURN(config.activation, ParseActivation(json));
  LLMCORE_ASSIGN_OR_RETURN(config.rope, ParseRopeConfig(json, config.max_position_embeddings));
  LLMCORE_RETURN_IF_ERROR(ParseBiases(json, &config));
  LLMCORE_RETURN_IF_ERROR(ParseSlidingWindow(json, &config));
  LLMCORE_ASSIGN_OR_RETURN(config.tie_word_embeddings,
                           json.GetBoolOr("tie_word_embeddings", false));
  LLMCORE_ASSIGN_OR_RETURN(config.bos_token_id, GetTokenId(json, "bos_token_id"));
  LLMCORE_ASSIGN_OR_RETURN(config.pad_token_id, GetTokenId(json, "pad_token_id"));
  LLMCORE_ASSIGN_OR_RETURN(config.eos_token_ids, GetTokenIds(json, "eos_token_id"));
  config.dtype = StoredDType(json);
  return config;
}

absl::StatusOr<ModelConfig> LoadModelConfig(const std::string& directory) {
  const std::string path = JoinPath(directory, "config.json");
  if (!FileExists(path)) {
    if (!DirectoryExists(directory)) {
      return absl::NotFoundError(absl::StrCat("there is no directory ", directory));
    }
    return absl::NotFoundError(absl::StrCat(
        directory, " has no config.json, so it is not a Hugging Face model directory"));
  }
  LLMCORE_ASSIGN_OR_RETURN(const JsonObjectDocument json, ReadJsonObject(path));
  absl::StatusOr<ModelConfig> config = ParseModelConfig(json);
  if (!config.ok()) return Annotate(config.status(), path);
  if (!config->quantization.has_value()) {
    LLMCORE_ASSIGN_OR_RETURN(config->quantization, LoadQuantizationFile(directory));
  }
  return config;
}

}  // namespace llmcore::core
