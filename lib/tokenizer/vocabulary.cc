#include "lib/tokenizer/vocabulary.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace llmcore::core {

absl::StatusOr<Vocabulary> Vocabulary::Create(const std::vector<Entry>& entries) {
  size_t bytes = 0;
  int64_t largest = -1;
  for (const Entry& entry : entries) {
    if (entry.id < 0 || entry.id > kMaxTokenId) {
      return absl::InvalidArgumentError(absl::StrCat("token \"", entry.piece, "\" has the id ",
                                                     entry.id, ", ids are 0 to ", kMaxTokenId));
    }
    bytes += entry.piece.size() + 1;  // so that an empty piece has an address too
    largest = std::max(largest, entry.id);
  }
  Vocabulary vocabulary;
  vocabulary.text_.reserve(bytes);
  vocabulary.pieces_.resize(static_cast<size_t>(largest + 1));
  vocabulary.ids_ = IndexTable(entries.size());
  vocabulary.size_ = entries.size();
  for (const Entry& entry : entries) {
    absl::string_view& slot = vocabulary.pieces_[static_cast<size_t>(entry.id)];
    if (slot.data() != nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("tokens \"", slot, "\" and \"", entry.piece,
                                                     "\" have the same id ", entry.id));
    }
    if (vocabulary.Find(entry.piece).has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("token \"", entry.piece, "\" occurs twice in the vocabulary"));
    }
    const char* const start = vocabulary.text_.data() + vocabulary.text_.size();
    vocabulary.text_.insert(vocabulary.text_.end(), entry.piece.begin(), entry.piece.end());
    vocabulary.text_.push_back('\0');
    slot = absl::string_view(start, entry.piece.size());
    vocabulary.longest_piece_ = std::max(vocabulary.longest_piece_, slot.size());
    vocabulary.ids_.Insert(absl::HashOf(slot), static_cast<uint32_t>(entry.id));
  }
  return vocabulary;
}

absl::StatusOr<Vocabulary> Vocabulary::FromJson(const JsonObject& object) {
  std::vector<Entry> entries;
  entries.reserve(object.size());
  for (const JsonObject::Member& member : object.members()) {
    const int64_t* const id = member.second.if_int();
    if (id == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the id of \"", member.first, "\" must be an integer, is ", member.second.kind_name()));
    }
    entries.push_back({member.first, *id});
  }
  return Create(entries);
}

}  // namespace llmcore::core
