// Pieces and their ids, both ways.
#ifndef LLMCORE_LIB_TOKENIZER_VOCABULARY_H_
#define LLMCORE_LIB_TOKENIZER_VOCABULARY_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "lib/base/index_table.h"
#include "lib/base/json.h"
#include "lib/base/status.h"

namespace llmcore::core {

using TokenId = int32_t;

// Ids index arrays, so a file may not make them arbitrarily large. The largest published vocabulary
// has about 2^18 pieces.
inline constexpr int64_t kMaxTokenId = (int64_t{1} << 22) - 1;

class Vocabulary {
 public:
  struct Entry {
    absl::string_view piece;
    int64_t id;
  };

  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;
  Vocabulary(const Vocabulary&) = delete;

  // Copies the pieces. Refuses a piece or an id that occurs twice and ids outside 0..kMaxTokenId.
  static absl::StatusOr<Vocabulary> Create(const std::vector<Entry>& entries);
  // From the {"piece": id} object that tokenizer.json holds.
  static absl::StatusOr<Vocabulary> FromJson(const JsonObject& object);

  std::optional<TokenId> Find(absl::string_view piece) const {
    const uint32_t found =
        ids_.Find(absl::HashOf(piece), [this, piece](uint32_t id) { return pieces_[id] == piece; });
    if (found == IndexTable::kNone) return std::nullopt;
    return static_cast<TokenId>(found);
  }
  bool Has(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < pieces_.size() && pieces_[id].data() != nullptr;
  }
  // `id` must be in the vocabulary.
  absl::string_view PieceOf(TokenId id) const { return pieces_[id]; }

  size_t size() const { return size_; }
  TokenId id_limit() const { return static_cast<TokenId>(pieces_.size()); }  // largest id + 1
  size_t longest_piece() const { return longest_piece_; }                    // bytes

 private:
  std::vector<char> text_;                 // all the pieces; never grows after Create
  std::vector<absl::string_view> pieces_;  // by id; data() == nullptr where there is none
  IndexTable ids_;                         // by piece
  size_t size_ = 0;
  size_t longest_piece_ = 0;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_VOCABULARY_H_
