#include "lib/tokenizer/wordpiece.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/utf8.h"

namespace llmcore::core {

WordPieceModel::WordPieceModel(Vocabulary vocabulary, TokenId unknown, absl::string_view prefix,
                               size_t max_characters)
    : TokenModel(std::move(vocabulary)), unknown_(unknown), max_characters_(max_characters) {
  for (TokenId id = 0; id < this->vocabulary().id_limit(); ++id) {
    if (!this->vocabulary().Has(id)) continue;
    absl::string_view piece = this->vocabulary().PieceOf(id);
    if (!piece.empty()) first_.Insert(piece, static_cast<uint32_t>(id));
    if (absl::ConsumePrefix(&piece, prefix) && !piece.empty()) {
      continuation_.Insert(piece, static_cast<uint32_t>(id));
    }
  }
}

absl::Status WordPieceModel::Tokenize(absl::string_view word, ModelScratch*,
                                      std::vector<TokenId>* ids) const {
  size_t characters = 0;
  for (size_t i = 0; i < word.size() && characters <= max_characters_; ++characters) {
    i += DecodeUtf8(word, i).length;
  }
  const size_t before = ids->size();
  size_t at = characters > max_characters_ ? word.size() : 0;
  bool is_known = at == 0;
  while (at < word.size()) {
    size_t longest = 0;
    uint32_t id = 0;
    (at == 0 ? first_ : continuation_).VisitPrefixes(word, at, [&](size_t length, uint32_t value) {
      longest = length;
      id = value;
    });
    is_known = longest > 0;
    if (!is_known) break;
    ids->push_back(static_cast<TokenId>(id));
    at += longest;
  }
  if (!is_known) {
    ids->resize(before);
    ids->push_back(unknown_);
  }
  return absl::OkStatus();
}

WordLevelModel::WordLevelModel(Vocabulary vocabulary, std::optional<TokenId> unknown)
    : TokenModel(std::move(vocabulary)), unknown_(unknown) {}

absl::Status WordLevelModel::Tokenize(absl::string_view word, ModelScratch*,
                                      std::vector<TokenId>* ids) const {
  const std::optional<TokenId> id = vocabulary().Find(word);
  if (!id.has_value() && !unknown_.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the word \"", word.substr(0, CompleteUtf8Prefix(word.substr(0, 64))),
                     "\" is not in the vocabulary, and there is no unknown token"));
  }
  ids->push_back(id.has_value() ? *id : *unknown_);
  return absl::OkStatus();
}

}  // namespace llmcore::core
