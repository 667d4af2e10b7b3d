// SentencePiece's precompiled character map: strings and what replaces them.
#ifndef LLMCORE_LIB_TOKENIZER_CHARSMAP_H_
#define LLMCORE_LIB_TOKENIZER_CHARSMAP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::core {

class CharsMap {
 public:
  struct Match {
    size_t length;  // bytes that are replaced
    absl::string_view replacement;
  };

  // `blob` as model files hold it: uint32 size of the trie in bytes, the units of a double-array
  // trie (darts-clone; uint32 each, little endian), NUL-terminated replacements. Empty: no entries.
  static absl::StatusOr<CharsMap> Create(absl::string_view blob);

  // The shortest, or the longest, entry that `text` begins with.
  std::optional<Match> FindShortest(absl::string_view text) const {
    return Find(text, /*longest=*/false);
  }
  std::optional<Match> FindLongest(absl::string_view text) const {
    return Find(text, /*longest=*/true);
  }

 private:
  std::optional<Match> Find(absl::string_view text, bool longest) const;
  std::optional<absl::string_view> ReplacementAt(uint32_t offset) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_CHARSMAP_H_
