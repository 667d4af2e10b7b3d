// tokenizer.json, or tokenizer.model when the input does not begin like JSON: must load or be
// refused, and what loads must encode and decode without fault, in bounded time.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/tokenizer/parts.h"
#include "lib/tokenizer/tokenizer.h"

namespace {

using llmcore::core::StreamingDecoder;
using llmcore::core::TokenId;
using llmcore::core::Tokenizer;

std::shared_ptr<const Tokenizer> LoadTokenizer(absl::string_view input) {
  if (!input.empty() && input[0] == '{') {
    auto tokenizer = Tokenizer::FromJson(input, "");
    return tokenizer.ok() ? *tokenizer : nullptr;
  }
  auto parts = llmcore::core::PartsFromSentencePiece(input);
  if (!parts.ok() || !FinishParts(parts->get()).ok()) return nullptr;
  return std::make_shared<const Tokenizer>(*std::move(parts));
}

void Use(const std::shared_ptr<const Tokenizer>& tokenizer, absl::string_view text) {
  for (const bool flag : {false, true}) {
    const auto ids = tokenizer->Encode(text, {.add_special = flag, .parse_special = flag});
    if (!ids.ok()) continue;
    for (const TokenId id : *ids) {
      if (id < 0 || id >= tokenizer->vocabulary_size()) __builtin_trap();
    }
    const auto all = tokenizer->Decode(*ids, {.skip_special = flag});
    StreamingDecoder decoder(tokenizer, {.skip_special = flag});
    std::string streamed;
    bool is_streamed = true;
    for (const TokenId id : *ids) {
      const auto piece = decoder.Push(id);
      is_streamed = is_streamed && piece.ok();
      if (piece.ok()) streamed += *piece;
    }
    streamed += decoder.Flush();
    if (all.ok() && is_streamed && *all != streamed) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tokenizer =
      LoadTokenizer(absl::string_view(reinterpret_cast<const char*>(data), size));
  if (tokenizer == nullptr) return 0;
  Use(tokenizer, "");
  Use(tokenizer, "hello <s> x </s>h\xC3\xA9 \n\xF0\x9F\x98\x80'S 1234 e\xCC\x81.");
  Use(tokenizer, std::string(300, ' ') + std::string(300, 'h'));
  return 0;
}
