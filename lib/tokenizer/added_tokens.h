// Tokens that are matched as whole strings, before and beside the model's own segmentation.
#ifndef LLMCORE_LIB_TOKENIZER_ADDED_TOKENS_H_
#define LLMCORE_LIB_TOKENIZER_ADDED_TOKENS_H_

#include <array>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/tokenizer/byte_trie.h"
#include "lib/tokenizer/regex.h"
#include "lib/tokenizer/vocabulary.h"

namespace llmcore::core {

struct AddedToken {
  TokenId id = 0;
  std::string content;       // as the file has it
  std::string pattern;       // what text is compared with; for `normalized` its normal form
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
  bool normalized = true;    // matched in normalized text rather than in the text as given
  bool special = false;      // a control token: may be skipped in decoding, ignored in encoding
};

// A stretch of text: an added token, or text between them (id < 0).
struct TextSection {
  TextSpan span;
  TokenId id = -1;
};

// Finds the tokens of one set in a text: leftmost, of these the longest.
class AddedTokenMatcher {
 public:
  // `tokens` outlives the matcher; those for which `normalized` has the given value are matched.
  AddedTokenMatcher() = default;
  AddedTokenMatcher(const std::vector<AddedToken>& tokens, bool normalized);

  // Sections that cover `text`, in order. Special tokens stay text unless `parse_special`. A token
  // that takes white space along may overlap the next one.
  std::vector<TextSection> Split(const std::vector<AddedToken>& tokens, absl::string_view text,
                                 bool parse_special) const;

 private:
  struct Match {
    size_t end;
    size_t token;  // index
  };
  bool FindAt(absl::string_view text, size_t at, Match* match) const;

  bool is_empty_ = true;
  std::array<bool, 256> starts_{};  // first bytes of the tokens
  ByteTrie patterns_;               // to indexes of tokens
};

// Published added tokens have up to 60 bytes; matching takes time in proportion.
inline constexpr size_t kMaxAddedTokenBytes = 4096;

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_ADDED_TOKENS_H_
