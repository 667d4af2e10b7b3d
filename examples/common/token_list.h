// Token ids as people write them: "1,2,3", "1 2 3" or "[1, 2, 3]".
#ifndef LLMCORE_EXAMPLES_COMMON_TOKEN_LIST_H_
#define LLMCORE_EXAMPLES_COMMON_TOKEN_LIST_H_

#include <charconv>
#include <llmcore/llmcore.hpp>
#include <string_view>
#include <vector>

#include "program.h"

namespace examples {

inline std::vector<llmcore::Token> ParseTokenList(std::string_view text) {
  static constexpr std::string_view kSeparators = ", \t\r\n[]";
  std::vector<llmcore::Token> ids;
  for (;;) {
    const size_t begin = text.find_first_not_of(kSeparators);
    if (begin == std::string_view::npos) return ids;
    text.remove_prefix(begin);
    const std::string_view word = text.substr(0, text.find_first_of(kSeparators));
    llmcore::Token id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size() || id < 0) {
      throw UsageError("'" + std::string(word) + "' is not a token id");
    }
    ids.push_back(id);
    text.remove_prefix(word.size());
  }
}

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_COMMON_TOKEN_LIST_H_
