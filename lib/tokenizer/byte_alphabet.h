// The alphabet of byte-level tokenizers: each byte is written as one printable character (GPT-2's
// encoder.py). Printable Latin-1 stands for itself, the other 68 bytes are U+0100 and up, in order.
#ifndef LLMCORE_LIB_TOKENIZER_BYTE_ALPHABET_H_
#define LLMCORE_LIB_TOKENIZER_BYTE_ALPHABET_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace llmcore::core {

struct AlphabetCharacter {
  char bytes[2];
  uint8_t size;
};

// UTF-8 of each byte's character.
extern const std::array<AlphabetCharacter, 256> kByteAlphabet;

inline void AppendInByteAlphabet(absl::string_view bytes, std::string* out) {
  for (const char byte : bytes) {
    const AlphabetCharacter& character = kByteAlphabet[static_cast<uint8_t>(byte)];
    out->append(character.bytes, character.size);
  }
}

// Appends the bytes that `text` stands for, or returns false (and appends nothing) when it has a
// character outside the alphabet.
bool AppendBytesOfAlphabet(absl::string_view text, std::string* out);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_BYTE_ALPHABET_H_
