#include "lib/tokenizer/byte_alphabet.h"

#include "lib/base/utf8.h"

namespace llmcore::core {
namespace {

constexpr bool StandsForItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<AlphabetCharacter, 256> MakeAlphabet() {
  std::array<AlphabetCharacter, 256> alphabet{};
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const int code_point = StandsForItself(byte) ? byte : next++;
    if (code_point < 0x80) {
      alphabet[byte] = {{static_cast<char>(code_point), '\0'}, 1};
    } else {
      alphabet[byte] = {{static_cast<char>(0xC0 | code_point >> 6),
                         static_cast<char>(0x80 | (code_point & 0x3F))},
                        2};
    }
  }
  return alphabet;
}

constexpr int kAlphabetEnd = 0x100 + 68;

// -1 outside the alphabet.
constexpr std::array<int16_t, kAlphabetEnd> MakeInverse() {
  std::array<int16_t, kAlphabetEnd> inverse{};
  for (int16_t& byte : inverse) byte = -1;
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    inverse[StandsForItself(byte) ? byte : next++] = static_cast<int16_t>(byte);
  }
  return inverse;
}

constexpr std::array<int16_t, kAlphabetEnd> kInverse = MakeInverse();

}  // namespace

constexpr std::array<AlphabetCharacter, 256> kByteAlphabet = MakeAlphabet();

bool AppendBytesOfAlphabet(absl::string_view text, std::string* out) {
  const size_t before = out->size();
  for (size_t i = 0; i < text.size();) {
    const DecodedCharacter character = DecodeUtf8(text, i);
    const int16_t byte = character.valid && character.code_point < kAlphabetEnd
                             ? kInverse[character.code_point]
                             : -1;
    if (byte < 0) {
      out->resize(before);
      return false;
    }
    out->push_back(static_cast<char>(byte));
    i += character.length;
  }
  return true;
}

}  // namespace llmcore::core
