#include "lib/config/rope_config.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "lib/base/quote.h"
#include "lib/config/config_fields.h"

namespace llmcore::core {
namespace {

constexpr double kMostTheta = 1e15;  // published bases end at 1e7
constexpr double kMostFactor = 1e6;  // of context extension and of frequencies
constexpr int32_t kMostPositions = 1 << 27;

constexpr struct {
  absl::string_view name;
  RopeScaling scaling;
} kTypes[] = {{"default", RopeScaling::kDefault},
              {"linear", RopeScaling::kLinear},
              {"dynamic", RopeScaling::kDynamic},
              {"llama3", RopeScaling::kLlama3},
              {"yarn", RopeScaling::kYarn}};

// All of them change the result or name the kind, so any other key is refused.
constexpr absl::string_view kKnownKeys[] = {"type",
                                            "rope_type",
                                            "rope_theta",
                                            "factor",
                                            "original_max_position_embeddings",
                                            "low_freq_factor",
                                            "high_freq_factor",
                                            "beta_fast",
                                            "beta_slow",
                                            "mscale",
                                            "mscale_all_dim",
                                            "attention_factor",
                                            "truncate",
                                            "partial_rotary_factor",
                                            "finetuned"};

// "type" is the older name of "rope_type"; some files carry both.
absl::StatusOr<RopeScaling> ParseType(const JsonObject& json) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view older, json.GetStringOr("type", ""));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view newer, json.GetStringOr("rope_type", ""));
  for (const absl::string_view name : {older, newer}) {
    const bool known = std::any_of(std::begin(kTypes), std::end(kTypes),
                                   [name](const auto& type) { return type.name == name; });
    if (!name.empty() && !known) {
      return absl::UnimplementedError(
          absl::StrCat("rope type ", Quoted(name),
                       " is not supported; default, linear, dynamic, llama3 and yarn are"));
    }
  }
  if (!older.empty() && !newer.empty() && older != newer) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"type\" is ", Quoted(older), ", but \"rope_type\" is ", Quoted(newer)));
  }
  const absl::string_view name = newer.empty() ? older : newer;
  for (const auto& type : kTypes) {
    if (type.name == name) return type.scaling;
  }
  return RopeScaling::kDefault;
}

absl::Status ParseLlama3(const JsonObject& json, RopeConfig* rope) {
  LLMCORE_ASSIGN_OR_RETURN(rope->low_freq_factor, json.GetDouble("low_freq_factor"));
  LLMCORE_ASSIGN_OR_RETURN(rope->high_freq_factor, json.GetDouble("high_freq_factor"));
  if (!(rope->low_freq_factor > 0 && rope->low_freq_factor < rope->high_freq_factor &&
        rope->high_freq_factor <= kMostFactor)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"low_freq_factor\" must be above 0 and below \"high_freq_factor\", they are ",
        rope->low_freq_factor, " and ", rope->high_freq_factor));
  }
  return absl::OkStatus();
}

absl::Status ParseYarn(const JsonObject& json, RopeConfig* rope) {
  LLMCORE_ASSIGN_OR_RETURN(rope->beta_fast, GetNumber(json, "beta_fast", 0, kMostFactor, 32));
  LLMCORE_ASSIGN_OR_RETURN(rope->beta_slow, GetNumber(json, "beta_slow", 0, kMostFactor, 1));
  // 0 stands for the default.
  if (rope->beta_fast == 0) rope->beta_fast = 32;
  if (rope->beta_slow == 0) rope->beta_slow = 1;
  if (rope->beta_fast < rope->beta_slow) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"beta_fast\" must not be below \"beta_slow\", they are ", rope->beta_fast,
                     " and ", rope->beta_slow));
  }
  LLMCORE_ASSIGN_OR_RETURN(rope->mscale, GetOptionalNumber(json, "mscale", 0, kMostFactor));
  LLMCORE_ASSIGN_OR_RETURN(rope->mscale_all_dim,
                           GetOptionalNumber(json, "mscale_all_dim", 0, kMostFactor));
  LLMCORE_ASSIGN_OR_RETURN(rope->attention_factor,
                           GetOptionalNumber(json, "attention_factor", 0, kMostFactor));
  LLMCORE_ASSIGN_OR_RETURN(rope->truncate, json.GetBoolOr("truncate", true));
  return absl::OkStatus();
}

// One of the two objects; `root` is the whole config.json.
absl::Status ParseParameters(const JsonObject& json, const JsonObject& root,
                             int32_t max_position_embeddings, RopeConfig* rope) {
  for (const auto& [key, value] : json.members()) {
    if (std::find(std::begin(kKnownKeys), std::end(kKnownKeys), key) == std::end(kKnownKeys)) {
      return UnsupportedField(key, value);
    }
  }
  constexpr RefusedField kRefused[] = {{"partial_rotary_factor", Neutral::kOne}};
  LLMCORE_RETURN_IF_ERROR(RefuseFields(json, kRefused));
  LLMCORE_ASSIGN_OR_RETURN(rope->scaling, ParseType(json));
  if (IsSet(json, "rope_theta")) {
    const double outer = rope->theta;
    LLMCORE_ASSIGN_OR_RETURN(rope->theta, GetNumber(json, "rope_theta", 1.001, kMostTheta, 10000));
    if (IsSet(root, "rope_theta") && rope->theta != outer) {
      return absl::InvalidArgumentError(absl::StrCat("\"rope_theta\" is ", rope->theta,
                                                     " here and ", outer, " at the top level"));
    }
  }
  if (rope->scaling == RopeScaling::kDefault) return absl::OkStatus();

  const bool keeps_original =
      rope->scaling == RopeScaling::kLlama3 || rope->scaling == RopeScaling::kYarn;
  if (keeps_original) {
    const JsonObject& holder = IsSet(root, "original_max_position_embeddings") ? root : json;
    LLMCORE_ASSIGN_OR_RETURN(rope->original_max_position_embeddings,
                             GetSize(holder, "original_max_position_embeddings", kMostPositions,
                                     max_position_embeddings));
  }
  if (rope->scaling == RopeScaling::kYarn && !IsSet(json, "factor")) {
    rope->factor = static_cast<double>(max_position_embeddings) /
                   static_cast<double>(rope->original_max_position_embeddings);
  } else {
    LLMCORE_ASSIGN_OR_RETURN(rope->factor, json.GetDouble("factor"));
  }
  if (!(rope->factor >= 1 && rope->factor <= kMostFactor)) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"factor\" must be in [1, ", kMostFactor, "], is ", rope->factor));
  }
  if (rope->scaling == RopeScaling::kLlama3) return ParseLlama3(json, rope);
  if (rope->scaling == RopeScaling::kYarn) return ParseYarn(json, rope);
  return absl::OkStatus();
}

}  // namespace

absl::string_view RopeScalingName(RopeScaling scaling) {
  for (const auto& type : kTypes) {
    if (type.scaling == scaling) return type.name;
  }
  return "unknown";
}

absl::StatusOr<RopeConfig> ParseRopeConfig(const JsonObject& json,
                                           int32_t max_position_embeddings) {
  RopeConfig base;
  LLMCORE_ASSIGN_OR_RETURN(base.theta, GetNumber(json, "rope_theta", 1.001, kMostTheta, 10000));
  // transformers 4 writes rope_scaling, version 5 rope_parameters; a file made for both has both.
  std::optional<RopeConfig> parsed;
  for (const absl::string_view key : {"rope_scaling", "rope_parameters"}) {
    if (!IsSet(json, key)) continue;
    LLMCORE_ASSIGN_OR_RETURN(const JsonObject* parameters, json.GetObject(key));
    RopeConfig rope = base;
    const absl::Status status = ParseParameters(*parameters, json, max_position_embeddings, &rope);
    if (!status.ok()) return Annotate(status, Quoted(key));
    if (parsed.has_value() && !(rope == *parsed)) {
      return absl::InvalidArgumentError(
          "\"rope_scaling\" and \"rope_parameters\" contradict each other");
    }
    parsed = rope;
  }
  return parsed.value_or(base);
}

}  // namespace llmcore::core
