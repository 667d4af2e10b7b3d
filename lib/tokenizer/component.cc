#include "lib/tokenizer/component.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"

namespace llmcore::core {
namespace {

// Sequences in Sequences; published files have one level.
constexpr int kMaxDepth = 8;
constexpr size_t kMaxComponents = 256;
// Texts that are inserted at every match; published ones are a few bytes.
constexpr size_t kMaxTextBytes = 1024;

absl::Status Flatten(const JsonValue& value, std::string path, absl::string_view list, int depth,
                     std::vector<Component>* components) {
  const auto at = [&path](const absl::Status& status) { return Annotate(status, path); };
  const absl::StatusOr<const JsonObject*> object = value.AsObject();
  if (!object.ok()) return at(object.status());
  const absl::StatusOr<absl::string_view> type = (*object)->GetString("type");
  if (!type.ok()) return at(type.status());
  if (*type != "Sequence") {
    if (components->size() >= kMaxComponents) {
      return at(absl::InvalidArgumentError(
          absl::StrCat("there are more than ", kMaxComponents, " components")));
    }
    components->push_back({*object, *type, std::move(path)});
    return absl::OkStatus();
  }
  if (depth == kMaxDepth) return at(absl::InvalidArgumentError("Sequences are nested too deep"));
  const Component sequence = {*object, *type, path};
  LLMCORE_RETURN_IF_ERROR(sequence.Allow({list}));
  const auto entries = (*object)->GetArray(list);
  if (!entries.ok()) return at(entries.status());
  for (size_t i = 0; i < (*entries)->size(); ++i) {
    LLMCORE_RETURN_IF_ERROR(Flatten((**entries)[i], absl::StrCat(path, ".", list, "[", i, "]"),
                                    list, depth + 1, components));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Normalizer>> ReadReplace(const JsonObject& object,
                                                        std::string content) {
  LLMCORE_ASSIGN_OR_RETURN(JsonPattern pattern, ReadPattern(object));
  if (!pattern.is_regex) return MakeReplaceNormalizer(std::move(pattern.text), std::move(content));
  LLMCORE_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern.text));
  return MakeRegexReplaceNormalizer(std::move(regex), std::move(content));
}

absl::StatusOr<std::unique_ptr<Normalizer>> ReadBert(const JsonObject& object) {
  BertNormalizerOptions options;
  LLMCORE_ASSIGN_OR_RETURN(options.clean_text, object.GetBool("clean_text"));
  LLMCORE_ASSIGN_OR_RETURN(options.handle_chinese_chars, object.GetBool("handle_chinese_chars"));
  LLMCORE_ASSIGN_OR_RETURN(options.lowercase, object.GetBool("lowercase"));
  LLMCORE_ASSIGN_OR_RETURN(options.strip_accents,
                           object.GetBoolOr("strip_accents", options.lowercase));
  return MakeBertNormalizer(options);
}

absl::StatusOr<std::unique_ptr<Normalizer>> ReadNormalizer(const Component& component) {
  const absl::string_view type = component.type;
  const JsonObject& object = *component.object;
  if (type == "Prepend") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({"prepend"}));
    LLMCORE_ASSIGN_OR_RETURN(std::string text, component.Text("prepend"));
    return MakePrependNormalizer(std::move(text));
  }
  if (type == "Replace") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({"pattern", "content"}));
    LLMCORE_ASSIGN_OR_RETURN(std::string content, component.Text("content"));
    return ReadReplace(object, std::move(content));
  }
  if (type == "Strip") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({"strip_left", "strip_right"}));
    LLMCORE_ASSIGN_OR_RETURN(const bool left, object.GetBool("strip_left"));
    LLMCORE_ASSIGN_OR_RETURN(const bool right, object.GetBool("strip_right"));
    return MakeStripNormalizer(left, right);
  }
  if (type == "BertNormalizer") {
    LLMCORE_RETURN_IF_ERROR(
        component.Allow({"clean_text", "handle_chinese_chars", "strip_accents", "lowercase"}));
    return ReadBert(object);
  }
  if (type == "Precompiled") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({"precompiled_charsmap"}));
    // Null stands for an empty map.
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view encoded,
                             object.GetStringOr("precompiled_charsmap", ""));
    std::string charsmap;
    if (!absl::Base64Unescape(encoded, &charsmap)) {
      return absl::InvalidArgumentError("\"precompiled_charsmap\" is not base64");
    }
    LLMCORE_ASSIGN_OR_RETURN(CharsMap map, CharsMap::Create(charsmap));
    return MakePrecompiledNormalizer(std::move(map));
  }
  const bool is_plain = type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD" ||
                        type == "Lowercase" || type == "StripAccents" || type == "Nmt" ||
                        type == "ByteLevel";
  if (!is_plain) return component.Unknown();
  LLMCORE_RETURN_IF_ERROR(component.Allow({}));
  if (type == "NFC") return MakeUnicodeNormalizer(NormalizationForm::kNfc);
  if (type == "NFD") return MakeUnicodeNormalizer(NormalizationForm::kNfd);
  if (type == "NFKC") return MakeUnicodeNormalizer(NormalizationForm::kNfkc);
  if (type == "NFKD") return MakeUnicodeNormalizer(NormalizationForm::kNfkd);
  if (type == "Lowercase") return MakeLowercaseNormalizer();
  if (type == "StripAccents") return MakeStripAccentsNormalizer();
  if (type == "Nmt") return MakeNmtNormalizer();
  return MakeByteLevelNormalizer();
}

absl::StatusOr<std::unique_ptr<DecoderStep>> ReadMetaspaceDecoder(const Component& component) {
  LLMCORE_RETURN_IF_ERROR(
      component.Allow({"replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep"}));
  LLMCORE_ASSIGN_OR_RETURN(std::string replacement, component.Character("replacement"));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view scheme,
                           component.object->GetStringOr("prepend_scheme", "always"));
  LLMCORE_ASSIGN_OR_RETURN(const bool adds_space,
                           component.object->GetBoolOr("add_prefix_space", true));
  if (!ParsePrependScheme(scheme).has_value()) {
    return absl::UnimplementedError(absl::StrCat("\"prepend_scheme\" is \"", scheme, "\""));
  }
  return MakeMetaspaceDecoder(std::move(replacement), scheme != "never" && adds_space);
}

absl::StatusOr<std::unique_ptr<DecoderStep>> ReadStripDecoder(const Component& component) {
  LLMCORE_RETURN_IF_ERROR(component.Allow({"content", "start", "stop"}));
  LLMCORE_ASSIGN_OR_RETURN(const std::string content, component.Character("content"));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t start, component.object->GetInt("start"));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t stop, component.object->GetInt("stop"));
  if (start < 0 || stop < 0) {
    return absl::InvalidArgumentError("\"start\" and \"stop\" must not be negative");
  }
  return MakeStripDecoder(DecodeUtf8(content, 0).code_point, static_cast<size_t>(start),
                          static_cast<size_t>(stop));
}

absl::StatusOr<std::unique_ptr<DecoderStep>> ReadDecoder(const Component& component) {
  const absl::string_view type = component.type;
  if (type == "ByteLevel") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({"add_prefix_space", "trim_offsets", "use_regex"}));
    return MakeByteLevelDecoder();
  }
  if (type == "ByteFallback" || type == "Fuse") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({}));
    return type == "Fuse" ? MakeFuseDecoder() : MakeByteFallbackDecoder();
  }
  if (type == "Strip") return ReadStripDecoder(component);
  if (type == "Metaspace") return ReadMetaspaceDecoder(component);
  if (type == "Replace") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({"pattern", "content"}));
    LLMCORE_ASSIGN_OR_RETURN(std::string content, component.Text("content"));
    LLMCORE_ASSIGN_OR_RETURN(JsonPattern pattern, ReadPattern(*component.object));
    if (!pattern.is_regex) return MakeReplaceDecoder(std::move(pattern.text), std::move(content));
    LLMCORE_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern.text));
    return MakeRegexReplaceDecoder(std::move(regex), std::move(content));
  }
  if (type == "BPEDecoder") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({"suffix"}));
    LLMCORE_ASSIGN_OR_RETURN(std::string suffix, component.Text("suffix"));
    return MakeBpeDecoder(std::move(suffix));
  }
  if (type == "WordPiece") {
    LLMCORE_RETURN_IF_ERROR(component.Allow({"prefix", "cleanup"}));
    LLMCORE_ASSIGN_OR_RETURN(std::string prefix, component.Text("prefix"));
    LLMCORE_ASSIGN_OR_RETURN(const bool cleanup, component.object->GetBool("cleanup"));
    return MakeWordPieceDecoder(std::move(prefix), cleanup);
  }
  return component.Unknown();
}

}  // namespace

absl::Status Component::Allow(std::initializer_list<absl::string_view> names) const {
  for (const JsonObject::Member& member : object->members()) {
    const absl::string_view name = member.first;
    if (name == "type" || std::find(names.begin(), names.end(), name) != names.end()) continue;
    return absl::UnimplementedError(
        absl::StrCat("the option \"", name, "\" of ", type, " is not supported"));
  }
  return absl::OkStatus();
}

absl::Status Component::Unknown() const {
  return absl::UnimplementedError(absl::StrCat("the type \"", type, "\" is not supported"));
}

absl::Status Component::At(const absl::Status& status) const {
  return Annotate(status, path);
}

absl::StatusOr<std::string> Component::Character(absl::string_view name) const {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view text, object->GetString(name));
  if (text.empty() || DecodeUtf8(text, 0).length != text.size()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" must be one character"));
  }
  return std::string(text);
}

absl::StatusOr<std::string> Component::Text(absl::string_view name) const {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view text, object->GetString(name));
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" has more than ", kMaxTextBytes, " bytes"));
  }
  return std::string(text);
}

absl::StatusOr<std::vector<Component>> ReadComponents(const JsonObject& tokenizer,
                                                      absl::string_view name,
                                                      absl::string_view list) {
  std::vector<Component> components;
  const JsonValue* const value = tokenizer.Find(name);
  if (value == nullptr || value->is_null()) return components;
  LLMCORE_RETURN_IF_ERROR(Flatten(*value, std::string(name), list, 0, &components));
  return components;
}

absl::StatusOr<JsonPattern> ReadPattern(const JsonObject& object) {
  LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const pattern, object.GetObject("pattern"));
  if (pattern->size() == 1) {
    const auto& [kind, text] = pattern->members()[0];
    if ((kind == "String" || kind == "Regex") && text.if_string() != nullptr) {
      return JsonPattern{kind == "Regex", std::string(*text.if_string())};
    }
  }
  return absl::UnimplementedError(R"("pattern" must be {"String": ...} or {"Regex": ...})");
}

absl::Status ReadNormalizers(const JsonObject& tokenizer, TokenizerParts* parts) {
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<Component> components,
                           ReadComponents(tokenizer, "normalizer", "normalizers"));
  for (const Component& component : components) {
    auto normalizer = ReadNormalizer(component);
    if (!normalizer.ok()) return component.At(normalizer.status());
    parts->normalizers.push_back(*std::move(normalizer));
  }
  return absl::OkStatus();
}

absl::Status ReadDecoders(const JsonObject& tokenizer, TokenizerParts* parts) {
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<Component> components,
                           ReadComponents(tokenizer, "decoder", "decoders"));
  // DecoderChain::Push runs through the steps on the stack.
  if (components.size() > 32) {
    return absl::InvalidArgumentError("decoder: there are more than 32 steps");
  }
  for (const Component& component : components) {
    auto decoder = ReadDecoder(component);
    if (!decoder.ok()) return component.At(decoder.status());
    parts->decoders.push_back(*std::move(decoder));
  }
  return absl::OkStatus();
}

}  // namespace llmcore::core
