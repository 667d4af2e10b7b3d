#include "lib/session/saved_session.h"

#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/checked.h"
#include "lib/base/checksum.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/engine/engine.h"

namespace llmcore::core {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is written as it lies");

constexpr absl::string_view kMagic = "LLMCSESS";
constexpr uint32_t kVersion = 1;
constexpr uint64_t kHeaderBytes = 16;  // magic, version, size of the metadata
constexpr uint64_t kMaxMetadataBytes = uint64_t{256} << 20;

std::string MetadataJson(const Model& model, const SavedSession& session,
                         const KvSequence& sequence) {
  const Engine& engine = model.engine();
  const Conversation& conversation = session.conversation;
  std::string json = "{\"model\": ";
  AppendJsonString(model.fingerprint(), &json);
  absl::StrAppend(&json, ", \"tokens\": ", session.tokens.size(), ", \"kv_layout\": ");
  AppendJsonString(engine.KvLayoutName(), &json);
  absl::StrAppend(&json, ", \"kv_length\": ", sequence.length(),
                  ", \"block_tokens\": ", sequence.block_tokens(),
                  ", \"block_bytes\": ", engine.saved_block_bytes(), ", \"messages\": [");
  for (size_t i = 0; i < conversation.messages.size(); ++i) {
    const Message& message = conversation.messages[i];
    absl::StrAppend(&json, i == 0 ? "" : ", ", "{\"role\": ");
    AppendJsonString(message.role, &json);
    absl::StrAppend(&json, ", \"content\": ");
    AppendJsonString(message.content, &json);
    absl::StrAppend(&json, ", \"end\": ", message.end, "}");
  }
  absl::StrAppend(&json, "], \"variables\": ");
  AppendJsonString(conversation.variables, &json);
  absl::StrAppend(&json, ", \"needs_prompt\": ", conversation.needs_prompt ? "true" : "false",
                  ", \"was_conversation\": ", session.was_conversation ? "true" : "false", "}");
  return json;
}

// Appends to a file and to the checksum at its end.
class ChecksummedWriter {
 public:
  explicit ChecksummedWriter(AtomicFileWriter writer) : writer_(std::move(writer)) {}

  absl::Status Append(std::span<const std::byte> bytes) {
    checksum_.Add(bytes);
    return writer_.Append(bytes);
  }
  absl::Status Append(absl::string_view text) {
    return Append(std::as_bytes(std::span(text.data(), text.size())));
  }
  absl::Status AppendNumber(uint32_t value) { return Append(std::as_bytes(std::span(&value, 1))); }
  absl::Status Commit() {
    const Checksum::Digest digest = checksum_.Finish();
    LLMCORE_RETURN_IF_ERROR(writer_.Append(digest));
    return writer_.Commit();
  }

 private:
  AtomicFileWriter writer_;
  Checksum checksum_;
};

absl::Status Damaged(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("the saved session is damaged: ", what));
}

// A file whose checksum is right, cut into its parts; nothing of their content is checked yet.
struct FileParts {
  absl::string_view metadata;
  std::span<const std::byte> rest;  // tokens, then blocks
};

absl::StatusOr<FileParts> CheckFile(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeaderBytes + sizeof(Checksum::Digest)) return Damaged("it is too short");
  const auto* const text = reinterpret_cast<const char*>(bytes.data());
  if (absl::string_view(text, kMagic.size()) != kMagic) {
    return absl::InvalidArgumentError("this is not a saved session");
  }
  uint32_t version;
  uint32_t metadata_bytes;
  std::memcpy(&version, bytes.data() + 8, sizeof(version));
  std::memcpy(&metadata_bytes, bytes.data() + 12, sizeof(metadata_bytes));
  if (version != kVersion) {
    return absl::UnimplementedError(absl::StrCat("saved session of format version ", version,
                                                 ", this library reads ", kVersion));
  }
  const std::span<const std::byte> content = bytes.first(bytes.size() - sizeof(Checksum::Digest));
  Checksum checksum;
  checksum.Add(content);
  const Checksum::Digest digest = checksum.Finish();
  if (std::memcmp(digest.data(), bytes.data() + content.size(), digest.size()) != 0) {
    return Damaged("its checksum does not match");
  }
  if (metadata_bytes > content.size() - kHeaderBytes) return Damaged("its metadata is cut off");
  return FileParts{absl::string_view(text + kHeaderBytes, metadata_bytes),
                   content.subspan(kHeaderBytes + metadata_bytes)};
}

absl::Status ReadConversation(const JsonObject& metadata, uint64_t tokens, SavedSession* session) {
  Conversation& conversation = session->conversation;
  LLMCORE_ASSIGN_OR_RETURN(const JsonValue::Array* const messages, metadata.GetArray("messages"));
  for (const JsonValue& value : *messages) {
    LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const object, value.AsObject());
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view role, object->GetString("role"));
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view content, object->GetString("content"));
    LLMCORE_ASSIGN_OR_RETURN(const int64_t end, object->GetInt("end"));
    if (end < 0 || static_cast<uint64_t>(end) > tokens) return Damaged("a message ends nowhere");
    conversation.messages.push_back(
        {std::string(role), std::string(content), static_cast<uint64_t>(end)});
  }
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view variables, metadata.GetString("variables"));
  LLMCORE_ASSIGN_OR_RETURN(conversation.variables,
                           TemplateVariables(absl::StrCat("{", variables, "}")));
  LLMCORE_ASSIGN_OR_RETURN(conversation.needs_prompt, metadata.GetBool("needs_prompt"));
  LLMCORE_ASSIGN_OR_RETURN(session->was_conversation, metadata.GetBool("was_conversation"));
  return absl::OkStatus();
}

absl::Status ReadTokens(std::span<const std::byte> bytes, int32_t vocabulary,
                        std::vector<TokenId>* tokens) {
  tokens->resize(bytes.size() / sizeof(TokenId));
  if (!bytes.empty()) std::memcpy(tokens->data(), bytes.data(), bytes.size());
  for (const TokenId token : *tokens) {
    if (token < 0 || token >= vocabulary) return Damaged("a token is outside the vocabulary");
  }
  return absl::OkStatus();
}

absl::StatusOr<SavedSession> ReadSession(const Model& model, const FileParts& file,
                                         KvSequence* sequence) {
  Engine& engine = model.engine();
  LLMCORE_ASSIGN_OR_RETURN(const JsonDocument value,
                           ParseJson(file.metadata, {.max_bytes = kMaxMetadataBytes}));
  LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const metadata, value.AsObject());
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view fingerprint, metadata->GetString("model"));
  if (fingerprint != model.fingerprint()) {
    return absl::FailedPreconditionError(
        "the saved session is of another model, or of the same in other formats");
  }
  LLMCORE_ASSIGN_OR_RETURN(const int64_t tokens, metadata->GetInt("tokens"));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view layout, metadata->GetString("kv_layout"));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t kv_length, metadata->GetInt("kv_length"));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t block_tokens, metadata->GetInt("block_tokens"));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t block_bytes, metadata->GetInt("block_bytes"));
  if (tokens < 0 || kv_length < 0 || kv_length > tokens || block_tokens <= 0 || block_bytes < 0) {
    return Damaged("its sizes make no sense");
  }
  if (tokens > model.plan().max_context) {
    return absl::OutOfRangeError(
        absl::StrCat("the saved session has ", tokens,
                     " tokens, more than max_context = ", model.plan().max_context));
  }
  const uint64_t token_bytes = static_cast<uint64_t>(tokens) * sizeof(TokenId);
  const uint64_t blocks =
      CeilDivide(static_cast<uint64_t>(kv_length), static_cast<uint64_t>(block_tokens));
  const auto kv_bytes = CheckedMultiply(blocks, static_cast<uint64_t>(block_bytes));
  if (!kv_bytes.has_value() || *kv_bytes > file.rest.size() ||
      file.rest.size() - *kv_bytes != token_bytes) {
    return Damaged("its size does not match its metadata");
  }
  SavedSession session;
  LLMCORE_RETURN_IF_ERROR(
      ReadTokens(file.rest.first(token_bytes), model.config().vocab_size, &session.tokens));
  LLMCORE_RETURN_IF_ERROR(ReadConversation(*metadata, session.tokens.size(), &session));
  const bool same_layout = layout == engine.KvLayoutName() &&
                           block_tokens == sequence->block_tokens() &&
                           static_cast<uint64_t>(block_bytes) == engine.saved_block_bytes();
  if (same_layout && kv_length > 0) {
    const std::span<const std::byte> stored = file.rest.subspan(token_bytes);
    const auto size = static_cast<size_t>(block_bytes);
    const absl::Status filled = engine.FillSequence(
        sequence, kv_length, [&](size_t i) -> absl::StatusOr<std::span<const std::byte>> {
          return stored.subspan(i * size, size);
        });
    if (!filled.ok() && !absl::IsResourceExhausted(filled)) return filled;
  }
  return session;
}

}  // namespace

absl::Status SaveSession(const Model& model, const SavedSession& session,
                         const KvSequence& sequence, const std::string& path) {
  const std::string metadata = MetadataJson(model, session, sequence);
  if (metadata.size() > kMaxMetadataBytes) {
    return absl::OutOfRangeError("the session's messages are too long to be saved");
  }
  LLMCORE_ASSIGN_OR_RETURN(AtomicFileWriter file, AtomicFileWriter::Create(path));
  ChecksummedWriter writer(std::move(file));
  LLMCORE_RETURN_IF_ERROR(writer.Append(kMagic));
  LLMCORE_RETURN_IF_ERROR(writer.AppendNumber(kVersion));
  LLMCORE_RETURN_IF_ERROR(writer.AppendNumber(static_cast<uint32_t>(metadata.size())));
  LLMCORE_RETURN_IF_ERROR(writer.Append(metadata));
  LLMCORE_RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(session.tokens))));
  std::vector<std::byte> block(model.engine().saved_block_bytes());
  for (const BlockId id : sequence.blocks()) {
    LLMCORE_RETURN_IF_ERROR(model.engine().ReadBlock(id, block));
    LLMCORE_RETURN_IF_ERROR(writer.Append(block));
  }
  for (const BlockId place : sequence.swapped_blocks()) {
    model.engine().ReadSwappedBlock(place, block);
    LLMCORE_RETURN_IF_ERROR(writer.Append(block));
  }
  return writer.Commit();
}

absl::StatusOr<SavedSession> RestoreSession(const Model& model, const std::string& path,
                                            KvSequence* sequence) {
  LLMCORE_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  absl::StatusOr<FileParts> parts = CheckFile(file.bytes());
  if (!parts.ok()) return Annotate(parts.status(), path);
  absl::StatusOr<SavedSession> session = ReadSession(model, *parts, sequence);
  if (!session.ok()) return Annotate(session.status(), path);
  return session;
}

}  // namespace llmcore::core
