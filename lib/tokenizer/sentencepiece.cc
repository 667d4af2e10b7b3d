#include "lib/tokenizer/sentencepiece.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"
#include "lib/tokenizer/bpe.h"
#include "lib/tokenizer/normalizers.h"
#include "lib/tokenizer/parts.h"
#include "lib/tokenizer/unigram.h"

namespace llmcore::core {
namespace {

using File = SentencePieceFile;
using PieceType = File::PieceType;

constexpr char kEscapedSpace[] = "\xE2\x96\x81";

absl::Status CheckSupported(const File& file) {
  const auto refuse = [](absl::string_view what) {
    return absl::UnimplementedError(absl::StrCat(what, " is not supported"));
  };
  if (file.model_type == File::ModelType::kWord) return refuse("the model type WORD");
  if (file.model_type == File::ModelType::kChar) return refuse("the model type CHAR");
  if (file.treat_whitespace_as_suffix) return refuse("treat_whitespace_as_suffix");
  if (!file.denormalizer_charsmap.empty()) return refuse("a denormalizer");
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    if (!std::isfinite(file.pieces[id].score)) {
      return absl::InvalidArgumentError(absl::StrCat("piece ", id, " has no finite score"));
    }
    if (file.pieces[id].type == PieceType::kUnused) return refuse("a piece of the type UNUSED");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<TokenId>> FindUnknown(const File& file) {
  std::optional<TokenId> unknown;
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    if (file.pieces[id].type != PieceType::kUnknown) continue;
    if (unknown.has_value()) return absl::InvalidArgumentError("there are two unknown pieces");
    unknown = static_cast<TokenId>(id);
  }
  return unknown;
}

bool IsText(const File& file, TokenId id) {
  const PieceType type = file.pieces[static_cast<size_t>(id)].type;
  return type == PieceType::kNormal || type == PieceType::kUserDefined;
}

// Every way to make a piece of two others; better scores first, and equal ones are equally good.
absl::StatusOr<std::vector<BpeMerge>> MakeMerges(const File& file, const Vocabulary& vocabulary) {
  std::vector<float> scores;
  for (const File::Piece& piece : file.pieces) {
    if (piece.type == PieceType::kNormal) scores.push_back(piece.score);
  }
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  std::vector<BpeMerge> merges;
  for (size_t i = 0; i < file.pieces.size(); ++i) {
    if (file.pieces[i].type != PieceType::kNormal) continue;
    const absl::string_view text = file.pieces[i].text;
    const auto rank =
        std::lower_bound(scores.begin(), scores.end(), file.pieces[i].score, std::greater<>()) -
        scores.begin();
    for (size_t at = 0; at < text.size();) {
      const size_t next = at + DecodeUtf8(text, at).length;
      // SentencePiece would merge a character that is no piece; here symbols are pieces.
      if (!vocabulary.Find(text.substr(at, next - at)).has_value()) {
        return absl::UnimplementedError(absl::StrCat(
            "piece ", i, " has a character that is no piece of its own, which is not supported"));
      }
      const auto left = vocabulary.Find(text.substr(0, at));
      const auto right = vocabulary.Find(text.substr(at));
      if (at > 0 && left && right && IsText(file, *left) && IsText(file, *right)) {
        merges.push_back({*left, *right, static_cast<uint32_t>(rank), static_cast<TokenId>(i)});
      }
      at = next;
    }
  }
  return merges;
}

absl::StatusOr<std::unique_ptr<TokenModel>> MakeBpe(const File& file, Vocabulary vocabulary,
                                                    std::optional<TokenId> unknown) {
  LLMCORE_ASSIGN_OR_RETURN(std::vector<BpeMerge> merges, MakeMerges(file, vocabulary));
  BpeOptions options;
  options.unknown = unknown;
  options.fuse_unknown = true;
  options.byte_fallback = file.byte_fallback;
  LLMCORE_ASSIGN_OR_RETURN(
      auto model, BpeModel::Create(std::move(vocabulary), std::move(merges), std::move(options)));
  return std::unique_ptr<TokenModel>(std::move(model));
}

absl::StatusOr<std::unique_ptr<TokenModel>> MakeUnigram(const File& file, Vocabulary vocabulary,
                                                        std::optional<TokenId> unknown) {
  std::vector<UnigramPiece> pieces;
  pieces.reserve(file.pieces.size());
  for (const File::Piece& piece : file.pieces) {
    pieces.push_back({piece.score, piece.type == PieceType::kNormal});
  }
  const UnigramOptions options = {
      .unknown = unknown, .byte_fallback = file.byte_fallback, .single_precision = true};
  LLMCORE_ASSIGN_OR_RETURN(auto model,
                           UnigramModel::Create(std::move(vocabulary), std::move(pieces), options));
  return std::unique_ptr<TokenModel>(std::move(model));
}

// Control pieces are special and matched in the text as given; user-defined ones are matched in
// normalized text, which is why one with a space never is.
absl::Status AddTokens(const File& file, TokenizerParts* parts) {
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    const File::Piece& piece = file.pieces[id];
    const bool is_user_defined = piece.type == PieceType::kUserDefined;
    const bool is_special = piece.type == PieceType::kControl || piece.type == PieceType::kUnknown;
    if (!is_user_defined && !is_special) continue;
    AddedToken token;
    token.id = static_cast<TokenId>(id);
    token.content = piece.text;
    token.normalized = is_user_defined;
    token.special = is_special;
    token.pattern = piece.text;
    LLMCORE_RETURN_IF_ERROR(AddToken(std::move(token), parts));
  }
  return absl::OkStatus();
}

absl::Status AddNormalizer(const File& file, TokenizerParts* parts) {
  SentencePieceNormalizerOptions options;
  LLMCORE_ASSIGN_OR_RETURN(options.map, CharsMap::Create(file.charsmap));
  for (const File::Piece& piece : file.pieces) {
    if (piece.type == PieceType::kUserDefined) options.verbatim.push_back(piece.text);
  }
  options.add_dummy_prefix = file.add_dummy_prefix;
  options.remove_extra_whitespaces = file.remove_extra_whitespaces;
  options.escape_whitespaces = file.escape_whitespaces;
  parts->normalizers.push_back(MakeSentencePieceNormalizer(std::move(options)));
  return absl::OkStatus();
}

void AddDecoders(const File& file, TokenizerParts* parts) {
  parts->decoders.push_back(MakeReplaceDecoder(kEscapedSpace, " "));
  parts->decoders.push_back(MakeByteFallbackDecoder());
  parts->decoders.push_back(MakeFuseDecoder());
  if (file.add_dummy_prefix || file.remove_extra_whitespaces) {
    parts->decoders.push_back(MakeStripDecoder(' ', 1, 0));
  }
}

void SetRole(const File& file, int64_t id, SpecialRole role, TokenizerParts* parts) {
  const bool is_control = id >= 0 && static_cast<size_t>(id) < file.pieces.size() &&
                          file.pieces[static_cast<size_t>(id)].type == PieceType::kControl;
  if (is_control) parts->special[static_cast<size_t>(role)] = static_cast<TokenId>(id);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenizerParts>> PartsFromSentencePiece(absl::string_view model) {
  LLMCORE_ASSIGN_OR_RETURN(const File file, File::Parse(model));
  LLMCORE_RETURN_IF_ERROR(CheckSupported(file));
  std::vector<Vocabulary::Entry> entries;
  entries.reserve(file.pieces.size());
  for (const File::Piece& piece : file.pieces) {
    entries.push_back({piece.text, static_cast<int64_t>(entries.size())});
  }
  LLMCORE_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::Create(entries));
  LLMCORE_ASSIGN_OR_RETURN(const std::optional<TokenId> unknown, FindUnknown(file));
  auto parts = std::make_unique<TokenizerParts>();
  const bool is_bpe = file.model_type == File::ModelType::kBpe;
  LLMCORE_ASSIGN_OR_RETURN(parts->model, is_bpe
                                             ? MakeBpe(file, std::move(vocabulary), unknown)
                                             : MakeUnigram(file, std::move(vocabulary), unknown));
  LLMCORE_RETURN_IF_ERROR(AddTokens(file, parts.get()));
  LLMCORE_RETURN_IF_ERROR(AddNormalizer(file, parts.get()));
  AddDecoders(file, parts.get());
  SetRole(file, file.bos_id, SpecialRole::kBos, parts.get());
  SetRole(file, file.eos_id, SpecialRole::kEos, parts.get());
  SetRole(file, file.pad_id, SpecialRole::kPad, parts.get());
  parts->special[static_cast<size_t>(SpecialRole::kUnk)] = unknown;
  // Models with such a file and nothing else are of Llama's family, which begins texts with BOS;
  // tokenizer_config.json may say otherwise.
  const auto bos = parts->special[static_cast<size_t>(SpecialRole::kBos)];
  if (is_bpe && bos.has_value()) parts->prefix.push_back(*bos);
  return parts;
}

}  // namespace llmcore::core
