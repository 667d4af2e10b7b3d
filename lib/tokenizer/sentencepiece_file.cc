#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"
#include "lib/tokenizer/protobuf.h"
#include "lib/tokenizer/sentencepiece.h"
#include "lib/tokenizer/vocabulary.h"

namespace llmcore::core {
namespace {

// Splits of each piece are looked up, which takes time with the square of its length; trained
// pieces have up to 16 characters, user-defined ones a few dozen.
constexpr size_t kMaxPieceBytes = 256;

// visit(field) for every field of a message.
template <typename Visit>
absl::Status ForEachField(absl::string_view message, Visit visit) {
  ProtobufReader reader(message);
  while (true) {
    LLMCORE_ASSIGN_OR_RETURN(const auto field, reader.Next());
    if (!field.has_value()) return absl::OkStatus();
    LLMCORE_RETURN_IF_ERROR(visit(*field));
  }
}

absl::StatusOr<SentencePieceFile::Piece> ParsePiece(absl::string_view message) {
  SentencePieceFile::Piece piece;
  uint64_t type = 1;
  LLMCORE_RETURN_IF_ERROR(ForEachField(message, [&](const ProtobufField& field) {
    if (field.number == 1) piece.text = std::string(field.bytes);
    if (field.number == 2) piece.score = field.AsFloat();
    if (field.number == 3) type = field.value;
    return absl::OkStatus();
  }));
  if (type < 1 || type > 6) {
    return absl::UnimplementedError(absl::StrCat("has the unknown type ", type));
  }
  if (piece.text.empty() || piece.text.size() > kMaxPieceBytes || !IsValidUtf8(piece.text)) {
    return absl::InvalidArgumentError(
        absl::StrCat("must be UTF-8 text of 1 to ", kMaxPieceBytes, " bytes"));
  }
  piece.type = static_cast<SentencePieceFile::PieceType>(type);
  return piece;
}

// Numbers in the proto are int32, which is sign-extended on the wire.
int64_t SignedValue(const ProtobufField& field) {
  return static_cast<int32_t>(static_cast<uint32_t>(field.value));
}

absl::Status ParseTrainerSpec(absl::string_view message, SentencePieceFile* file) {
  uint64_t model_type = 1;
  LLMCORE_RETURN_IF_ERROR(ForEachField(message, [&](const ProtobufField& field) {
    if (field.number == 3) model_type = field.value;
    if (field.number == 24) file->treat_whitespace_as_suffix = field.value != 0;
    if (field.number == 35) file->byte_fallback = field.value != 0;
    if (field.number == 41) file->bos_id = SignedValue(field);
    if (field.number == 42) file->eos_id = SignedValue(field);
    if (field.number == 43) file->pad_id = SignedValue(field);
    return absl::OkStatus();
  }));
  if (model_type < 1 || model_type > 4) {
    return absl::UnimplementedError(absl::StrCat("the model type ", model_type, " is not known"));
  }
  file->model_type = static_cast<SentencePieceFile::ModelType>(model_type);
  return absl::OkStatus();
}

absl::Status ParseNormalizerSpec(absl::string_view message, SentencePieceFile* file) {
  return ForEachField(message, [&](const ProtobufField& field) {
    if (field.number == 2) file->charsmap = std::string(field.bytes);
    if (field.number == 3) file->add_dummy_prefix = field.value != 0;
    if (field.number == 4) file->remove_extra_whitespaces = field.value != 0;
    if (field.number == 5) file->escape_whitespaces = field.value != 0;
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<SentencePieceFile> SentencePieceFile::Parse(absl::string_view text) {
  SentencePieceFile file;
  const auto add_piece = [&file](absl::string_view message) {
    const size_t id = file.pieces.size();
    if (static_cast<int64_t>(id) > kMaxTokenId) {
      return absl::InvalidArgumentError("there are too many pieces");
    }
    auto piece = ParsePiece(message);
    if (!piece.ok()) return Annotate(piece.status(), absl::StrCat("piece ", id));
    file.pieces.push_back(*std::move(piece));
    return absl::OkStatus();
  };
  const auto read = [&](const ProtobufField& field) {
    if (field.number == 1) return add_piece(field.bytes);
    if (field.number == 2) return ParseTrainerSpec(field.bytes, &file);
    if (field.number == 3) return ParseNormalizerSpec(field.bytes, &file);
    if (field.number != 5) return absl::OkStatus();
    SentencePieceFile denormalizer;
    const absl::Status status = ParseNormalizerSpec(field.bytes, &denormalizer);
    file.denormalizer_charsmap = denormalizer.charsmap;
    return status;
  };
  LLMCORE_RETURN_IF_ERROR(ForEachField(text, read));
  if (file.pieces.empty()) return absl::InvalidArgumentError("there are no pieces");
  return file;
}

}  // namespace llmcore::core
