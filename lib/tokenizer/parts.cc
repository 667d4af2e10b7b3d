#include "lib/tokenizer/parts.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"

namespace llmcore::core {
namespace {

// Positions in words are 32-bit, signed.
constexpr size_t kMaxNormalizedBytes = (size_t{1} << 31) - 2;

}  // namespace

std::optional<TokenId> TokenizerParts::FindToken(absl::string_view token) const {
  const auto found = added_by_content.find(token);
  if (found != added_by_content.end()) return found->second;
  return model->vocabulary().Find(token);
}

absl::Status RunNormalizers(const TokenizerParts& parts, NormalizedText* text) {
  for (const std::unique_ptr<Normalizer>& normalizer : parts.normalizers) {
    LLMCORE_RETURN_IF_ERROR(normalizer->Apply(text));
    if (text->text.size() > kMaxNormalizedBytes) {
      return absl::ResourceExhaustedError(absl::StrCat("normalized text has ", text->text.size(),
                                                       " bytes, more than the limit of ",
                                                       kMaxNormalizedBytes));
    }
  }
  return absl::OkStatus();
}

absl::Status AddToken(AddedToken token, TokenizerParts* parts) {
  if (token.content.empty()) return absl::OkStatus();  // matches nothing
  const auto refuse = [&token](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("added token \"", token.content, "\" with id ", token.id, ": ", why));
  };
  if (token.id < 0 || token.id > kMaxTokenId) {
    return refuse(absl::StrCat("ids are 0 to ", kMaxTokenId));
  }
  if (token.content.size() > kMaxAddedTokenBytes) {
    return refuse(absl::StrCat("has more than ", kMaxAddedTokenBytes, " bytes"));
  }
  const Vocabulary& vocabulary = parts->model->vocabulary();
  if (vocabulary.Find(token.content).value_or(token.id) != token.id) {
    return refuse(
        absl::StrCat("the model's vocabulary gives it the id ", *vocabulary.Find(token.content)));
  }
  if (const auto found = parts->added_by_content.find(token.content);
      found != parts->added_by_content.end()) {
    if (found->second != token.id) return refuse(absl::StrCat("also has id ", found->second));
    parts->added_tokens[parts->added_by_id[token.id]] = std::move(token);
    return absl::OkStatus();
  }
  if (const AddedToken* const other = parts->FindAdded(token.id); other != nullptr) {
    return refuse(absl::StrCat("the id is that of \"", other->content, "\" too"));
  }
  parts->added_by_id[token.id] = parts->added_tokens.size();
  parts->added_by_content[token.content] = token.id;
  parts->added_tokens.push_back(std::move(token));
  return absl::OkStatus();
}

absl::Status FinishParts(TokenizerParts* parts) {
  int32_t size = parts->model->vocabulary().id_limit();
  for (AddedToken& token : parts->added_tokens) {
    size = std::max(size, token.id + 1);
    if (!token.pattern.empty()) continue;  // the loader knows better
    token.pattern = token.content;
    if (!token.normalized) continue;
    NormalizedText text;
    text.text = token.content;
    LLMCORE_RETURN_IF_ERROR(RunNormalizers(*parts, &text));
    token.pattern = std::move(text.text);
    if (token.pattern.size() > kMaxAddedTokenBytes) {
      return absl::InvalidArgumentError(absl::StrCat("the normal form of added token \"",
                                                     token.content, "\" has more than ",
                                                     kMaxAddedTokenBytes, " bytes"));
    }
  }
  parts->vocabulary_size = size;
  parts->raw_matcher = AddedTokenMatcher(parts->added_tokens, /*normalized=*/false);
  parts->normalized_matcher = AddedTokenMatcher(parts->added_tokens, /*normalized=*/true);
  if (parts->decoders.empty()) parts->decoders.push_back(MakeJoinDecoder());
  return absl::OkStatus();
}

}  // namespace llmcore::core
