#include "lib/config/generation_config.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "lib/base/file.h"
#include "lib/config/config_fields.h"

namespace llmcore::core {
namespace {

// Settings of transformers' GenerationConfig that change which text comes out. Not in the list:
// what only concerns its own machinery (use_cache, cache_implementation, output_*, compile_config)
// or speed (assistant models, prompt lookup).
constexpr RefusedField kRefused[] = {
    {"num_beams", Neutral::kOne},
    {"num_beam_groups", Neutral::kOne},
    {"num_return_sequences", Neutral::kOne},
    {"penalty_alpha", Neutral::kOff},
    {"dola_layers", Neutral::kOff},
    {"diversity_penalty", Neutral::kOff},
    {"encoder_repetition_penalty", Neutral::kOne},
    {"no_repeat_ngram_size", Neutral::kOff},
    {"encoder_no_repeat_ngram_size", Neutral::kOff},
    {"bad_words_ids", Neutral::kOff},
    {"force_words_ids", Neutral::kOff},
    {"constraints", Neutral::kOff},
    {"forced_bos_token_id", Neutral::kOff},
    {"forced_eos_token_id", Neutral::kOff},
    {"forced_decoder_ids", Neutral::kOff},
    {"exponential_decay_length_penalty", Neutral::kOff},
    {"suppress_tokens", Neutral::kOff},
    {"begin_suppress_tokens", Neutral::kOff},
    {"sequence_bias", Neutral::kOff},
    {"guidance_scale", Neutral::kOne},
    {"watermarking_config", Neutral::kOff},
    {"min_length", Neutral::kOff},
    {"min_new_tokens", Neutral::kOff},
    {"epsilon_cutoff", Neutral::kOff},
    {"eta_cutoff", Neutral::kOff},
    {"top_h", Neutral::kOff},
    {"stop_strings", Neutral::kOff},
    {"token_healing", Neutral::kOff},
};

constexpr double kMost = 1e6;

absl::StatusOr<std::optional<int64_t>> GetCount(const JsonObject& json, absl::string_view key) {
  if (!IsSet(json, key)) return std::nullopt;
  LLMCORE_ASSIGN_OR_RETURN(const int64_t count, json.GetInt(key));
  if (count < 0 || count > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", key, "\" is out of range: ", count));
  }
  return count;
}

absl::Status RequirePositive(absl::string_view key, std::optional<double> value) {
  if (!value.has_value() || *value > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("\"", key, "\" must be above 0, is ", *value));
}

}  // namespace

absl::StatusOr<GenerationConfig> ParseGenerationConfig(const JsonObject& json) {
  LLMCORE_RETURN_IF_ERROR(RefuseFields(json, kRefused));
  GenerationConfig config;
  if (IsSet(json, "do_sample")) {
    LLMCORE_ASSIGN_OR_RETURN(config.do_sample, json.GetBool("do_sample"));
  }
  LLMCORE_ASSIGN_OR_RETURN(config.temperature, GetOptionalNumber(json, "temperature", 0, kMost));
  LLMCORE_ASSIGN_OR_RETURN(const std::optional<int64_t> top_k, GetCount(json, "top_k"));
  if (top_k.has_value()) config.top_k = static_cast<int32_t>(*top_k);
  LLMCORE_ASSIGN_OR_RETURN(config.top_p, GetOptionalNumber(json, "top_p", 0, 1));
  LLMCORE_ASSIGN_OR_RETURN(config.min_p, GetOptionalNumber(json, "min_p", 0, 1));
  LLMCORE_ASSIGN_OR_RETURN(config.typical_p, GetOptionalNumber(json, "typical_p", 0, 1));
  LLMCORE_RETURN_IF_ERROR(RequirePositive("typical_p", config.typical_p));
  LLMCORE_ASSIGN_OR_RETURN(config.repetition_penalty,
                           GetOptionalNumber(json, "repetition_penalty", 0, kMost));
  LLMCORE_RETURN_IF_ERROR(RequirePositive("repetition_penalty", config.repetition_penalty));
  LLMCORE_ASSIGN_OR_RETURN(config.max_new_tokens, GetCount(json, "max_new_tokens"));
  LLMCORE_ASSIGN_OR_RETURN(config.max_length, GetCount(json, "max_length"));
  LLMCORE_ASSIGN_OR_RETURN(config.bos_token_id, GetTokenId(json, "bos_token_id"));
  LLMCORE_ASSIGN_OR_RETURN(config.pad_token_id, GetTokenId(json, "pad_token_id"));
  LLMCORE_ASSIGN_OR_RETURN(config.eos_token_ids, GetTokenIds(json, "eos_token_id"));
  return config;
}

absl::StatusOr<GenerationConfig> LoadGenerationConfig(const std::string& directory) {
  const std::string path = JoinPath(directory, "generation_config.json");
  if (!FileExists(path)) return GenerationConfig();
  LLMCORE_ASSIGN_OR_RETURN(const JsonObjectDocument json, ReadJsonObject(path));
  absl::StatusOr<GenerationConfig> config = ParseGenerationConfig(json);
  if (!config.ok()) return Annotate(config.status(), path);
  return config;
}

}  // namespace llmcore::core
