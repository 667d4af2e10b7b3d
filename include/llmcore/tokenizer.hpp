// Text to token ids and back, and messages to text.
#ifndef LLMCORE_TOKENIZER_HPP_
#define LLMCORE_TOKENIZER_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llmcore/error.hpp"
#include "llmcore/handle.hpp"
#include "llmcore/llmcore.h"

namespace llmcore {
inline namespace v1 {

struct EncodeOptions {
  bool add_special = true;     // BOS and the like, as the model expects
  bool parse_special = false;  // "<|im_end|>" in the text is the token; not for text from strangers
};

struct DecodeOptions {
  bool skip_special = false;
};

struct RenderOptions {
  bool add_generation_prompt = true;  // end with what begins a reply
};

// Const functions: any thread. Move-only.
class Tokenizer {
 public:
  // From a model directory, of which only the tokenizer's files are read.
  static Result<Tokenizer> Load(std::string_view path) {
    llmcore_tokenizer* tokenizer = nullptr;
    llmcore_error* error = llmcore_tokenizer_load(path.data(), path.size(), &tokenizer);
    if (error != nullptr) return Error::Take(error);
    return Adopt(tokenizer);
  }
  // Takes over a handle of the C ABI.
  static Tokenizer Adopt(llmcore_tokenizer* tokenizer) { return Tokenizer(tokenizer); }

  Result<std::vector<Token>> Encode(std::string_view text,
                                    const EncodeOptions& options = EncodeOptions()) const {
    const uint32_t flags = (options.add_special ? LLMCORE_ENCODE_ADD_SPECIAL : 0) |
                           (options.parse_special ? LLMCORE_ENCODE_PARSE_SPECIAL : 0);
    llmcore_tokens* ids = nullptr;
    llmcore_error* error =
        llmcore_tokenizer_encode(handle_.get(), text.data(), text.size(), flags, &ids);
    if (error != nullptr) return Error::Take(error);
    const internal::Handle<llmcore_tokens, llmcore_tokens_destroy> owned(ids);
    const View<Token> view(llmcore_tokens_data(ids), llmcore_tokens_size(ids));
    return std::vector<Token>(view.begin(), view.end());
  }

  Result<std::string> Decode(View<Token> ids,
                             const DecodeOptions& options = DecodeOptions()) const {
    const uint32_t flags = options.skip_special ? LLMCORE_DECODE_SKIP_SPECIAL : 0;
    llmcore_text* text = nullptr;
    llmcore_error* error =
        llmcore_tokenizer_decode(handle_.get(), ids.data(), ids.size(), flags, &text);
    if (error != nullptr) return Error::Take(error);
    return internal::TakeText(text);
  }

  // `messages_json`: an array of messages, or an object with "messages" and further variables.
  Result<std::string> RenderChat(std::string_view messages_json,
                                 const RenderOptions& options = RenderOptions()) const {
    const uint32_t flags = options.add_generation_prompt ? LLMCORE_RENDER_ADD_GENERATION_PROMPT : 0;
    llmcore_text* text = nullptr;
    llmcore_error* error = llmcore_tokenizer_render_chat(handle_.get(), messages_json.data(),
                                                         messages_json.size(), flags, &text);
    if (error != nullptr) return Error::Take(error);
    return internal::TakeText(text);
  }

  // How the vocabulary writes a token: not always the text that it decodes to.
  Result<std::string> TokenText(Token token) const {
    llmcore_text* text = nullptr;
    llmcore_error* error = llmcore_tokenizer_token_text(handle_.get(), token, &text);
    if (error != nullptr) return Error::Take(error);
    return internal::TakeText(text);
  }

  uint32_t vocabulary_size() const { return llmcore_tokenizer_vocabulary_size(handle_.get()); }
  std::optional<Token> bos() const { return Known(llmcore_tokenizer_bos_token(handle_.get())); }
  std::optional<Token> eos() const { return Known(llmcore_tokenizer_eos_token(handle_.get())); }
  llmcore_tokenizer* handle() const { return handle_.get(); }

 private:
  explicit Tokenizer(llmcore_tokenizer* tokenizer) : handle_(tokenizer) {}
  static std::optional<Token> Known(Token token) {
    return token == LLMCORE_NO_TOKEN ? std::nullopt : std::optional<Token>(token);
  }

  internal::Handle<llmcore_tokenizer, llmcore_tokenizer_destroy> handle_;
};

}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_TOKENIZER_HPP_
