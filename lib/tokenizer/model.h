// A tokenizer model turns one pre-token into ids.
#ifndef LLMCORE_LIB_TOKENIZER_MODEL_H_
#define LLMCORE_LIB_TOKENIZER_MODEL_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/tokenizer/vocabulary.h"

namespace llmcore::core {

// Working memory of the models, one per call of Encode, so that models are const and calls from
// several threads share nothing.
struct ModelScratch {
  // A symbol of a long word: a node of a list whose links are indexes, and the merge of it with
  // its right neighbour.
  struct Symbol {
    TokenId id;
    int32_t previous;  // -1: first
    int32_t next;      // -1: last; kRemoved: merged into the one before it
    uint32_t rank;     // of the merge with `next`; kNoRank when there is none
    TokenId merged;
  };
  // The same of a short word, in an array.
  struct Pair {
    TokenId id;
    uint32_t rank;
    TokenId merged;
  };
  // Best segmentation that ends at a byte of the text (Unigram).
  struct Node {
    double score;
    int32_t start;  // -1: not reached
    TokenId id;
  };
  std::string text;
  std::vector<TokenId> ids;
  std::vector<Symbol> symbols;
  std::vector<Pair> pairs;
  std::vector<uint64_t> heap;
  std::vector<Node> nodes;
  std::vector<std::pair<int32_t, int32_t>> spans;
};

class TokenModel {
 public:
  explicit TokenModel(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  virtual ~TokenModel() = default;
  TokenModel(const TokenModel&) = delete;
  TokenModel& operator=(const TokenModel&) = delete;

  // Appends the ids of `word`, valid UTF-8 of 1 to 2^31 - 2 bytes.
  virtual absl::Status Tokenize(absl::string_view word, ModelScratch* scratch,
                                std::vector<TokenId>* ids) const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  const Vocabulary vocabulary_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_MODEL_H_
