// tokenizer.json as a whole, and the files of a directory.
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/tokenizer/component.h"
#include "lib/tokenizer/parts.h"
#include "lib/tokenizer/tokenizer.h"

namespace llmcore::core {
namespace {

// The largest published tokenizer.json has 33 MB, with 20 million JSON values at most.
constexpr JsonLimits kTokenizerLimits = {.max_bytes = size_t{64} << 20, .max_depth = 32};
constexpr JsonLimits kConfigLimits = {.max_bytes = size_t{16} << 20, .max_depth = 32};

// The largest published tokenizer.model has 5 MB.
constexpr uint64_t kMaxModelBytes = uint64_t{32} << 20;

absl::StatusOr<AddedToken> ReadAddedToken(const JsonValue& value) {
  LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const object, value.AsObject());
  AddedToken token;
  LLMCORE_ASSIGN_OR_RETURN(const int64_t id, object->GetInt("id"));
  if (id < 0 || id > kMaxTokenId) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"id\" is ", id, ", ids are 0 to ", kMaxTokenId));
  }
  token.id = static_cast<TokenId>(id);
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view content, object->GetString("content"));
  token.content = std::string(content);
  LLMCORE_ASSIGN_OR_RETURN(token.single_word, object->GetBool("single_word"));
  LLMCORE_ASSIGN_OR_RETURN(token.lstrip, object->GetBool("lstrip"));
  LLMCORE_ASSIGN_OR_RETURN(token.rstrip, object->GetBool("rstrip"));
  LLMCORE_ASSIGN_OR_RETURN(token.normalized, object->GetBool("normalized"));
  LLMCORE_ASSIGN_OR_RETURN(token.special, object->GetBool("special"));
  return token;
}

absl::Status ReadAddedTokens(const JsonObject& tokenizer, TokenizerParts* parts) {
  const JsonValue* const value = tokenizer.Find("added_tokens");
  if (value == nullptr || value->is_null()) return absl::OkStatus();
  LLMCORE_ASSIGN_OR_RETURN(const auto* const tokens, tokenizer.GetArray("added_tokens"));
  for (size_t i = 0; i < tokens->size(); ++i) {
    const auto at = [i](const absl::Status& status) {
      return Annotate(status, absl::StrCat("added_tokens[", i, "]"));
    };
    absl::StatusOr<AddedToken> token = ReadAddedToken((*tokens)[i]);
    if (!token.ok()) return at(token.status());
    if (parts->added_by_content.contains(token->content)) {
      return at(absl::InvalidArgumentError(absl::StrCat("\"", token->content, "\" occurs twice")));
    }
    const absl::Status status = AddToken(*std::move(token), parts);
    if (!status.ok()) return at(status);
  }
  return absl::OkStatus();
}

// Byte-level words can go to the model as bytes when it adds nothing to them.
bool ModelMayReadBytes(const JsonObject& tokenizer) {
  const JsonValue* const value = tokenizer.Find("model");
  const JsonObject* const model = value == nullptr ? nullptr : value->if_object();
  if (model == nullptr || model->Find("merges") == nullptr) return false;
  for (const absl::string_view name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const auto text = model->GetStringOr(name, "");
    if (!text.ok() || !text->empty()) return false;
  }
  const auto byte_fallback = model->GetBoolOr("byte_fallback", false);
  return byte_fallback.ok() && !*byte_fallback;
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> MakeTokenizer(
    std::unique_ptr<TokenizerParts> parts, const JsonObject* config,
    const JsonObject* special_tokens_map) {
  LLMCORE_RETURN_IF_ERROR(ApplyTokenizerConfig(config, special_tokens_map, parts.get()));
  LLMCORE_RETURN_IF_ERROR(FinishParts(parts.get()));
  return std::make_shared<const Tokenizer>(std::move(parts));
}

// nullopt when there is no such file.
absl::StatusOr<std::optional<JsonObjectDocument>> ReadOptional(const std::string& path) {
  if (!FileExists(path)) return std::nullopt;
  LLMCORE_ASSIGN_OR_RETURN(JsonObjectDocument object, ReadJsonObject(path, kConfigLimits));
  return std::optional<JsonObjectDocument>(std::move(object));
}

const JsonObject* PointerTo(const std::optional<JsonObjectDocument>& object) {
  return object.has_value() ? &*object : nullptr;
}

absl::StatusOr<std::unique_ptr<TokenizerParts>> ReadParts(const std::string& directory) {
  const std::string json_path = JoinPath(directory, "tokenizer.json");
  if (!FileExists(json_path)) {
    const std::string model_path = JoinPath(directory, "tokenizer.model");
    if (!FileExists(model_path)) {
      return absl::NotFoundError(
          absl::StrCat(directory, " has neither a tokenizer.json nor a tokenizer.model"));
    }
    LLMCORE_ASSIGN_OR_RETURN(const std::string model, ReadFile(model_path, kMaxModelBytes));
    auto parts = PartsFromSentencePiece(model);
    if (!parts.ok()) return Annotate(parts.status(), model_path);
    return parts;
  }
  LLMCORE_ASSIGN_OR_RETURN(const JsonObjectDocument tokenizer,
                           ReadJsonObject(json_path, kTokenizerLimits));
  auto parts = PartsFromJson(tokenizer);
  if (!parts.ok()) return Annotate(parts.status(), json_path);
  return parts;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenizerParts>> PartsFromJson(const JsonObject& tokenizer) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view version,
                           tokenizer.GetStringOr("version", "1.0"));
  if (version != "1.0") {
    return absl::UnimplementedError(absl::StrCat("version \"", version, "\" is not supported"));
  }
  auto parts = std::make_unique<TokenizerParts>();
  bool byte_level = false;
  LLMCORE_RETURN_IF_ERROR(ReadNormalizers(tokenizer, parts.get()));
  LLMCORE_RETURN_IF_ERROR(
      ReadPreTokenizers(tokenizer, ModelMayReadBytes(tokenizer), parts.get(), &byte_level));
  LLMCORE_RETURN_IF_ERROR(ReadModel(tokenizer, byte_level, parts.get()));
  LLMCORE_RETURN_IF_ERROR(ReadDecoders(tokenizer, parts.get()));
  LLMCORE_RETURN_IF_ERROR(ReadAddedTokens(tokenizer, parts.get()));
  LLMCORE_RETURN_IF_ERROR(ReadPostProcessors(tokenizer, parts.get()));
  return parts;
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::FromJson(
    absl::string_view tokenizer_json, absl::string_view tokenizer_config_json) {
  const auto parse = [](absl::string_view text, absl::string_view name,
                        const JsonLimits& limits) -> absl::StatusOr<JsonDocument> {
    absl::StatusOr<JsonDocument> value = ParseJson(text, limits);
    if (!value.ok()) return Annotate(value.status(), name);
    if (value->if_object() == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": the root must be an object, is ", value->kind_name()));
    }
    return value;
  };
  LLMCORE_ASSIGN_OR_RETURN(const JsonDocument tokenizer,
                           parse(tokenizer_json, "tokenizer.json", kTokenizerLimits));
  auto parts = PartsFromJson(*tokenizer.if_object());
  if (!parts.ok()) return Annotate(parts.status(), "tokenizer.json");
  if (tokenizer_config_json.empty()) return MakeTokenizer(*std::move(parts), nullptr, nullptr);
  LLMCORE_ASSIGN_OR_RETURN(const JsonDocument config,
                           parse(tokenizer_config_json, "tokenizer_config.json", kConfigLimits));
  return MakeTokenizer(*std::move(parts), config.if_object(), nullptr);
}

absl::StatusOr<std::shared_ptr<const Tokenizer>> Tokenizer::Load(const std::string& directory) {
  LLMCORE_ASSIGN_OR_RETURN(auto parts, ReadParts(directory));
  LLMCORE_ASSIGN_OR_RETURN(const auto config,
                           ReadOptional(JoinPath(directory, "tokenizer_config.json")));
  LLMCORE_ASSIGN_OR_RETURN(const auto special_tokens_map,
                           ReadOptional(JoinPath(directory, "special_tokens_map.json")));
  auto tokenizer =
      MakeTokenizer(std::move(parts), PointerTo(config), PointerTo(special_tokens_map));
  if (!tokenizer.ok()) return Annotate(tokenizer.status(), directory);
  return tokenizer;
}

}  // namespace llmcore::core
