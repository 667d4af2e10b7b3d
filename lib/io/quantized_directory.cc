#include "lib/io/quantized_directory.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/json.h"
#include "lib/io/model_path.h"
#include "lib/tensor/format.h"

namespace llmcore::core {
namespace {

// Text and settings around the weights; anything else (other weight formats, images) stays behind.
bool IsCopied(absl::string_view name) {
  if (name == "config.json" || absl::EndsWith(name, ".index.json")) return false;
  for (const absl::string_view suffix : {".json", ".jinja", ".model", ".txt", ".md"}) {
    if (absl::EndsWith(name, suffix)) return true;
  }
  return absl::StartsWith(name, "LICENSE") || absl::StartsWith(name, "NOTICE");
}

absl::Status CopyFile(const std::string& from, const std::string& to) {
  LLMCORE_ASSIGN_OR_RETURN(const MappedFile source, MappedFile::Open(from));
  LLMCORE_ASSIGN_OR_RETURN(AtomicFileWriter writer, AtomicFileWriter::Create(to));
  LLMCORE_RETURN_IF_ERROR(writer.Append(source.bytes()));
  return writer.Commit();
}

// The original text with quantization_config as its first member, so that all else stays as it is.
absl::Status WriteConfig(const std::string& from, const std::string& to,
                         const StoredQuantization& quantization) {
  LLMCORE_ASSIGN_OR_RETURN(const JsonObjectDocument json, ReadJsonObject(from));
  if (json.Find("quantization_config") != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(from, " has a \"quantization_config\" already"));
  }
  LLMCORE_ASSIGN_OR_RETURN(std::string text, ReadFile(from, JsonLimits().max_bytes));
  const size_t brace = text.find('{');  // the root is an object
  text.insert(brace + 1, absl::StrCat("\n  \"quantization_config\": {\n"
                                      "    \"quant_method\": \"llmcore\",\n"
                                      "    \"format_version\": 1,\n"
                                      "    \"format\": \"",
                                      WeightFormatName(quantization.format),
                                      "\",\n"
                                      "    \"block_size\": 128,\n"
                                      "    \"layout\": \"",
                                      quantization.layout,
                                      "\"\n"
                                      "  }",
                                      json.size() == 0 ? "" : ","));
  LLMCORE_ASSIGN_OR_RETURN(AtomicFileWriter writer, AtomicFileWriter::Create(to));
  LLMCORE_RETURN_IF_ERROR(writer.Append(text));
  return writer.Commit();
}

}  // namespace

absl::StatusOr<QuantizedDirectory> QuantizedDirectory::Create(const std::string& source,
                                                              const std::string& destination,
                                                              StoredQuantization quantization) {
  if (quantization.format != WeightFormat::kInt4 && quantization.format != WeightFormat::kInt8) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a checkpoint is quantized to int4 or int8, not ", WeightFormatName(quantization.format)));
  }
  if (destination.empty()) return absl::InvalidArgumentError("the destination's path is empty");
  LLMCORE_ASSIGN_OR_RETURN(const std::string directory, ResolveModelPath(source));
  LLMCORE_ASSIGN_OR_RETURN(ModelConfig config, LoadModelConfig(directory));
  if (config.quantization.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(directory, " is quantized already, to ",
                                                   WeightFormatName(config.quantization->format),
                                                   "; start from the original"));
  }
  LLMCORE_ASSIGN_OR_RETURN(Checkpoint checkpoint, Checkpoint::Open(directory));
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListDirectory(directory));
  LLMCORE_ASSIGN_OR_RETURN(AtomicDirectoryWriter writer,
                           AtomicDirectoryWriter::Create(destination));
  for (const std::string& name : names) {
    const std::string path = JoinPath(directory, name);
    if (!IsCopied(name) || !FileExists(path)) continue;
    LLMCORE_RETURN_IF_ERROR(CopyFile(path, JoinPath(writer.path(), name)));
  }
  LLMCORE_RETURN_IF_ERROR(WriteConfig(JoinPath(directory, "config.json"),
                                      JoinPath(writer.path(), "config.json"), quantization));
  return QuantizedDirectory(std::move(config), std::move(quantization), std::move(checkpoint),
                            std::move(writer));
}

std::string QuantizedDirectory::weights_path() const {
  return JoinPath(writer_.path(), "model.safetensors");
}

std::vector<std::pair<std::string, std::string>> QuantizedDirectory::metadata() const {
  return {{"format", "pt"},
          {"llmcore.quantization", std::string(WeightFormatName(quantization_.format))},
          {"llmcore.format_version", "1"},
          {"llmcore.block_size", "128"},
          {"llmcore.layout", quantization_.layout}};
}

}  // namespace llmcore::core
