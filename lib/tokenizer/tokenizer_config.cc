// What tokenizer_config.json adds to tokenizer.json: the roles of special tokens, flags of added
// tokens, and for the Llama family whether BOS and EOS are added.
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/tokenizer/parts.h"

namespace llmcore::core {
namespace {

// A token is given as a string or as an object with its content and flags.
absl::StatusOr<absl::string_view> ContentOf(const JsonValue& value) {
  if (const JsonObject* const object = value.if_object(); object != nullptr) {
    return object->GetString("content");
  }
  return value.AsString();
}

absl::Status ReadFlags(const JsonObject& object, AddedToken* token) {
  LLMCORE_ASSIGN_OR_RETURN(token->single_word, object.GetBoolOr("single_word", token->single_word));
  LLMCORE_ASSIGN_OR_RETURN(token->lstrip, object.GetBoolOr("lstrip", token->lstrip));
  LLMCORE_ASSIGN_OR_RETURN(token->rstrip, object.GetBoolOr("rstrip", token->rstrip));
  LLMCORE_ASSIGN_OR_RETURN(token->normalized, object.GetBoolOr("normalized", token->normalized));
  LLMCORE_ASSIGN_OR_RETURN(token->special, object.GetBoolOr("special", token->special));
  return absl::OkStatus();
}

// "added_tokens_decoder": {"151643": {"content": ..., flags}}. Where it differs from tokenizer.json
// it wins, as in Hugging Face's loader.
absl::Status ReadAddedTokensDecoder(const JsonObject& config, TokenizerParts* parts) {
  const JsonValue* const value = config.Find("added_tokens_decoder");
  if (value == nullptr || value->is_null()) return absl::OkStatus();
  LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const tokens,
                           config.GetObject("added_tokens_decoder"));
  for (const auto& [key, fields] : tokens->members()) {
    const auto at = [name = absl::StrCat("added_tokens_decoder[", key, "]")](
                        const absl::Status& status) { return Annotate(status, name); };
    AddedToken token;
    const JsonObject* const object = fields.if_object();
    if (object == nullptr || !absl::SimpleAtoi(key, &token.id)) {
      return at(absl::InvalidArgumentError("must be an id with an object"));
    }
    const auto content = object->GetString("content");
    if (!content.ok()) return at(content.status());
    token.content = std::string(*content);
    absl::Status status = ReadFlags(*object, &token);
    if (status.ok()) status = AddToken(std::move(token), parts);
    if (!status.ok()) return at(status);
  }
  return absl::OkStatus();
}

// A token with a role is special whether or not the file lists it as an added token.
absl::Status ReadRole(const JsonObject& object, absl::string_view name, SpecialRole role,
                      bool overrides, TokenizerParts* parts) {
  std::optional<TokenId>& slot = parts->special[static_cast<size_t>(role)];
  const JsonValue* const value = object.Find(name);
  if ((slot.has_value() && !overrides) || value == nullptr || value->is_null())
    return absl::OkStatus();
  const auto content = ContentOf(*value);
  if (!content.ok()) return Annotate(content.status(), absl::StrCat("\"", name, "\""));
  const std::optional<TokenId> id = parts->FindToken(*content);
  // A token that the model has no row for cannot be used; padding tokens of this kind are common.
  if (!id.has_value()) return absl::OkStatus();
  slot = id;
  if (parts->FindAdded(*id) != nullptr) return absl::OkStatus();
  AddedToken token;
  token.id = *id;
  token.content = std::string(*content);
  token.normalized = false;
  if (const JsonObject* const fields = value->if_object(); fields != nullptr) {
    LLMCORE_RETURN_IF_ERROR(ReadFlags(*fields, &token));
  }
  token.special = true;
  return AddToken(std::move(token), parts);
}

absl::Status ReadRoles(const JsonObject& object, bool overrides, TokenizerParts* parts) {
  LLMCORE_RETURN_IF_ERROR(ReadRole(object, "bos_token", SpecialRole::kBos, overrides, parts));
  LLMCORE_RETURN_IF_ERROR(ReadRole(object, "eos_token", SpecialRole::kEos, overrides, parts));
  LLMCORE_RETURN_IF_ERROR(ReadRole(object, "unk_token", SpecialRole::kUnk, overrides, parts));
  return ReadRole(object, "pad_token", SpecialRole::kPad, overrides, parts);
}

// The fast tokenizers of these classes replace the post-processor by one made from add_bos_token
// and add_eos_token; the others use the one in tokenizer.json as it is.
bool SetsPostProcessor(absl::string_view tokenizer_class) {
  for (const absl::string_view name :
       {"LlamaTokenizer", "LlamaTokenizerFast", "CodeLlamaTokenizer", "CodeLlamaTokenizerFast",
        "GemmaTokenizer", "GemmaTokenizerFast"}) {
    if (tokenizer_class == name) return true;
  }
  return false;
}

absl::Status SetPostProcessor(const JsonObject& config, TokenizerParts* parts) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view tokenizer_class,
                           config.GetStringOr("tokenizer_class", ""));
  if (!SetsPostProcessor(tokenizer_class)) return absl::OkStatus();
  const auto set = [&](absl::string_view flag, bool fallback, SpecialRole role,
                       std::vector<TokenId>* tokens) -> absl::Status {
    LLMCORE_ASSIGN_OR_RETURN(const bool adds, config.GetBoolOr(flag, fallback));
    const std::optional<TokenId> id = parts->special[static_cast<size_t>(role)];
    if (adds && !id.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", flag, "\" is true, but the vocabulary has no such token"));
    }
    tokens->clear();
    if (adds) tokens->push_back(*id);
    return absl::OkStatus();
  };
  LLMCORE_RETURN_IF_ERROR(set("add_bos_token", true, SpecialRole::kBos, &parts->prefix));
  return set("add_eos_token", false, SpecialRole::kEos, &parts->suffix);
}

}  // namespace

absl::Status ApplyTokenizerConfig(const JsonObject* config, const JsonObject* special_tokens_map,
                                  TokenizerParts* parts) {
  if (config != nullptr) {
    absl::Status status = ReadAddedTokensDecoder(*config, parts);
    if (status.ok()) status = ReadRoles(*config, /*overrides=*/true, parts);
    if (!status.ok()) return Annotate(status, "tokenizer_config.json");
  }
  if (special_tokens_map != nullptr) {
    const absl::Status status = ReadRoles(*special_tokens_map, /*overrides=*/false, parts);
    if (!status.ok()) return Annotate(status, "special_tokens_map.json");
  }
  if (config == nullptr) return absl::OkStatus();
  const absl::Status status = SetPostProcessor(*config, parts);
  return status.ok() ? status : Annotate(status, "tokenizer_config.json");
}

}  // namespace llmcore::core
