// Unigram segmentation (Kudo 2018): the sequence of pieces with the greatest sum of scores.
#ifndef LLMCORE_LIB_TOKENIZER_UNIGRAM_H_
#define LLMCORE_LIB_TOKENIZER_UNIGRAM_H_

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "lib/tokenizer/byte_trie.h"
#include "lib/tokenizer/model.h"

namespace llmcore::core {

struct UnigramPiece {
  double score;
  bool is_matched;  // occurs in text; false for control pieces of a SentencePiece model
};

struct UnigramOptions {
  std::optional<TokenId> unknown;  // text that has a character without a piece is an error without
  bool byte_fallback = false;      // unknown characters are their bytes, "<0x0A>"
  // Sums are rounded to float after each piece, as SentencePiece does; Hugging Face's are double.
  bool single_precision = false;
};

class UnigramModel final : public TokenModel {
 public:
  // `pieces` by id, one for every id of the vocabulary, which has no holes.
  static absl::StatusOr<std::unique_ptr<UnigramModel>> Create(Vocabulary vocabulary,
                                                              std::vector<UnigramPiece> pieces,
                                                              const UnigramOptions& options);

  absl::Status Tokenize(absl::string_view word, ModelScratch* scratch,
                        std::vector<TokenId>* ids) const override;

 private:
  UnigramModel(Vocabulary vocabulary, std::vector<UnigramPiece> pieces,
               const UnigramOptions& options);

  bool FindBestPath(absl::string_view word, std::vector<ModelScratch::Node>* nodes) const;
  void AppendUnknown(absl::string_view text, std::vector<TokenId>* ids) const;

  const std::vector<UnigramPiece> pieces_;
  const UnigramOptions options_;
  ByteTrie trie_;
  double unknown_score_;
  std::array<TokenId, 256> byte_ids_;  // -1: none
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_UNIGRAM_H_
