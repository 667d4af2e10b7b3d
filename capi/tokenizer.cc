#include <memory>
#include <span>
#include <string>
#include <utility>

#include "capi/arguments.h"
#include "capi/error.h"
#include "capi/model.h"
#include "capi/text.h"
#include "lib/io/model_path.h"
#include "lib/session/text_codec.h"
#include "llmcore/llmcore.h"

struct llmcore_tokenizer {
  std::shared_ptr<const llmcore::core::TextCodec> text;
  std::shared_ptr<const llmcore::capi::CallbackMonitor> monitor;  // of the model it is of, if any
};

namespace llmcore::capi {
namespace {

using core::TextCodec;
using core::Tokenizer;

absl::Status CheckTokenizer(const llmcore_tokenizer* tokenizer) {
  LLMCORE_RETURN_IF_ERROR(NotNull(tokenizer, "tokenizer"));
  return tokenizer->monitor == nullptr ? absl::OkStatus() : tokenizer->monitor->CheckOutside();
}

// The tokenizer itself, or why the handle has none.
absl::StatusOr<std::shared_ptr<const Tokenizer>> Get(const llmcore_tokenizer* tokenizer) {
  LLMCORE_RETURN_IF_ERROR(CheckTokenizer(tokenizer));
  return tokenizer->text->tokenizer();
}

// The same for functions that cannot fail: nullptr.
const Tokenizer* Find(const llmcore_tokenizer* tokenizer) {
  if (tokenizer == nullptr || !tokenizer->text->tokenizer().ok()) return nullptr;
  return tokenizer->text->tokenizer()->get();
}

}  // namespace
}  // namespace llmcore::capi

using namespace llmcore::capi;  // NOLINT: the functions below are in no namespace

llmcore_error* llmcore_tokenizer_load(const char* path, size_t path_size,
                                      llmcore_tokenizer** out_tokenizer) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_tokenizer, "out_tokenizer"));
    LLMCORE_ASSIGN_OR_RETURN(const std::string name, Path(path, path_size, "path"));
    LLMCORE_ASSIGN_OR_RETURN(const std::string directory, llmcore::core::ResolveModelPath(name));
    *out_tokenizer = new llmcore_tokenizer{TextCodec::Load(directory), nullptr};
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_tokenizer_of(const llmcore_model* model, llmcore_tokenizer** out_tokenizer) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_tokenizer, "out_tokenizer"));
    LLMCORE_RETURN_IF_ERROR(CheckModel(model));
    *out_tokenizer = new llmcore_tokenizer{model->model->text(), model->monitor};
    return absl::OkStatus();
  });
}

void llmcore_tokenizer_destroy(llmcore_tokenizer* tokenizer) {
  delete tokenizer;
}

llmcore_error* llmcore_tokenizer_encode(const llmcore_tokenizer* tokenizer, const char* text,
                                        size_t text_size, uint32_t flags,
                                        llmcore_tokens** out_ids) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_ids, "out_ids"));
    LLMCORE_ASSIGN_OR_RETURN(const auto core, Get(tokenizer));
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view view, Text(text, text_size, "text"));
    LLMCORE_RETURN_IF_ERROR(
        KnownFlags(flags, LLMCORE_ENCODE_ADD_SPECIAL | LLMCORE_ENCODE_PARSE_SPECIAL));
    llmcore::core::EncodeOptions options;
    options.add_special = (flags & LLMCORE_ENCODE_ADD_SPECIAL) != 0;
    options.parse_special = (flags & LLMCORE_ENCODE_PARSE_SPECIAL) != 0;
    LLMCORE_ASSIGN_OR_RETURN(auto ids, core->Encode(view, options));
    *out_ids = new llmcore_tokens{std::move(ids)};
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_tokenizer_decode(const llmcore_tokenizer* tokenizer,
                                        const llmcore_token* ids, size_t count, uint32_t flags,
                                        llmcore_text** out_text) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_text, "out_text"));
    LLMCORE_ASSIGN_OR_RETURN(const auto core, Get(tokenizer));
    if (count > 0) LLMCORE_RETURN_IF_ERROR(NotNull(ids, "ids"));
    LLMCORE_RETURN_IF_ERROR(KnownFlags(flags, LLMCORE_DECODE_SKIP_SPECIAL));
    llmcore::core::DecodeOptions options;
    options.skip_special = (flags & LLMCORE_DECODE_SKIP_SPECIAL) != 0;
    LLMCORE_ASSIGN_OR_RETURN(std::string text, core->Decode({ids, count}, options));
    *out_text = new llmcore_text{std::move(text)};
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_tokenizer_render_chat(const llmcore_tokenizer* tokenizer,
                                             const char* messages_json, size_t messages_json_size,
                                             uint32_t flags, llmcore_text** out_text) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_text, "out_text"));
    LLMCORE_RETURN_IF_ERROR(CheckTokenizer(tokenizer));
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view messages,
                             Text(messages_json, messages_json_size, "messages_json"));
    LLMCORE_RETURN_IF_ERROR(KnownFlags(flags, LLMCORE_RENDER_ADD_GENERATION_PROMPT));
    const bool add_generation_prompt = (flags & LLMCORE_RENDER_ADD_GENERATION_PROMPT) != 0;
    LLMCORE_ASSIGN_OR_RETURN(std::string text,
                             tokenizer->text->RenderChat(messages, add_generation_prompt));
    *out_text = new llmcore_text{std::move(text)};
    return absl::OkStatus();
  });
}

uint32_t llmcore_tokenizer_vocabulary_size(const llmcore_tokenizer* tokenizer) {
  const Tokenizer* core = Find(tokenizer);
  return core == nullptr ? 0 : static_cast<uint32_t>(core->vocabulary_size());
}

llmcore_token llmcore_tokenizer_bos_token(const llmcore_tokenizer* tokenizer) {
  const Tokenizer* core = Find(tokenizer);
  return core == nullptr ? LLMCORE_NO_TOKEN : core->bos().value_or(LLMCORE_NO_TOKEN);
}

llmcore_token llmcore_tokenizer_eos_token(const llmcore_tokenizer* tokenizer) {
  const Tokenizer* core = Find(tokenizer);
  return core == nullptr ? LLMCORE_NO_TOKEN : core->eos().value_or(LLMCORE_NO_TOKEN);
}

llmcore_error* llmcore_tokenizer_token_text(const llmcore_tokenizer* tokenizer, llmcore_token token,
                                            llmcore_text** out_text) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_text, "out_text"));
    LLMCORE_ASSIGN_OR_RETURN(const auto core, Get(tokenizer));
    LLMCORE_ASSIGN_OR_RETURN(const absl::string_view piece, core->PieceOf(token));
    *out_text = new llmcore_text{std::string(piece)};
    return absl::OkStatus();
  });
}
