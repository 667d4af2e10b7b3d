#include "lib/base/quote.h"

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"

namespace llmcore::core {

std::string Quoted(absl::string_view text) {
  constexpr size_t kLongest = 100;
  std::string out = "\"";
  size_t i = 0;
  while (i < text.size() && i < kLongest) {
    const DecodedCharacter character = DecodeUtf8(text, i);
    if (!character.valid || character.code_point < 0x20 || character.code_point == 0x7F) {
      absl::StrAppend(&out, "\\x", absl::Hex(static_cast<unsigned char>(text[i]), absl::kZeroPad2));
      ++i;
      continue;
    }
    if (character.code_point == '"' || character.code_point == '\\') out.push_back('\\');
    absl::StrAppend(&out, text.substr(i, character.length));
    i += character.length;
  }
  absl::StrAppend(&out, i < text.size() ? "...\"" : "\"");
  return out;
}

}  // namespace llmcore::core
