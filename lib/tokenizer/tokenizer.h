// Text to token ids and back, as the tokenizer files of a Hugging Face model directory define it.
#ifndef LLMCORE_LIB_TOKENIZER_TOKENIZER_H_
#define LLMCORE_LIB_TOKENIZER_TOKENIZER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/tokenizer/decoders.h"
#include "lib/tokenizer/vocabulary.h"

namespace llmcore::core {

struct TokenizerParts;  // lib/tokenizer/parts.h
struct ModelScratch;
struct NormalizedText;

struct EncodeOptions {
  // Adds what the tokenizer's post-processor adds around a text: BOS for most models. Off for text
  // that a chat template rendered, which has these tokens already.
  bool add_special = true;
  // Special tokens written out in the text ("<|eot_id|>") become their ids; otherwise they are
  // text like any other. Off for text from a source that may not speak for the application.
  bool parse_special = true;
};

struct DecodeOptions {
  bool skip_special = false;  // leaves out special tokens
};

// Immutable after loading; every method may be called from several threads at once.
class Tokenizer {
 public:
  // A directory with tokenizer.json, or else tokenizer.model (SentencePiece), and optionally
  // tokenizer_config.json and special_tokens_map.json. NOT_FOUND when there is neither,
  // UNIMPLEMENTED naming the file and the part for anything that is not understood in full.
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> Load(const std::string& directory);

  // The texts of tokenizer.json and tokenizer_config.json; the latter may be empty.
  static absl::StatusOr<std::shared_ptr<const Tokenizer>> FromJson(
      absl::string_view tokenizer_json, absl::string_view tokenizer_config_json);

  explicit Tokenizer(std::unique_ptr<const TokenizerParts> parts);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // INVALID_ARGUMENT with the byte offset for text that is not UTF-8. At most 1 GiB of text.
  absl::StatusOr<std::vector<TokenId>> Encode(absl::string_view text,
                                              const EncodeOptions& options) const;

  // An id that no token has decodes to nothing (models pad their vocabularies); a negative one is
  // INVALID_ARGUMENT. Bytes that are not UTF-8 become U+FFFD. The text is what the pieces say:
  // "clean_up_tokenization_spaces" of tokenizer_config.json is not applied.
  absl::StatusOr<std::string> Decode(std::span<const TokenId> ids,
                                     const DecodeOptions& options) const;

  // The largest id + 1. The embedding of the model may have more rows.
  int32_t vocabulary_size() const;

  // As tokenizer_config.json and special_tokens_map.json name them.
  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;
  std::optional<TokenId> unk() const;
  std::optional<TokenId> pad() const;

  // The id of exactly this piece or added token ("\u0120the" rather than " the" where the
  // vocabulary is byte-level).
  std::optional<TokenId> IdOf(absl::string_view token) const;
  // The inverse; NOT_FOUND for an id without a token. The view lives as long as the tokenizer.
  absl::StatusOr<absl::string_view> PieceOf(TokenId id) const;
  bool IsSpecial(TokenId id) const;

 private:
  friend class StreamingDecoder;

  absl::Status EncodeSection(absl::string_view text, bool at_origin, const EncodeOptions& options,
                             ModelScratch* scratch, std::vector<TokenId>* ids) const;
  absl::Status EncodeWords(absl::string_view text, bool at_origin, ModelScratch* scratch,
                           std::vector<TokenId>* ids) const;

  const std::unique_ptr<const TokenizerParts> parts_;
};

// Text from ids that come one by one. What a later token could still change is held back: bytes of
// an incomplete character, runs of byte tokens, a suffix that a decoder may strip. The pieces of
// all calls together are what Decode gives for all the ids.
class StreamingDecoder {
 public:
  StreamingDecoder(std::shared_ptr<const Tokenizer> tokenizer, const DecodeOptions& options);

  // The text that became certain, often empty.
  absl::StatusOr<std::string> Push(TokenId id);

  // What was held back, broken bytes as U+FFFD. The decoder then starts a new sequence.
  std::string Flush();

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  DecodeOptions options_;
  DecoderChain chain_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_TOKENIZER_H_
