#include "lib/config/quantization_config.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/file.h"
#include "lib/base/quote.h"
#include "lib/config/config_fields.h"
#include "lib/tensor/int4.h"

namespace llmcore::core {
namespace {

// Of our own quantizer, whose keys are all known.
absl::StatusOr<StoredQuantization> ParseOwn(const JsonObject& fields) {
  constexpr absl::string_view kKnown[] = {"quant_method", "format_version", "format", "block_size",
                                          "layout"};
  for (const auto& [key, value] : fields.members()) {
    if (std::find(std::begin(kKnown), std::end(kKnown), key) == std::end(kKnown)) {
      return UnsupportedField(key, value);
    }
  }
  StoredQuantization stored;
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view format, fields.GetString("format"));
  if (format != "int4" && format != "int8") {
    return UnsupportedField("format", *fields.Find("format"));
  }
  stored.format = format == "int4" ? WeightFormat::kInt4 : WeightFormat::kInt8;
  LLMCORE_ASSIGN_OR_RETURN(const int64_t version, fields.GetInt("format_version"));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t block_size, fields.GetInt("block_size"));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view layout, fields.GetString("layout"));
  if (version != 1 || block_size != kQuantBlock) {
    return absl::UnimplementedError(absl::StrCat("\"format_version\" is ", version,
                                                 " and \"block_size\" is ", block_size,
                                                 "; only 1 and 128 are supported"));
  }
  stored.layout = std::string(layout);
  return stored;
}

// What published AWQ and GPTQ checkpoints have in common: 4 bits, and groups of whole blocks.
absl::StatusOr<StoredQuantization> ParseBitsAndGroups(const JsonObject& fields,
                                                      absl::string_view bits_key = "bits",
                                                      absl::string_view group_key = "group_size") {
  StoredQuantization stored;
  stored.format = WeightFormat::kInt4Zeros;
  LLMCORE_ASSIGN_OR_RETURN(const int64_t bits, fields.GetInt(bits_key));
  if (bits != 4) return UnsupportedField(bits_key, *fields.Find(bits_key));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t group_size, fields.GetIntOr(group_key, kQuantBlock));
  if (group_size == -1) {
    stored.group_size = 0;
    return stored;
  }
  // A scale of more columns is the scale of each of their blocks; one of fewer has no place.
  if (group_size < kQuantBlock || group_size % kQuantBlock != 0 || group_size > INT32_MAX) {
    return absl::UnimplementedError(absl::StrCat("\"", group_key, "\" is ", group_size,
                                                 ", which is not supported; multiples of 128 and "
                                                 "-1 are"));
  }
  stored.group_size = static_cast<int32_t>(group_size);
  return stored;
}

// UNIMPLEMENTED unless `key` is missing, null, or one of the values, whatever its case.
absl::Status ExpectName(const JsonObject& fields, absl::string_view key,
                        std::initializer_list<absl::string_view> values) {
  if (!IsSet(fields, key)) return absl::OkStatus();
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view name, fields.GetString(key));
  for (const absl::string_view value : values) {
    if (absl::EqualsIgnoreCase(name, value)) return absl::OkStatus();
  }
  return UnsupportedField(key, *fields.Find(key));
}

absl::StatusOr<StoredQuantization> ParseAwq(const JsonObject& fields) {
  const bool own_file = fields.Find("w_bit") != nullptr;  // of AutoAWQ, with names of its own
  LLMCORE_ASSIGN_OR_RETURN(
      StoredQuantization stored,
      own_file ? ParseBitsAndGroups(fields, "w_bit", "q_group_size") : ParseBitsAndGroups(fields));
  stored.method = StoredQuantization::Method::kAwq;
  // The other layouts of AutoAWQ (gemv, gemv_fast, marlin), and those of llm-awq.
  LLMCORE_RETURN_IF_ERROR(ExpectName(fields, "version", {"gemm"}));
  LLMCORE_RETURN_IF_ERROR(ExpectName(fields, "backend", {"autoawq", "auto", "gemm"}));
  // Without zero points of their own weights have one in common, which is stored all the same.
  LLMCORE_RETURN_IF_ERROR(fields.GetBoolOr("zero_point", true).status());
  return stored;
}

// Settings of GPTQModel and AutoRound that change what tensors mean.
constexpr RefusedField kRefusedOfGptq[] = {
    {"is_marlin_format", Neutral::kOff},
    {"dynamic", Neutral::kOff},  // other bits and groups for some modules
    {"adapter", Neutral::kOff},
    {"rotation", Neutral::kOff},
};

absl::StatusOr<StoredQuantization> ParseGptq(const JsonObject& fields) {
  LLMCORE_ASSIGN_OR_RETURN(StoredQuantization stored, ParseBitsAndGroups(fields));
  stored.method = StoredQuantization::Method::kGptq;
  LLMCORE_RETURN_IF_ERROR(RefuseFields(fields, kRefusedOfGptq));
  LLMCORE_RETURN_IF_ERROR(ExpectName(fields, "data_type", {"int"}));
  LLMCORE_RETURN_IF_ERROR(ExpectName(fields, "pack_dtype", {"int32"}));
  bool second = false;
  for (const absl::string_view key : {"checkpoint_format", "format"}) {
    LLMCORE_RETURN_IF_ERROR(ExpectName(fields, key, {"gptq", "gptq_v2"}));
    if (!IsSet(fields, key)) continue;
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view name, fields.GetString(key));
    second |= absl::EqualsIgnoreCase(name, "gptq_v2");
  }
  stored.zero_offset = second ? 0 : 1;
  LLMCORE_RETURN_IF_ERROR(fields.GetBoolOr("sym", true).status());  // as "zero_point" above
  LLMCORE_ASSIGN_OR_RETURN(stored.needs_g_idx, fields.GetBoolOr("desc_act", false));
  return stored;
}

absl::StatusOr<StoredQuantization> ParseMethod(const JsonObject& fields,
                                               absl::string_view by_default = "") {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view method,
                           fields.GetStringOr("quant_method", by_default));
  if (method == "llmcore") return ParseOwn(fields);
  if (method == "awq") return ParseAwq(fields);
  if (method == "gptq") return ParseGptq(fields);
  return absl::UnimplementedError(
      absl::StrCat("\"quant_method\" is ", Quoted(method),
                   ", which is not supported (awq and gptq are); use the original checkpoint, "
                   "which is quantized when it is loaded"));
}

}  // namespace

absl::StatusOr<std::optional<StoredQuantization>> ParseQuantization(const JsonObject& json) {
  if (!IsSet(json, "quantization_config")) return std::nullopt;
  LLMCORE_ASSIGN_OR_RETURN(const JsonObject* fields, json.GetObject("quantization_config"));
  absl::StatusOr<StoredQuantization> stored = ParseMethod(*fields);
  if (!stored.ok()) return Annotate(stored.status(), "\"quantization_config\"");
  return *std::move(stored);
}

absl::StatusOr<std::optional<StoredQuantization>> LoadQuantizationFile(
    const std::string& directory) {
  constexpr std::pair<absl::string_view, absl::string_view> kFiles[] = {
      {"quantize_config.json", "gptq"}, {"quant_config.json", "awq"}};
  for (const auto& [name, method] : kFiles) {
    const std::string path = JoinPath(directory, name);
    if (!FileExists(path)) continue;
    LLMCORE_ASSIGN_OR_RETURN(const JsonObjectDocument json, ReadJsonObject(path));
    absl::StatusOr<StoredQuantization> stored = ParseMethod(json, method);
    if (!stored.ok()) return Annotate(stored.status(), path);
    return *std::move(stored);
  }
  return std::nullopt;
}

}  // namespace llmcore::core
