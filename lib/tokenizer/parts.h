// What the loaders make and the tokenizer runs.
#ifndef LLMCORE_LIB_TOKENIZER_PARTS_H_
#define LLMCORE_LIB_TOKENIZER_PARTS_H_

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/hash_map.h"
#include "lib/base/json.h"
#include "lib/tokenizer/added_tokens.h"
#include "lib/tokenizer/decoders.h"
#include "lib/tokenizer/model.h"
#include "lib/tokenizer/normalizers.h"
#include "lib/tokenizer/pre_tokenizers.h"

namespace llmcore::core {

enum class SpecialRole { kBos, kEos, kUnk, kPad };

struct TokenizerParts {
  std::vector<std::unique_ptr<Normalizer>> normalizers;
  std::vector<std::unique_ptr<PreTokenizer>> pre_tokenizers;
  std::unique_ptr<TokenModel> model;
  DecoderSteps decoders;  // never empty

  // What EncodeOptions::add_special puts before and after a text.
  std::vector<TokenId> prefix;
  std::vector<TokenId> suffix;

  std::vector<AddedToken> added_tokens;
  AddedTokenMatcher raw_matcher;         // of tokens that are not `normalized`
  AddedTokenMatcher normalized_matcher;  // of those that are
  HashMap<TokenId, size_t> added_by_id;
  HashMap<std::string, TokenId> added_by_content;

  std::array<std::optional<TokenId>, 4> special;  // by SpecialRole
  int32_t vocabulary_size = 0;

  const AddedToken* FindAdded(TokenId id) const {
    const auto found = added_by_id.find(id);
    return found == added_by_id.end() ? nullptr : &added_tokens[found->second];
  }
  std::optional<TokenId> FindToken(absl::string_view token) const;
};

// Runs the normalizers in order. RESOURCE_EXHAUSTED when the text grows beyond what words may have.
absl::Status RunNormalizers(const TokenizerParts& parts, NormalizedText* text);

// Adds `token`, or replaces the flags of the one with the same content. Refuses another id for the
// same content and another content for the same id.
absl::Status AddToken(AddedToken token, TokenizerParts* parts);

// After all parts and added tokens are there: normal forms, matchers, sizes.
absl::Status FinishParts(TokenizerParts* parts);

// lib/tokenizer/loader.cc: tokenizer.json.
absl::StatusOr<std::unique_ptr<TokenizerParts>> PartsFromJson(const JsonObject& tokenizer);

// lib/tokenizer/sentencepiece.cc: tokenizer.model.
absl::StatusOr<std::unique_ptr<TokenizerParts>> PartsFromSentencePiece(absl::string_view model);

// lib/tokenizer/tokenizer_config.cc: what tokenizer_config.json and special_tokens_map.json (may be
// null) change.
absl::Status ApplyTokenizerConfig(const JsonObject* config, const JsonObject* special_tokens_map,
                                  TokenizerParts* parts);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TOKENIZER_PARTS_H_
