// Pieces and their ids, both ways.
#ifndef LLMCORE_LIB_TOKENIZER_VOCABULARY_H_
#define LLMCORE_LIB_TOKENIZER_VOCABULARY_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/hash_map.h"
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
    const auto found = ids_.find(piece);
    if (found == ids_.end()) return std::nullopt;
    return found->second;
  }
  bool Has(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < pieces_.size() && pieces_[id].data() != nullptr;
  }
  // `id` must be in the vocabulary.
  absl::string_view PieceOf(TokenId id) const { return pieces_[id]; }

  size_t size() const { return ids_.size(); }
  TokenId id_limit() const { return static_cast<TokenId>(pieces_.size()); }  // largest id + 1
  size_t longest_piece() const { return longest_piece_; }                    // bytes

 private:
  std::vector<char> text_;                 // all the pieces; never grows after Create
  std::vector<absl::string_view> pieces_;  // by id; data() == nullptr where there is none
  HashMap<absl::string_view, TokenId> ids_;
  size_t longest_piece_ = 0;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_VOCABULARY_H_
