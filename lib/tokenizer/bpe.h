// Byte-pair encoding (Sennrich et al. 2016): symbols are merged in the order of the merge ranks,
// equal ranks from left to right.
#ifndef LLMCORE_LIB_TOKENIZER_BPE_H_
#define LLMCORE_LIB_TOKENIZER_BPE_H_

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/index_table.h"
#include "lib/tokenizer/model.h"

namespace llmcore::core {

struct BpeMerge {
  TokenId left;
  TokenId right;
  uint32_t rank;  // smaller merges first; may be shared by merges that are equally good
  TokenId merged;
};

struct BpeOptions {
  // Words are bytes and the vocabulary is written in the byte alphabet; otherwise words and
  // vocabulary are both text.
  bool byte_level = false;
  std::optional<TokenId> unknown;         // for a character that has no symbol; dropped without
  bool fuse_unknown = false;              // neighbouring unknown characters become one token
  bool byte_fallback = false;             // an unknown character is its bytes, "<0x0A>"
  bool ignore_merges = false;             // a word that is in the vocabulary is that token
  std::string continuing_subword_prefix;  // on each character of a word but the first
  std::string end_of_word_suffix;         // on the last one
};

class BpeModel final : public TokenModel {
 public:
  // Merges name ids of `vocabulary`; of two merges of one pair the later counts. Takes as much
  // memory as they do, and 6 bytes a merge.
  static absl::StatusOr<std::unique_ptr<BpeModel>> Create(Vocabulary vocabulary,
                                                          std::vector<BpeMerge> merges,
                                                          BpeOptions options);

  absl::Status Tokenize(absl::string_view word, ModelScratch* scratch,
                        std::vector<TokenId>* ids) const override;

 private:
  struct Merge {
    uint32_t rank;
    TokenId merged;
  };
  // Whether a piece, met as a word, is what merging its characters gives.
  enum WholeWord : uint8_t { kUnknown, kYes, kNo };

  BpeModel(Vocabulary vocabulary, BpeOptions options);

  absl::Status TokenizeWord(absl::string_view word, ModelScratch* scratch,
                            std::vector<TokenId>* ids) const;
  bool MayCutBeforeSpaces() const;
  uint32_t IndexOfMerge(TokenId left, TokenId right) const;
  Merge FindMerge(TokenId left, TokenId right) const;
  std::optional<TokenId> FindWord(absl::string_view word, ModelScratch* scratch) const;
  void MergeWord(absl::string_view word, ModelScratch* scratch, std::vector<TokenId>* ids) const;
  void AppendSymbols(absl::string_view word, ModelScratch* scratch) const;
  void AppendByteSymbols(absl::string_view word, std::vector<TokenId>* symbols) const;
  bool AppendByteFallback(absl::string_view text, std::vector<TokenId>* symbols) const;
  void MergeShort(ModelScratch* scratch, std::vector<TokenId>* ids) const;
  void MergeLong(ModelScratch* scratch, std::vector<TokenId>* ids) const;

  const BpeOptions options_;
  // No merge joins an escaped space (U+2581) to what stands before it, so that a text of
  // SentencePiece's kind can be encoded word by word.
  bool cuts_before_spaces_ = false;
  std::vector<BpeMerge> merges_;
  IndexTable merge_of_pair_;
  // Symbol of each byte, in byte-level mode its character, else its fallback piece; -1: none.
  std::array<TokenId, 256> byte_ids_;
  // By id. Filled in as words are met: a bounded cache that needs no lock, since every thread
  // would write the same value.
  std::unique_ptr<std::atomic<uint8_t>[]> whole_words_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_BPE_H_
