// SentencePiece's precompiled character map: a double-array trie of UTF-8 strings whose values are
// offsets of NUL-terminated replacements. Layout: uint32 size of the trie in bytes, its units
// (uint32 each, little endian), the replacements.
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"
#include "lib/tokenizer/normalizers.h"

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

class PrecompiledNormalizer final : public Normalizer {
 public:
  PrecompiledNormalizer(std::vector<Unit> trie, std::string replacements)
      : trie_(std::move(trie)), replacements_(std::move(replacements)) {}

  // Grapheme clusters of up to five bytes are looked up whole, longer ones and those that are not
  // found character by character, as Hugging Face's implementation does.
  absl::Status Apply(NormalizedText* text) const override {
    const absl::string_view all = text->text;
    std::string out;
    out.reserve(all.size());
    size_t begin = 0;
    for (const size_t end : GraphemeEnds(all)) {
      AppendGrapheme(all.substr(begin, end - begin), &out);
      begin = end;
    }
    text->text = std::move(out);
    return absl::OkStatus();
  }

 private:
  void AppendGrapheme(absl::string_view grapheme, std::string* out) const {
    if (grapheme.size() < 6) {
      if (const auto replacement = Find(grapheme); replacement.has_value()) {
        out->append(replacement->data(), replacement->size());
        return;
      }
    }
    for (size_t i = 0; i < grapheme.size();) {
      const size_t length = DecodeUtf8(grapheme, i).length;
      const absl::string_view character = grapheme.substr(i, length);
      const absl::string_view replacement = Find(character).value_or(character);
      out->append(replacement.data(), replacement.size());
      i += length;
    }
  }

  // The replacement of the shortest key that `text` begins with.
  std::optional<absl::string_view> Find(absl::string_view text) const {
    if (trie_.empty()) return std::nullopt;
    uint32_t node = trie_[0].offset();
    for (const char c : text) {
      const auto byte = static_cast<uint8_t>(c);
      if (byte == 0) break;
      node ^= byte;
      if (node >= trie_.size()) return std::nullopt;
      const Unit unit = trie_[node];
      if (unit.label() != byte) return std::nullopt;
      node ^= unit.offset();
      if (!unit.has_leaf()) continue;
      if (node >= trie_.size()) return std::nullopt;
      return ReplacementAt(trie_[node].value());
    }
    return std::nullopt;
  }

  std::optional<absl::string_view> ReplacementAt(uint32_t offset) const {
    if (offset >= replacements_.size()) return std::nullopt;
    // An offset into the middle of a character would make invalid UTF-8.
    if ((static_cast<uint8_t>(replacements_[offset]) & 0xC0) == 0x80) return std::nullopt;
    return absl::string_view(replacements_.data() + offset,
                             std::strlen(replacements_.data() + offset));
  }

  const std::vector<Unit> trie_;
  const std::string replacements_;  // std::string ends in a NUL, so every offset has one after it
};

}  // namespace

absl::StatusOr<std::unique_ptr<Normalizer>> MakePrecompiledNormalizer(std::string charsmap) {
  uint32_t trie_bytes = 0;
  if (charsmap.size() < sizeof trie_bytes) {
    return absl::InvalidArgumentError("the character map is shorter than its header");
  }
  std::memcpy(&trie_bytes, charsmap.data(), sizeof trie_bytes);
  if (trie_bytes % sizeof(Unit) != 0 || trie_bytes > charsmap.size() - sizeof trie_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("the character map has ", charsmap.size(),
                                                   " bytes, its trie claims ", trie_bytes));
  }
  std::vector<Unit> trie(trie_bytes / sizeof(Unit));
  if (!trie.empty()) std::memcpy(trie.data(), charsmap.data() + sizeof trie_bytes, trie_bytes);
  std::string replacements = charsmap.substr(sizeof trie_bytes + trie_bytes);
  if (!IsValidUtf8(replacements)) {
    return absl::InvalidArgumentError("the replacements of the character map are not valid UTF-8");
  }
  std::unique_ptr<Normalizer> normalizer =
      std::make_unique<PrecompiledNormalizer>(std::move(trie), std::move(replacements));
  return normalizer;
}

}  // namespace llmcore::core
