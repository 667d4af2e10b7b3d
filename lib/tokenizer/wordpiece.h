// Models without merges or scores: WordPiece takes the longest piece from the left, WordLevel whole
// words only.
#ifndef LLMCORE_LIB_TOKENIZER_WORDPIECE_H_
#define LLMCORE_LIB_TOKENIZER_WORDPIECE_H_

#include <optional>
#include <string>
#include <vector>

#include "lib/tokenizer/byte_trie.h"
#include "lib/tokenizer/model.h"

namespace llmcore::core {

class WordPieceModel final : public TokenModel {
 public:
  // A word with more characters than `max_characters`, or with a part that has no piece, is
  // `unknown`. Pieces that continue a word begin with `prefix`.
  WordPieceModel(Vocabulary vocabulary, TokenId unknown, absl::string_view prefix,
                 size_t max_characters);
  absl::Status Tokenize(absl::string_view word, ModelScratch* scratch,
                        std::vector<TokenId>* ids) const override;

 private:
  const TokenId unknown_;
  const size_t max_characters_;
  ByteTrie first_;         // pieces as they are
  ByteTrie continuation_;  // those with the prefix, without it
};

class WordLevelModel final : public TokenModel {
 public:
  WordLevelModel(Vocabulary vocabulary, std::optional<TokenId> unknown);
  absl::Status Tokenize(absl::string_view word, ModelScratch* scratch,
                        std::vector<TokenId>* ids) const override;

 private:
  const std::optional<TokenId> unknown_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_WORDPIECE_H_
