#include "lib/session/session.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"
#include "lib/engine/engine.h"
#include "lib/session/saved_session.h"
#include "lib/session/session_state.h"

namespace llmcore::core {
namespace {

absl::StatusOr<uint64_t> EntropySeed() {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof(seed), 0) != static_cast<ssize_t>(sizeof(seed))) {
    return ErrnoError(errno, "cannot draw a random seed");
  }
  return seed;
}

absl::Status ContextError(uint64_t length, int32_t max_context) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "the sequence would have ", length, " tokens, more than max_context = ", max_context));
}

// CANCELLED consumes the request to cancel: the next call runs.
absl::Status ConsumeCancel(const absl::Status& status, CancelToken* cancel) {
  if (absl::IsCancelled(status)) cancel->Reset();
  return status;
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model)
    : model_(std::move(model)), state_(std::make_unique<State>(model_->engine().NewSequence())) {}

Session::~Session() = default;

absl::StatusOr<std::unique_ptr<Session>> Session::Create(std::shared_ptr<const Model> model) {
  return std::unique_ptr<Session>(new Session(std::move(model)));
}

absl::Status Session::CheckPlain() const {
  if (state_->conversation.messages.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "this session holds messages: append messages, or use another session for plain text");
}

absl::Status Session::AppendTokens(std::span<const TokenId> tokens) {
  EndGeneration();
  LLMCORE_RETURN_IF_ERROR(CheckPlain());
  const int32_t vocabulary = model_->config().vocab_size;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocabulary) {
      return absl::InvalidArgumentError(absl::StrCat("token ", tokens[i], " at index ", i,
                                                     " is outside the vocabulary of ", vocabulary));
    }
  }
  const uint64_t length = tokens_.size() + tokens.size();
  const int32_t max_context = model_->plan().max_context;
  if (length > static_cast<uint64_t>(max_context)) return ContextError(length, max_context);
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  return absl::OkStatus();
}

absl::Status Session::AppendText(absl::string_view text) {
  LLMCORE_RETURN_IF_ERROR(CheckPlain());
  LLMCORE_RETURN_IF_ERROR(model_->text()->tokenizer().status());
  EncodeOptions options;
  options.add_special = tokens_.empty();
  options.parse_special = false;
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<TokenId> ids,
                           (*model_->text()->tokenizer())->Encode(text, options));
  return AppendTokens(ids);
}

absl::Status Session::AppendMessage(absl::string_view role, absl::string_view content) {
  if (role.empty()) return absl::InvalidArgumentError("a message needs a role");
  if (!IsValidUtf8(role) || !IsValidUtf8(content)) {
    return absl::InvalidArgumentError("a message is not valid UTF-8");
  }
  EndGeneration();
  State& state = *state_;
  if (state.conversation.messages.empty() && !tokens_.empty() && !state.was_conversation) {
    return absl::FailedPreconditionError(
        "this session holds plain text: use another session for messages");
  }
  Conversation next = state.conversation;
  next.messages.push_back({std::string(role), std::string(content), tokens_.size()});
  next.needs_prompt = true;
  absl::StatusOr<std::vector<TokenId>> ids = next.Encode(*model_->text(), false);
  if (ids.ok()) {
    LLMCORE_RETURN_IF_ERROR(ReplaceTokens(*std::move(ids)));
    next.messages.back().end = tokens_.size();
  } else if (role != "system" || !model_->text()->tokenizer().ok()) {
    return ids.status();
  }
  // Else: some templates refuse a conversation that has no user message yet. It is rendered with
  // the message that follows.
  state.conversation = std::move(next);
  state.was_conversation = true;
  return absl::OkStatus();
}

absl::Status Session::SetChatVariables(absl::string_view json) {
  absl::StatusOr<std::string> variables = TemplateVariables(json);
  if (!variables.ok()) return Annotate(variables.status(), "chat variables");
  EndGeneration();
  state_->conversation.variables = *std::move(variables);
  return absl::OkStatus();
}

absl::Status Session::SetCacheTenant(absl::string_view name) {
  LLMCORE_ASSIGN_OR_RETURN(const CacheTenant tenant, CacheTenant::From(name));
  EndGeneration();
  if (!tokens_.empty() || state_->sequence.length() > 0) {
    return absl::FailedPreconditionError(
        "the cache tenant of a session is set before it has any tokens");
  }
  state_->sequence.set_tenant(tenant);
  return absl::OkStatus();
}

// Makes the sequence `ids`; what it has in common with the present one keeps its KV cache.
absl::Status Session::ReplaceTokens(std::vector<TokenId> ids) {
  const int32_t max_context = model_->plan().max_context;
  if (ids.size() > static_cast<size_t>(max_context)) return ContextError(ids.size(), max_context);
  const auto common = std::mismatch(ids.begin(), ids.end(), tokens_.begin(), tokens_.end());
  const int64_t kept = common.first - ids.begin();
  tokens_ = std::move(ids);
  state_->sequence.Truncate(kept);
  if (state_->logits_position >= kept) state_->logits_position = -1;
  return absl::OkStatus();
}

absl::Status Session::Truncate(uint64_t length) {
  EndGeneration();
  if (length > tokens_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot truncate ", tokens_.size(), " tokens to ", length));
  }
  State& state = *state_;
  tokens_.resize(length);
  state.sequence.Truncate(static_cast<int64_t>(length));
  if (state.logits_position >= static_cast<int64_t>(length)) state.logits_position = -1;
  std::vector<Message>& messages = state.conversation.messages;
  while (!messages.empty() && messages.back().end > length) messages.pop_back();
  state.conversation.needs_prompt = !messages.empty() && messages.back().role != "assistant";
  if (length == 0) state.was_conversation = false;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Session>> Session::Fork() {
  std::unique_ptr<Session> fork(new Session(model_, state_->sequence.Fork()));
  fork->tokens_ = tokens_;
  fork->state_->CopyHistory(*state_, tokens_.size());
  return fork;
}

Session::Session(std::shared_ptr<const Model> model, KvSequence sequence)
    : model_(std::move(model)), state_(std::make_unique<State>(std::move(sequence))) {}

absl::Status Session::Compute(int64_t first_logits, LogitsSink sink) {
  State& state = *state_;
  const absl::Status status =
      model_->engine().Extend(&state.sequence, tokens_, static_cast<int64_t>(tokens_.size()),
                              first_logits, &state.cancel, sink);
  return ConsumeCancel(status, &state.cancel);
}

absl::StatusOr<std::span<const float>> Session::Logits() {
  State& state = *state_;
  if (tokens_.empty()) {
    return absl::FailedPreconditionError("the session is empty: append tokens first");
  }
  const int64_t last = static_cast<int64_t>(tokens_.size()) - 1;
  if (state.logits_position != last) {
    state.logits.resize(static_cast<size_t>(model_->engine().vocabulary_size()));
    state.logits_position = -1;
    // The last position is computed again when its logits were not kept; it gives the same bits.
    state.sequence.Truncate(last);
    LLMCORE_RETURN_IF_ERROR(Compute(last, [&state](int64_t position, std::span<const float> row) {
      std::copy(row.begin(), row.end(), state.logits.begin());
      state.logits_position = position;
    }));
  }
  return std::span<const float>(state.logits);
}

absl::Status Session::AllLogits(uint64_t first, std::vector<float>* rows) {
  if (first > tokens_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("position ", first, " is behind the last of ", tokens_.size(), " tokens"));
  }
  EndGeneration();
  const size_t before = rows->size();
  rows->reserve(before +
                (tokens_.size() - first) * static_cast<size_t>(model_->engine().vocabulary_size()));
  const auto from = static_cast<int64_t>(first);
  state_->sequence.Truncate(from);
  const absl::Status status = Compute(from, [rows](int64_t, std::span<const float> row) {
    rows->insert(rows->end(), row.begin(), row.end());
  });
  if (!status.ok()) rows->resize(before);
  return status;
}

absl::Status Session::StartGeneration(const GenerationParams& params) {
  EndGeneration();
  State& state = *state_;
  LLMCORE_ASSIGN_OR_RETURN(SamplingParams resolved,
                           ResolveGenerationParams(params, model_->generation_config()));
  if (!resolved.seed.has_value()) {
    LLMCORE_ASSIGN_OR_RETURN(resolved.seed, EntropySeed());
  }
  const auto& tokenizer = model_->text()->tokenizer();
  if (!resolved.stop.empty() && !tokenizer.ok()) {
    return Annotate(tokenizer.status(), "stop strings need the tokenizer");
  }
  std::vector<TokenId> prompt;
  const bool render = state.conversation.needs_prompt;
  if (render) {
    LLMCORE_ASSIGN_OR_RETURN(prompt, state.conversation.Encode(*model_->text(), true));
  }
  if ((render ? prompt : tokens_).empty()) {
    return absl::FailedPreconditionError("the session is empty: append text or messages first");
  }
  auto generation = std::make_unique<Generation>(std::move(resolved));
  if (tokenizer.ok()) {
    DecodeOptions options;
    options.skip_special = true;
    generation->decoder.emplace(*tokenizer, options);
  }
  if (state.sampler == nullptr) {
    state.sampler = std::make_unique<Sampler>(model_->engine().vocabulary_size());
  }
  if (render) LLMCORE_RETURN_IF_ERROR(ReplaceTokens(std::move(prompt)));
  state.conversation.needs_prompt = false;
  state.generation = std::move(generation);
  return absl::OkStatus();
}

absl::StatusOr<GenerationEvent> Session::NextEvent() {
  State& state = *state_;
  if (state.generation == nullptr) {
    return absl::FailedPreconditionError("no generation is running");
  }
  absl::StatusOr<GenerationEvent> event = Advance();
  if (!event.ok() || event->finish_reason != FinishReason::kNone) EndGeneration();
  return event;
}

absl::StatusOr<GenerationEvent> Session::Advance() {
  State& state = *state_;
  Generation& generation = *state.generation;
  const SamplingParams& params = generation.params;
  GenerationEvent event;
  if (params.max_tokens.has_value() && *params.max_tokens == 0) {
    event.finish_reason = FinishReason::kMaxTokens;
    return event;
  }
  if (static_cast<int64_t>(tokens_.size()) >= model_->plan().max_context) {
    event.finish_reason = FinishReason::kContextFull;
    return event;
  }
  LLMCORE_ASSIGN_OR_RETURN(const SampledToken sampled, SampleNext());

  event.has_token = true;
  event.token = sampled.id;
  event.logprob = sampled.logprob;
  event.top_logprobs.assign(sampled.top.begin(), sampled.top.end());
  tokens_.push_back(sampled.id);
  ++generation.count;
  LLMCORE_RETURN_IF_ERROR(AddText(&event));
  return event;
}

// Draws from the logits of the last position: those that were kept, or else where the step puts
// them, so that no copy of them is made.
absl::StatusOr<SampledToken> Session::SampleNext() {
  State& state = *state_;
  const Generation& generation = *state.generation;
  SampleInput input;
  input.params = &generation.params;
  input.key = {*generation.params.seed, /*request=*/0, tokens_.size()};
  input.history = tokens_;
  input.generated_count = generation.count;
  const int64_t last = static_cast<int64_t>(tokens_.size()) - 1;
  if (state.logits_position == last) {
    input.logits = state.logits;
    return state.sampler->Sample(input);
  }
  state.sequence.Truncate(last);
  absl::StatusOr<SampledToken> sampled = absl::InternalError("a step gave no logits");
  LLMCORE_RETURN_IF_ERROR(Compute(last, [&](int64_t, std::span<const float> row) {
    input.logits = row;
    sampled = state.sampler->Sample(input);
  }));
  return sampled;
}

// The text that the event's token makes certain, and whether the generation ends with it.
absl::Status Session::AddText(GenerationEvent* event) {
  Generation& generation = *state_->generation;
  const SamplingParams& params = generation.params;
  const bool ends = !params.ignore_eos && model_->IsEndOfText(event->token);
  if (generation.decoder.has_value() && !ends) {
    LLMCORE_ASSIGN_OR_RETURN(const std::string piece, generation.decoder->Push(event->token));
    if (generation.stops.Push(piece, &event->text)) {
      event->finish_reason = FinishReason::kStopString;
    }
  }
  if (event->finish_reason == FinishReason::kNone) {
    if (ends) {
      event->finish_reason = FinishReason::kEndOfText;
    } else if (params.max_tokens.has_value() &&
               generation.count >= static_cast<size_t>(*params.max_tokens)) {
      event->finish_reason = FinishReason::kMaxTokens;
    } else if (static_cast<int64_t>(tokens_.size()) >= model_->plan().max_context) {
      event->finish_reason = FinishReason::kContextFull;
    }
  }
  if (event->finish_reason != FinishReason::kNone) generation.Flush(&event->text);
  generation.reply += event->text;
  return absl::OkStatus();
}

void Session::EndGeneration() {
  State& state = *state_;
  if (state.generation == nullptr) return;
  state.FinishReply(tokens_.size());
  state.generation.reset();
}

bool Session::generating() const {
  return state_->generation != nullptr;
}

void Session::Cancel() {
  state_->cancel.Cancel();
}

absl::Status Session::Save(const std::string& path) {
  EndGeneration();
  SavedSession saved;
  saved.tokens = tokens_;
  saved.conversation = state_->conversation;
  saved.was_conversation = state_->was_conversation;
  return SaveSession(*model_, saved, state_->sequence, path);
}

absl::StatusOr<std::unique_ptr<Session>> Session::Restore(std::shared_ptr<const Model> model,
                                                          const std::string& path) {
  std::unique_ptr<Session> session(new Session(std::move(model)));
  LLMCORE_ASSIGN_OR_RETURN(SavedSession saved,
                           RestoreSession(*session->model_, path, &session->state_->sequence));
  session->tokens_ = std::move(saved.tokens);
  session->state_->conversation = std::move(saved.conversation);
  session->state_->was_conversation = saved.was_conversation;
  return session;
}

}  // namespace llmcore::core
