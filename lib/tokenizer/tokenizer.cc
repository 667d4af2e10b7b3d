#include "lib/tokenizer/tokenizer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"
#include "lib/tokenizer/parts.h"

namespace llmcore::core {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::vector<TokenId>> Tokenizer::Encode(absl::string_view text,
                                                       const EncodeOptions& options) const {
  if (text.size() > kMaxTextBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the text to encode has ", text.size(), " bytes, more than the limit of ", kMaxTextBytes));
  }
  if (const size_t invalid = FirstInvalidUtf8(text); invalid != text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the text to encode is not valid UTF-8 at byte ", invalid));
  }
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4 + 8);  // English: about 4.5 bytes a token
  if (options.add_special) ids = parts_->prefix;
  ModelScratch scratch;
  for (const TextSection& section :
       parts_->raw_matcher.Split(parts_->added_tokens, text, options.parse_special)) {
    if (section.id >= 0) {
      ids.push_back(section.id);
      continue;
    }
    const TextSpan span = section.span;
    LLMCORE_RETURN_IF_ERROR(EncodeSection(text.substr(span.begin, span.end - span.begin),
                                          span.begin == 0, options, &scratch, &ids));
  }
  if (options.add_special) {
    ids.insert(ids.end(), parts_->suffix.begin(), parts_->suffix.end());
  }
  return ids;
}

// Normalizes a stretch between added tokens and takes out those that match only then.
absl::Status Tokenizer::EncodeSection(absl::string_view text, bool at_origin,
                                      const EncodeOptions& options, ModelScratch* scratch,
                                      std::vector<TokenId>* ids) const {
  NormalizedText normalized;
  if (!parts_->normalizers.empty()) {
    normalized.text.assign(text.data(), text.size());
    LLMCORE_RETURN_IF_ERROR(RunNormalizers(*parts_, &normalized));
    text = normalized.text;
  }
  for (const TextSection& section :
       parts_->normalized_matcher.Split(parts_->added_tokens, text, options.parse_special)) {
    if (section.id >= 0) {
      ids->push_back(section.id);
      continue;
    }
    const TextSpan span = section.span;
    LLMCORE_RETURN_IF_ERROR(EncodeWords(text.substr(span.begin, span.end - span.begin),
                                        at_origin && normalized.keeps_start && span.begin == 0,
                                        scratch, ids));
  }
  return absl::OkStatus();
}

absl::Status Tokenizer::EncodeWords(absl::string_view text, bool at_origin, ModelScratch* scratch,
                                    std::vector<TokenId>* ids) const {
  if (text.empty()) return absl::OkStatus();
  PreTokenizedText words;
  words.text = text;
  words.words = {{0, text.size()}};
  words.at_origin = at_origin;
  for (const std::unique_ptr<PreTokenizer>& pre_tokenizer : parts_->pre_tokenizers) {
    LLMCORE_RETURN_IF_ERROR(pre_tokenizer->Apply(&words));
  }
  for (size_t i = 0; i < words.words.size(); ++i) {
    LLMCORE_RETURN_IF_ERROR(parts_->model->Tokenize(words.WordAt(i), scratch, ids));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Tokenizer::Decode(std::span<const TokenId> ids,
                                              const DecodeOptions& options) const {
  // Does not own this tokenizer: the decoder does not outlive the call.
  StreamingDecoder decoder(std::shared_ptr<const Tokenizer>(std::shared_ptr<void>(), this),
                           options);
  std::string text;
  for (const TokenId id : ids) {
    LLMCORE_ASSIGN_OR_RETURN(const std::string piece, decoder.Push(id));
    text += piece;
  }
  text += decoder.Flush();
  return text;
}

int32_t Tokenizer::vocabulary_size() const {
  return parts_->vocabulary_size;
}

std::optional<TokenId> Tokenizer::bos() const {
  return parts_->special[static_cast<size_t>(SpecialRole::kBos)];
}

std::optional<TokenId> Tokenizer::eos() const {
  return parts_->special[static_cast<size_t>(SpecialRole::kEos)];
}

std::optional<TokenId> Tokenizer::unk() const {
  return parts_->special[static_cast<size_t>(SpecialRole::kUnk)];
}

std::optional<TokenId> Tokenizer::pad() const {
  return parts_->special[static_cast<size_t>(SpecialRole::kPad)];
}

std::optional<TokenId> Tokenizer::IdOf(absl::string_view token) const {
  return parts_->FindToken(token);
}

absl::StatusOr<absl::string_view> Tokenizer::PieceOf(TokenId id) const {
  if (const AddedToken* const added = parts_->FindAdded(id); added != nullptr) {
    return absl::string_view(added->content);
  }
  const Vocabulary& vocabulary = parts_->model->vocabulary();
  if (vocabulary.Has(id)) return vocabulary.PieceOf(id);
  return absl::NotFoundError(absl::StrCat("no token has the id ", id));
}

bool Tokenizer::IsSpecial(TokenId id) const {
  const AddedToken* const added = parts_->FindAdded(id);
  return added != nullptr && added->special;
}

StreamingDecoder::StreamingDecoder(std::shared_ptr<const Tokenizer> tokenizer,
                                   const DecodeOptions& options)
    : tokenizer_(std::move(tokenizer)), options_(options), chain_(tokenizer_->parts_->decoders) {}

absl::StatusOr<std::string> StreamingDecoder::Push(TokenId id) {
  if (id < 0) return absl::InvalidArgumentError(absl::StrCat("token id ", id, " is negative"));
  const TokenizerParts& parts = *tokenizer_->parts_;
  if (const AddedToken* const added = parts.FindAdded(id); added != nullptr) {
    if (added->special && options_.skip_special) return std::string();
    // The decoder undoes the normal form, not the content as the file has it.
    LLMCORE_RETURN_IF_ERROR(chain_.Push(added->pattern));
  } else if (parts.model->vocabulary().Has(id)) {
    LLMCORE_RETURN_IF_ERROR(chain_.Push(parts.model->vocabulary().PieceOf(id)));
  }
  return chain_.Take();
}

std::string StreamingDecoder::Flush() {
  const absl::Status status = chain_.Finish();
  std::string text = status.ok() ? chain_.Take() : std::string();
  chain_ = DecoderChain(tokenizer_->parts_->decoders);
  return text;
}

}  // namespace llmcore::core
