#include "lib/tokenizer/charsmap.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"

namespace llmcore::core {
namespace {

// A unit of darts-clone's double array.
struct Unit {
  uint32_t bits;
  bool has_leaf() const { return (bits >> 8 & 1) != 0; }
  uint32_t value() const { return bits & 0x7FFFFFFF; }
  uint32_t label() const { return bits & 0x800000FF; }
  uint32_t offset() const { return (bits >> 10) << ((bits & 1u << 9) >> 6); }
};

}  // namespace

absl::StatusOr<CharsMap> CharsMap::Create(absl::string_view blob) {
  CharsMap map;
  if (blob.empty()) return map;
  uint32_t trie_bytes = 0;
  if (blob.size() < sizeof trie_bytes) {
    return absl::InvalidArgumentError("the character map is shorter than its header");
  }
  std::memcpy(&trie_bytes, blob.data(), sizeof trie_bytes);
  if (trie_bytes % sizeof(uint32_t) != 0 || trie_bytes > blob.size() - sizeof trie_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("the character map has ", blob.size(),
                                                   " bytes, its trie claims ", trie_bytes));
  }
  map.units_.resize(trie_bytes / sizeof(uint32_t));
  if (trie_bytes > 0) {
    std::memcpy(map.units_.data(), blob.data() + sizeof trie_bytes, trie_bytes);
  }
  map.replacements_ = std::string(blob.substr(sizeof trie_bytes + trie_bytes));
  if (!IsValidUtf8(map.replacements_)) {
    return absl::InvalidArgumentError("the replacements of the character map are not valid UTF-8");
  }
  return map;
}

std::optional<CharsMap::Match> CharsMap::Find(absl::string_view text, bool longest) const {
  std::optional<Match> best;
  if (units_.empty()) return best;
  uint32_t node = Unit{units_[0]}.offset();
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text.data()[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size()) break;
    const Unit unit = {units_[node]};
    if (unit.label() != byte) break;
    node ^= unit.offset();
    if (!unit.has_leaf()) continue;
    if (node >= units_.size()) break;
    const std::optional<absl::string_view> replacement = ReplacementAt(Unit{units_[node]}.value());
    if (!replacement.has_value()) break;
    best = Match{i + 1, *replacement};
    if (!longest) break;
  }
  return best;
}

std::optional<absl::string_view> CharsMap::ReplacementAt(uint32_t offset) const {
  if (offset >= replacements_.size()) return std::nullopt;
  // An offset into the middle of a character would make invalid UTF-8.
  if ((static_cast<uint8_t>(replacements_[offset]) & 0xC0) == 0x80) return std::nullopt;
  // std::string ends in a NUL, so every offset has one after it.
  return absl::string_view(replacements_.data() + offset,
                           std::strlen(replacements_.data() + offset));
}

}  // namespace llmcore::core
