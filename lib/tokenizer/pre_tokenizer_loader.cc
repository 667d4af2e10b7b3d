// The "pre_tokenizer" and "post_processor" of tokenizer.json.
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/tokenizer/component.h"

namespace llmcore::core {
namespace {

absl::StatusOr<std::unique_ptr<PreTokenizer>> ReadByteLevel(const Component& component,
                                                            bool write_alphabet) {
  LLMCORE_RETURN_IF_ERROR(component.Allow({"add_prefix_space", "trim_offsets", "use_regex"}));
  ByteLevelOptions options;
  options.write_alphabet = write_alphabet;
  LLMCORE_ASSIGN_OR_RETURN(options.add_prefix_space, component.object->GetBool("add_prefix_space"));
  LLMCORE_ASSIGN_OR_RETURN(options.use_regex, component.object->GetBoolOr("use_regex", true));
  return MakeByteLevelPreTokenizer(options);
}

absl::StatusOr<std::unique_ptr<PreTokenizer>> ReadMetaspace(const Component& component) {
  LLMCORE_RETURN_IF_ERROR(
      component.Allow({"replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"}));
  const JsonObject& object = *component.object;
  MetaspaceOptions options;
  LLMCORE_ASSIGN_OR_RETURN(options.replacement, component.Character("replacement"));
  LLMCORE_ASSIGN_OR_RETURN(options.split, object.GetBoolOr("split", true));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view name,
                           object.GetStringOr("prepend_scheme", "always"));
  const std::optional<PrependScheme> scheme = ParsePrependScheme(name);
  if (!scheme.has_value()) {
    return absl::UnimplementedError(absl::StrCat("\"prepend_scheme\" is \"", name, "\""));
  }
  options.prepend_scheme = *scheme;
  // Older files say only this.
  LLMCORE_ASSIGN_OR_RETURN(const bool adds_space, object.GetBoolOr("add_prefix_space", true));
  if (!adds_space) options.prepend_scheme = PrependScheme::kNever;
  return MakeMetaspacePreTokenizer(std::move(options));
}

absl::StatusOr<SplitBehavior> ReadBehavior(const JsonObject& object, absl::string_view fallback) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view name, object.GetStringOr("behavior", fallback));
  const std::optional<SplitBehavior> behavior = ParseSplitBehavior(name);
  if (behavior.has_value()) return *behavior;
  return absl::UnimplementedError(absl::StrCat("\"behavior\" is \"", name, "\""));
}

absl::StatusOr<std::unique_ptr<PreTokenizer>> ReadSplit(const Component& component) {
  LLMCORE_RETURN_IF_ERROR(component.Allow({"pattern", "behavior", "invert"}));
  LLMCORE_ASSIGN_OR_RETURN(JsonPattern pattern, ReadPattern(*component.object));
  LLMCORE_ASSIGN_OR_RETURN(const SplitBehavior behavior, ReadBehavior(*component.object, ""));
  LLMCORE_ASSIGN_OR_RETURN(const bool invert, component.object->GetBool("invert"));
  if (pattern.is_regex) return MakeRegexSplit(pattern.text, behavior, invert);
  return MakeStringSplit(std::move(pattern.text), behavior, invert);
}

absl::StatusOr<std::unique_ptr<PreTokenizer>> ReadDelimiter(const Component& component) {
  LLMCORE_RETURN_IF_ERROR(component.Allow({"delimiter"}));
  LLMCORE_ASSIGN_OR_RETURN(std::string delimiter, component.Character("delimiter"));
  return MakeStringSplit(std::move(delimiter), SplitBehavior::kRemoved, /*invert=*/false);
}

absl::StatusOr<std::unique_ptr<PreTokenizer>> ReadFixedLength(const Component& component) {
  LLMCORE_RETURN_IF_ERROR(component.Allow({"length"}));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t length, component.object->GetIntOr("length", 5));
  if (length <= 0) return absl::InvalidArgumentError("\"length\" must be positive");
  return MakeFixedLengthPreTokenizer(static_cast<size_t>(length));
}

absl::StatusOr<std::unique_ptr<PreTokenizer>> ReadPreTokenizer(const Component& component,
                                                               bool write_alphabet) {
  const absl::string_view type = component.type;
  if (type == "ByteLevel") return ReadByteLevel(component, write_alphabet);
  if (type == "Metaspace") return ReadMetaspace(component);
  if (type == "Split") return ReadSplit(component);
  if (type == "CharDelimiterSplit") return ReadDelimiter(component);
  if (type == "FixedLength") return ReadFixedLength(component);
  if (type == "Digits") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({"individual_digits"}));
    LLMCORE_ASSIGN_OR_RETURN(const bool individual, component.object->GetBool("individual_digits"));
    return MakeDigitsPreTokenizer(individual);
  }
  if (type == "Punctuation") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({"behavior"}));
    LLMCORE_ASSIGN_OR_RETURN(const SplitBehavior behavior,
                             ReadBehavior(*component.object, "Isolated"));
    return MakePunctuationPreTokenizer(behavior);
  }
  if (type != "Whitespace" && type != "WhitespaceSplit" && type != "BertPreTokenizer") {
    return component.Unknown();
  }
  LLMCORE_RETURN_IF_ERROR(component.Allow({}));
  if (type == "Whitespace") return MakeWhitespacePreTokenizer();
  if (type == "WhitespaceSplit") return MakeWhitespaceSplitPreTokenizer();
  return MakeBertPreTokenizer();
}

// A token that a post-processor adds: every id must have a token.
absl::Status CheckAddedId(const TokenizerParts& parts, int64_t id) {
  const bool is_known = id >= 0 && id <= kMaxTokenId &&
                        (parts.model->vocabulary().Has(static_cast<TokenId>(id)) ||
                         parts.FindAdded(static_cast<TokenId>(id)) != nullptr);
  if (is_known) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("adds the id ", id, ", which no token has"));
}

// "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, ...]. "pair" is for two
// texts, which are never encoded here.
absl::Status ReadTemplate(const Component& component, TokenizerParts* parts) {
  LLMCORE_RETURN_IF_ERROR(component.Allow({"single", "pair", "special_tokens"}));
  LLMCORE_ASSIGN_OR_RETURN(const auto* const single, component.object->GetArray("single"));
  LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const tokens,
                           component.object->GetObject("special_tokens"));
  std::vector<TokenId> sides[2];
  size_t side = 0;
  for (const JsonValue& value : *single) {
    const JsonObject* const piece = value.if_object();
    if (piece == nullptr || piece->size() != 1) {
      return absl::UnimplementedError("\"single\" has an entry that is not understood");
    }
    const auto& [kind, content] = piece->members()[0];
    LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const fields, content.AsObject());
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view id, fields->GetString("id"));
    if (kind == "Sequence" && id == "A" && side == 0) {
      side = 1;
      continue;
    }
    if (kind != "SpecialToken") {
      return absl::UnimplementedError(
          absl::StrCat("\"single\" has ", kind, " ", id, " where it is not supported"));
    }
    LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const token, tokens->GetObject(id));
    LLMCORE_ASSIGN_OR_RETURN(const auto* const ids, token->GetArray("ids"));
    for (const JsonValue& number : *ids) {
      LLMCORE_ASSIGN_OR_RETURN(const int64_t token_id, number.AsInt());
      LLMCORE_RETURN_IF_ERROR(CheckAddedId(*parts, token_id));
      sides[side].push_back(static_cast<TokenId>(token_id));
    }
  }
  if (side == 0) return absl::UnimplementedError("\"single\" leaves out the text");
  parts->prefix.insert(parts->prefix.begin(), sides[0].begin(), sides[0].end());
  parts->suffix.insert(parts->suffix.end(), sides[1].begin(), sides[1].end());
  return absl::OkStatus();
}

// "cls" and "sep" are [token, id].
absl::Status ReadClsSep(const Component& component, TokenizerParts* parts) {
  const auto read = [&](absl::string_view name) -> absl::StatusOr<TokenId> {
    LLMCORE_ASSIGN_OR_RETURN(const auto* const pair, component.object->GetArray(name));
    if (pair->size() != 2 || (*pair)[1].if_int() == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" must be [token, id]"));
    }
    LLMCORE_RETURN_IF_ERROR(CheckAddedId(*parts, *(*pair)[1].if_int()));
    return static_cast<TokenId>(*(*pair)[1].if_int());
  };
  LLMCORE_ASSIGN_OR_RETURN(const TokenId cls, read("cls"));
  LLMCORE_ASSIGN_OR_RETURN(const TokenId sep, read("sep"));
  parts->prefix.insert(parts->prefix.begin(), cls);
  parts->suffix.push_back(sep);
  return absl::OkStatus();
}

absl::Status ReadPostProcessor(const Component& component, TokenizerParts* parts) {
  if (component.type == "TemplateProcessing") return ReadTemplate(component, parts);
  if (component.type == "BertProcessing") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({"sep", "cls"}));
    return ReadClsSep(component, parts);
  }
  if (component.type == "RobertaProcessing") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({"sep", "cls", "trim_offsets", "add_prefix_space"}));
    return ReadClsSep(component, parts);
  }
  if (component.type != "ByteLevel") return component.Unknown();
  // It adjusts offsets, which are not reported here.
  return component.Allow({"add_prefix_space", "trim_offsets", "use_regex"});
}

}  // namespace

absl::Status ReadPreTokenizers(const JsonObject& tokenizer, bool may_be_byte_level,
                               TokenizerParts* parts, bool* byte_level) {
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<Component> components,
                           ReadComponents(tokenizer, "pre_tokenizer", "pretokenizers"));
  *byte_level = may_be_byte_level && !components.empty() && components.back().type == "ByteLevel";
  for (size_t i = 0; i < components.size(); ++i) {
    const bool is_last = i + 1 == components.size();
    auto pre_tokenizer = ReadPreTokenizer(components[i], !(is_last && *byte_level));
    if (!pre_tokenizer.ok()) return components[i].At(pre_tokenizer.status());
    parts->pre_tokenizers.push_back(*std::move(pre_tokenizer));
  }
  return absl::OkStatus();
}

absl::Status ReadPostProcessors(const JsonObject& tokenizer, TokenizerParts* parts) {
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<Component> components,
                           ReadComponents(tokenizer, "post_processor", "processors"));
  for (const Component& component : components) {
    const absl::Status status = ReadPostProcessor(component, parts);
    if (!status.ok()) return component.At(status);
  }
  return absl::OkStatus();
}

}  // namespace llmcore::core
