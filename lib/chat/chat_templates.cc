// The chat templates of a model directory.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/file.h"
#include "lib/chat/chat_template.h"

namespace llmcore::core {
namespace {

// Names and JSON texts of an object that is put together.
using Members = std::vector<std::pair<std::string, std::string>>;

// Variables that transformers passes to a template besides the messages, when a tokenizer has them.
constexpr absl::string_view kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                "pad_token", "cls_token", "mask_token"};

// A token is its text or an object with it; nullptr for neither.
const absl::string_view* TokenText(const JsonValue& token) {
  if (const absl::string_view* text = token.if_string()) return text;
  const JsonObject* const object = token.if_object();
  if (object == nullptr) return nullptr;
  const JsonValue* const content = object->Find("content");
  return content == nullptr ? nullptr : content->if_string();
}

bool Has(const Members& members, absl::string_view name) {
  return std::any_of(members.begin(), members.end(),
                     [name](const auto& member) { return member.first == name; });
}

void AddToken(absl::string_view name, const JsonValue& token, Members* members) {
  const absl::string_view* const text = TokenText(token);
  if (text == nullptr || text->empty() || Has(*members, name)) return;
  std::string json;
  AppendJsonString(*text, &json);
  members->emplace_back(std::string(name), std::move(json));
}

// The special tokens of tokenizer_config.json or special_tokens_map.json that are not there yet.
void AddSpecialTokens(const JsonObject& config, Members* members) {
  for (const absl::string_view name : kSpecialTokens) {
    if (const JsonValue* token = config.Find(name)) AddToken(name, *token, members);
  }
  // Newer models name tokens of their own: {"image_token": "<image>"}.
  for (const absl::string_view key : {"extra_special_tokens", "model_specific_special_tokens"}) {
    const JsonValue* const extra = config.Find(key);
    const JsonObject* const named = extra == nullptr ? nullptr : extra->if_object();
    if (named == nullptr) continue;
    for (const auto& [name, token] : named->members()) AddToken(name, token, members);
  }
  constexpr absl::string_view kAdditional = "additional_special_tokens";
  const JsonValue* const additional = config.Find(kAdditional);
  const JsonValue::Array* const list = additional == nullptr ? nullptr : additional->if_array();
  if (list == nullptr || list->empty() || Has(*members, kAdditional)) return;
  std::string json = "[";
  for (const JsonValue& token : *list) {
    const absl::string_view* const text = TokenText(token);
    if (text == nullptr) continue;
    if (json.size() > 1) json += ", ";
    AppendJsonString(*text, &json);
  }
  members->emplace_back(std::string(kAdditional), json + "]");
}

absl::StatusOr<JsonObjectDocument> MakeObject(const Members& members) {
  std::string text = "{";
  for (const auto& [name, json] : members) {
    if (text.size() > 1) text += ", ";
    AppendJsonString(name, &text);
    absl::StrAppend(&text, ": ", json);
  }
  LLMCORE_ASSIGN_OR_RETURN(JsonDocument document, ParseJson(text + "}"));
  return JsonObjectDocument(std::move(document));
}

struct Sources {
  std::optional<std::string> by_default;
  std::optional<std::string> for_tools;
  std::string origin;  // the file, for errors
};

// "chat_template": a string, a list of {name, template}, or an object of templates by name.
absl::Status TakeTemplates(const JsonObject& config, const std::string& path, Sources* sources) {
  const JsonValue* const value = config.Find("chat_template");
  if (value == nullptr || value->is_null()) return absl::OkStatus();
  sources->origin = path;
  const auto take = [sources](absl::string_view name, absl::string_view source) {
    if (name == "default") sources->by_default = std::string(source);
    if (name == "tool_use") sources->for_tools = std::string(source);
  };
  if (const absl::string_view* source = value->if_string()) {
    take("default", *source);
    return absl::OkStatus();
  }
  if (const JsonObject* object = value->if_object()) {
    for (const auto& [name, source] : object->members()) {
      if (const absl::string_view* text = source.if_string()) take(name, *text);
    }
    return absl::OkStatus();
  }
  const JsonValue::Array* const list = value->if_array();
  if (list == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": \"chat_template\" must be a string or a list, is ", value->kind_name()));
  }
  for (const JsonValue& entry : *list) {
    const JsonObject* const object = entry.if_object();
    if (object == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": an entry of \"chat_template\" is not an object"));
    }
    const auto name = object->GetString("name");
    if (!name.ok()) return Annotate(name.status(), path);
    const auto source = object->GetString("template");
    if (!source.ok()) return Annotate(source.status(), path);
    take(*name, *source);
  }
  return absl::OkStatus();
}

absl::StatusOr<Sources> FindSources(const std::string& directory, const JsonObject* config,
                                    const TemplateLimits& limits) {
  Sources sources;
  const std::string jinja = JoinPath(directory, "chat_template.jinja");
  if (FileExists(jinja)) {
    LLMCORE_ASSIGN_OR_RETURN(sources.by_default, ReadFile(jinja, limits.max_source_bytes));
    sources.origin = jinja;
  }
  const std::string tool_use =
      JoinPath(JoinPath(directory, "additional_chat_templates"), "tool_use.jinja");
  if (FileExists(tool_use)) {
    LLMCORE_ASSIGN_OR_RETURN(sources.for_tools, ReadFile(tool_use, limits.max_source_bytes));
    if (sources.origin.empty()) sources.origin = tool_use;
  }
  if (!sources.origin.empty()) return sources;
  if (config != nullptr) {
    LLMCORE_RETURN_IF_ERROR(
        TakeTemplates(*config, JoinPath(directory, "tokenizer_config.json"), &sources));
  }
  const std::string processor = JoinPath(directory, "chat_template.json");
  if (sources.origin.empty() && FileExists(processor)) {
    LLMCORE_ASSIGN_OR_RETURN(const JsonObjectDocument object, ReadJsonObject(processor));
    LLMCORE_RETURN_IF_ERROR(TakeTemplates(object, processor, &sources));
  }
  return sources;
}

absl::StatusOr<std::optional<ChatTemplate>> ParseSource(const std::optional<std::string>& source,
                                                        const std::string& origin,
                                                        const TemplateLimits& limits) {
  if (!source.has_value()) return std::nullopt;
  absl::StatusOr<ChatTemplate> parsed = ChatTemplate::Parse(*source, limits);
  if (!parsed.ok()) return Annotate(parsed.status(), origin);
  return *std::move(parsed);
}

}  // namespace

absl::StatusOr<ChatTemplates> ChatTemplates::Load(const std::string& directory,
                                                  const TemplateLimits& limits) {
  std::optional<JsonObjectDocument> config;
  const std::string config_path = JoinPath(directory, "tokenizer_config.json");
  if (FileExists(config_path)) {
    LLMCORE_ASSIGN_OR_RETURN(JsonObjectDocument read, ReadJsonObject(config_path));
    config.emplace(std::move(read));
  }
  LLMCORE_ASSIGN_OR_RETURN(const Sources sources,
                           FindSources(directory, config ? &*config : nullptr, limits));
  ChatTemplates result;
  LLMCORE_ASSIGN_OR_RETURN(result.default_template_,
                           ParseSource(sources.by_default, sources.origin, limits));
  LLMCORE_ASSIGN_OR_RETURN(result.tool_use_template_,
                           ParseSource(sources.for_tools, sources.origin, limits));
  if (!result.default_template_ && !result.tool_use_template_) {
    return absl::NotFoundError(absl::StrCat(
        directory, " has no chat template: neither chat_template.jinja nor a \"chat_template\" ",
        "with a default in tokenizer_config.json or chat_template.json"));
  }
  Members tokens;
  if (config.has_value()) AddSpecialTokens(*config, &tokens);
  // Older models keep the tokens in a file of their own.
  const std::string map_path = JoinPath(directory, "special_tokens_map.json");
  const bool is_old = !config.has_value() || config->Find("added_tokens_decoder") == nullptr;
  if (is_old && FileExists(map_path)) {
    LLMCORE_ASSIGN_OR_RETURN(const JsonObjectDocument map, ReadJsonObject(map_path));
    AddSpecialTokens(map, &tokens);
  }
  LLMCORE_ASSIGN_OR_RETURN(JsonObjectDocument object, MakeObject(tokens));
  result.special_tokens_ = std::make_shared<const JsonObjectDocument>(std::move(object));
  return result;
}

absl::StatusOr<std::string> ChatTemplates::Render(absl::string_view messages_json,
                                                  bool add_generation_prompt,
                                                  int64_t now_unix_seconds) const {
  const absl::StatusOr<JsonDocument> parsed = ParseJson(messages_json);
  if (!parsed.ok()) return Annotate(parsed.status(), "chat messages");
  // An array is the messages alone.
  const bool alone = parsed->if_array() != nullptr;
  const JsonObject::Member member = {"messages", *parsed};
  const JsonObject only_messages(&member);
  const JsonObject* const given = alone ? &only_messages : parsed->if_object();
  if (given == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("chat messages must be an array, or an object with \"messages\"; they are ",
                     parsed->kind_name()));
  }
  Members members = {{"add_generation_prompt", add_generation_prompt ? "true" : "false"}};
  if (alone) {
    members.emplace_back("tools", "null");
    members.emplace_back("documents", "null");
  }
  LLMCORE_ASSIGN_OR_RETURN(const JsonObjectDocument defaults, MakeObject(members));
  const JsonObject* const layers[] = {given, special_tokens_.get(), &defaults};
  const JsonValue* const messages = given->Find("messages");
  if (messages == nullptr || messages->if_array() == nullptr) {
    return absl::InvalidArgumentError("chat messages: \"messages\" must be an array");
  }
  const JsonValue* const tools = given->Find("tools");
  const bool has_tools = tools != nullptr && !tools->is_null();
  const bool use_tool_template = tool_use_template_ && (has_tools || !default_template_);
  const ChatTemplate& chosen = use_tool_template ? *tool_use_template_ : *default_template_;
  return chosen.Render(layers, now_unix_seconds);
}

}  // namespace llmcore::core
