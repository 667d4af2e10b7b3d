// The "model" of tokenizer.json.
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/tokenizer/bpe.h"
#include "lib/tokenizer/component.h"
#include "lib/tokenizer/unigram.h"
#include "lib/tokenizer/wordpiece.h"

namespace llmcore::core {
namespace {

absl::StatusOr<std::optional<TokenId>> ReadUnknown(const JsonObject& model,
                                                   const Vocabulary& vocabulary) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view piece, model.GetStringOr("unk_token", ""));
  const JsonValue* const value = model.Find("unk_token");
  if (value == nullptr || value->is_null()) return std::optional<TokenId>();
  const std::optional<TokenId> id = vocabulary.Find(piece);
  if (id.has_value()) return id;
  return absl::InvalidArgumentError(
      absl::StrCat("\"unk_token\" is \"", piece, "\", which is not in the vocabulary"));
}

// A merge is ["a", "b"] or "a b".
absl::Status SplitMerge(const JsonValue& merge, absl::string_view* left, absl::string_view* right) {
  if (const JsonValue::Array* const pair = merge.if_array(); pair != nullptr) {
    if (pair->size() == 2 && (*pair)[0].if_string() != nullptr &&
        (*pair)[1].if_string() != nullptr) {
      *left = *(*pair)[0].if_string();
      *right = *(*pair)[1].if_string();
      return absl::OkStatus();
    }
  } else if (const absl::string_view* const text = merge.if_string(); text != nullptr) {
    const size_t space = text->find(' ');
    if (space != absl::string_view::npos && text->find(' ', space + 1) == absl::string_view::npos) {
      *left = text->substr(0, space);
      *right = text->substr(space + 1);
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError("must be two pieces");
}

absl::StatusOr<std::vector<BpeMerge>> ReadMerges(const JsonValue::Array& merges,
                                                 const Vocabulary& vocabulary,
                                                 const std::string& prefix) {
  std::vector<BpeMerge> result;
  result.reserve(merges.size());
  std::string merged;
  const auto find = [&](size_t i, absl::string_view piece) -> absl::StatusOr<TokenId> {
    const std::optional<TokenId> id = vocabulary.Find(piece);
    if (id.has_value()) return *id;
    return absl::InvalidArgumentError(
        absl::StrCat("\"merges\"[", i, "] needs \"", piece, "\", which is not in the vocabulary"));
  };
  for (size_t i = 0; i < merges.size(); ++i) {
    absl::string_view left;
    absl::string_view right;
    const absl::Status status = SplitMerge(merges[i], &left, &right);
    if (!status.ok()) return Annotate(status, absl::StrCat("\"merges\"[", i, "]"));
    if (right.size() < prefix.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"merges\"[", i, "] lacks the continuing_subword_prefix"));
    }
    merged.assign(left.data(), left.size());
    merged.append(right.data() + prefix.size(), right.size() - prefix.size());
    BpeMerge merge{};
    merge.rank = static_cast<uint32_t>(i);
    LLMCORE_ASSIGN_OR_RETURN(merge.left, find(i, left));
    LLMCORE_ASSIGN_OR_RETURN(merge.right, find(i, right));
    LLMCORE_ASSIGN_OR_RETURN(merge.merged, find(i, merged));
    result.push_back(merge);
  }
  return result;
}

absl::StatusOr<std::unique_ptr<TokenModel>> ReadBpe(const Component& component, bool byte_level) {
  LLMCORE_RETURN_IF_ERROR(
      component.Allow({"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                       "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"}));
  const JsonObject& object = *component.object;
  LLMCORE_ASSIGN_OR_RETURN(const double dropout, object.GetDoubleOr("dropout", 0.0));
  if (dropout != 0.0) {
    return absl::UnimplementedError(
        absl::StrCat("\"dropout\" is ", dropout, ": random segmentation is not supported"));
  }
  LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const vocab, object.GetObject("vocab"));
  LLMCORE_ASSIGN_OR_RETURN(const auto* const merges, object.GetArray("merges"));
  LLMCORE_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::FromJson(*vocab));
  BpeOptions options;
  options.byte_level = byte_level;
  LLMCORE_ASSIGN_OR_RETURN(options.unknown, ReadUnknown(object, vocabulary));
  LLMCORE_ASSIGN_OR_RETURN(options.fuse_unknown, object.GetBoolOr("fuse_unk", false));
  LLMCORE_ASSIGN_OR_RETURN(options.byte_fallback, object.GetBoolOr("byte_fallback", false));
  LLMCORE_ASSIGN_OR_RETURN(options.ignore_merges, object.GetBoolOr("ignore_merges", false));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view prefix,
                           object.GetStringOr("continuing_subword_prefix", ""));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view suffix,
                           object.GetStringOr("end_of_word_suffix", ""));
  options.continuing_subword_prefix = std::string(prefix);
  options.end_of_word_suffix = std::string(suffix);
  LLMCORE_ASSIGN_OR_RETURN(std::vector<BpeMerge> pairs,
                           ReadMerges(*merges, vocabulary, options.continuing_subword_prefix));
  LLMCORE_ASSIGN_OR_RETURN(
      auto model, BpeModel::Create(std::move(vocabulary), std::move(pairs), std::move(options)));
  return std::unique_ptr<TokenModel>(std::move(model));
}

// "vocab" is a list of [piece, score]; the ids are the positions.
absl::StatusOr<std::unique_ptr<TokenModel>> ReadUnigram(const Component& component) {
  LLMCORE_RETURN_IF_ERROR(component.Allow({"unk_id", "vocab", "byte_fallback"}));
  const JsonObject& object = *component.object;
  LLMCORE_ASSIGN_OR_RETURN(const auto* const vocab, object.GetArray("vocab"));
  std::vector<Vocabulary::Entry> entries;
  std::vector<UnigramPiece> pieces;
  entries.reserve(vocab->size());
  pieces.reserve(vocab->size());
  for (size_t i = 0; i < vocab->size(); ++i) {
    const JsonValue::Array* const pair = (*vocab)[i].if_array();
    if (pair == nullptr || pair->size() != 2 || (*pair)[0].if_string() == nullptr ||
        !(*pair)[1].is_number()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"vocab\"[", i, "] must be a piece and a score"));
    }
    LLMCORE_ASSIGN_OR_RETURN(const double score, (*pair)[1].AsDouble());
    entries.push_back({*(*pair)[0].if_string(), static_cast<int64_t>(i)});
    pieces.push_back({score, /*is_matched=*/true});
  }
  UnigramOptions options;
  LLMCORE_ASSIGN_OR_RETURN(options.byte_fallback, object.GetBoolOr("byte_fallback", false));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t unknown, object.GetIntOr("unk_id", -1));
  if (const JsonValue* const value = object.Find("unk_id"); value != nullptr && !value->is_null()) {
    if (unknown < 0 || static_cast<size_t>(unknown) >= vocab->size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"unk_id\" is ", unknown, ", which is not in the vocabulary"));
    }
    options.unknown = static_cast<TokenId>(unknown);
  }
  LLMCORE_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::Create(entries));
  LLMCORE_ASSIGN_OR_RETURN(auto model,
                           UnigramModel::Create(std::move(vocabulary), std::move(pieces), options));
  return std::unique_ptr<TokenModel>(std::move(model));
}

absl::StatusOr<std::unique_ptr<TokenModel>> ReadWordPiece(const Component& component) {
  LLMCORE_RETURN_IF_ERROR(component.Allow(
      {"unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"}));
  const JsonObject& object = *component.object;
  LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const vocab, object.GetObject("vocab"));
  LLMCORE_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::FromJson(*vocab));
  LLMCORE_ASSIGN_OR_RETURN(const auto unknown, ReadUnknown(object, vocabulary));
  if (!unknown.has_value()) return absl::InvalidArgumentError("\"unk_token\" is missing");
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view prefix,
                           object.GetString("continuing_subword_prefix"));
  LLMCORE_ASSIGN_OR_RETURN(const int64_t limit, object.GetInt("max_input_chars_per_word"));
  if (limit < 0) {
    return absl::InvalidArgumentError("\"max_input_chars_per_word\" must not be negative");
  }
  return std::unique_ptr<TokenModel>(std::make_unique<WordPieceModel>(
      std::move(vocabulary), *unknown, prefix, static_cast<size_t>(limit)));
}

absl::StatusOr<std::unique_ptr<TokenModel>> ReadWordLevel(const Component& component) {
  LLMCORE_RETURN_IF_ERROR(component.Allow({"unk_token", "vocab"}));
  LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const vocab, component.object->GetObject("vocab"));
  LLMCORE_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::FromJson(*vocab));
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view unknown,
                           component.object->GetString("unk_token"));
  const std::optional<TokenId> id = vocabulary.Find(unknown);
  return std::unique_ptr<TokenModel>(std::make_unique<WordLevelModel>(std::move(vocabulary), id));
}

}  // namespace

absl::Status ReadModel(const JsonObject& tokenizer, bool byte_level, TokenizerParts* parts) {
  LLMCORE_ASSIGN_OR_RETURN(const JsonObject* const object, tokenizer.GetObject("model"));
  // Old files leave the type out where it is BPE.
  absl::string_view fallback = object->Find("merges") != nullptr ? "BPE" : "";
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view type, object->GetStringOr("type", fallback));
  const Component component = {object, type, "model"};
  absl::StatusOr<std::unique_ptr<TokenModel>> model = component.Unknown();
  if (type == "BPE") model = ReadBpe(component, byte_level);
  if (type == "Unigram") model = ReadUnigram(component);
  if (type == "WordPiece") model = ReadWordPiece(component);
  if (type == "WordLevel") model = ReadWordLevel(component);
  if (!model.ok()) return component.At(model.status());
  parts->model = *std::move(model);
  return absl::OkStatus();
}

}  // namespace llmcore::core
