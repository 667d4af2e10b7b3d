#include "lib/session/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/utf8.h"
#include "lib/engine/engine.h"
#include "lib/session/saved_session.h"
#include "lib/session/session_state.h"

namespace llmcore::core {
namespace {

absl::Status ContextError(uint64_t length, int32_t max_context) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "the sequence would have ", length, " tokens, more than max_context = ", max_context));
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model)
    : model_(std::move(model)), state_(std::make_unique<State>(model_->engine().NewSequence())) {}

Session::~Session() {
  TakeBackRequest();
}

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
  state_->sequence.SetTenant(tenant);
  return absl::OkStatus();
}

// Makes the sequence `ids`; what it has in common with the present one keeps its KV cache.
absl::Status Session::ReplaceTokens(std::vector<TokenId> ids) {
  const int32_t max_context = model_->plan().max_context;
  if (ids.size() > static_cast<size_t>(max_context)) return ContextError(ids.size(), max_context);
  const auto common = std::mismatch(ids.begin(), ids.end(), tokens_.begin(), tokens_.end());
  const int64_t kept = common.first - ids.begin();
  tokens_ = std::move(ids);
  state_->Rewind(kept);
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
  state.Rewind(static_cast<int64_t>(length));
  std::vector<Message>& messages = state.conversation.messages;
  while (!messages.empty() && messages.back().end > length) messages.pop_back();
  state.conversation.needs_prompt = !messages.empty() && messages.back().role != "assistant";
  if (length == 0) state.was_conversation = false;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Session>> Session::Fork() {
  TakeBackRequest();
  std::unique_ptr<Session> fork(new Session(model_, state_->sequence.Fork()));
  fork->tokens_ = tokens_;
  fork->state_->CopyHistory(*state_, tokens_.size());
  return fork;
}

Session::Session(std::shared_ptr<const Model> model, KvSequence sequence)
    : model_(std::move(model)), state_(std::make_unique<State>(std::move(sequence))) {}

absl::Status Session::Compute(std::span<const TokenId> tokens, int64_t first_logits,
                              LogitsSink sink) {
  State& state = *state_;
  LLMCORE_RETURN_IF_ERROR(state.CheckTime());
  Request request(&state.sequence, tokens, static_cast<int64_t>(tokens.size()), first_logits, sink);
  request.terms = state.terms;
  LLMCORE_RETURN_IF_ERROR(model_->engine().Submit(&request));
  return state.TakeCancel(model_->engine().Wait(&request, &state.cancel));
}

// The logits of the last of `tokens`, of which the KV cache holds a beginning.
absl::Status Session::ComputeLogits(std::span<const TokenId> tokens) {
  State& state = *state_;
  const int64_t last = static_cast<int64_t>(tokens.size()) - 1;
  if (state.logits_position == last) return absl::OkStatus();
  state.logits.resize(static_cast<size_t>(model_->engine().vocabulary_size()));
  state.logits_position = -1;
  // The last position is computed again when its logits were not kept; it gives the same bits.
  state.sequence.Truncate(last);
  return Compute(tokens, last, [&state](int64_t position, std::span<const float> row) {
    std::copy(row.begin(), row.end(), state.logits.begin());
    state.logits_position = position;
  });
}

absl::StatusOr<std::span<const float>> Session::Logits() {
  if (tokens_.empty()) {
    return absl::FailedPreconditionError("the session is empty: append tokens first");
  }
  TakeBackRequest();
  LLMCORE_RETURN_IF_ERROR(ComputeLogits(tokens_));
  return std::span<const float>(state_->logits);
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
  const absl::Status status = Compute(tokens_, from, [rows](int64_t, std::span<const float> row) {
    rows->insert(rows->end(), row.begin(), row.end());
  });
  if (!status.ok()) rows->resize(before);
  return status;
}

// What a reply is to follow: the tokens, or the conversation with the template's generation prompt.
absl::StatusOr<std::vector<TokenId>> Session::Prompt() const {
  const Conversation& conversation = state_->conversation;
  std::vector<TokenId> prompt;
  if (conversation.needs_prompt) {
    LLMCORE_ASSIGN_OR_RETURN(prompt, conversation.Encode(*model_->text(), true));
  } else {
    prompt = tokens_;
  }
  if (prompt.empty()) {
    return absl::FailedPreconditionError("the session is empty: append text or messages first");
  }
  const int32_t max_context = model_->plan().max_context;
  if (prompt.size() > static_cast<size_t>(max_context)) {
    return ContextError(prompt.size(), max_context);
  }
  return prompt;
}

absl::Status Session::StartGeneration(const GenerationParams& params) {
  EndGeneration();
  State& state = *state_;
  LLMCORE_ASSIGN_OR_RETURN(SamplingParams prepared, PrepareGeneration(*model_, params));
  LLMCORE_ASSIGN_OR_RETURN(std::vector<TokenId> prompt, Prompt());
  auto generation = std::make_unique<Generation>(*model_, std::move(prepared));
  if (state.sampler == nullptr) {
    state.sampler = std::make_unique<Sampler>(model_->engine().vocabulary_size());
  }
  LLMCORE_RETURN_IF_ERROR(ReplaceTokens(std::move(prompt)));
  state.conversation.needs_prompt = false;
  state.generation = std::move(generation);
  state.sequence.SetReplying(true);
  return absl::OkStatus();
}

absl::StatusOr<GenerationEvent> Session::NextEvent() {
  LLMCORE_ASSIGN_OR_RETURN(std::optional<GenerationEvent> event, ProduceEvent(/*block=*/true));
  return std::move(event).value_or(GenerationEvent());  // there is one
}

absl::StatusOr<std::optional<GenerationEvent>> Session::PollEvent() {
  absl::StatusOr<std::optional<GenerationEvent>> event = ProduceEvent(/*block=*/false);
  // The next token is computed while the caller looks at this one. If that fails, the next call
  // fails likewise.
  if (event.ok() && event->has_value() && generating()) RequestToken().IgnoreError();
  return event;
}

absl::StatusOr<std::optional<GenerationEvent>> Session::ProduceEvent(bool block) {
  if (state_->generation == nullptr) {
    return absl::FailedPreconditionError("no generation is running");
  }
  absl::StatusOr<std::optional<GenerationEvent>> event = Advance(block);
  const bool over =
      !event.ok() || (event->has_value() && (*event)->finish_reason != FinishReason::kNone);
  if (over) EndGeneration();
  return event;
}

// The next event; none when its token is not computed yet, and `block` is false.
absl::StatusOr<std::optional<GenerationEvent>> Session::Advance(bool block) {
  Generation& generation = *state_->generation;
  GenerationEvent event;
  event.finish_reason = generation.EndsAt(tokens_.size());
  if (event.finish_reason != FinishReason::kNone) return event;
  LLMCORE_ASSIGN_OR_RETURN(const std::optional<SampledToken> drawn, SampleNext(block));
  if (!drawn.has_value()) return std::nullopt;
  const SampledToken& sampled = *drawn;
  tokens_.push_back(sampled.id);
  return generation.Add(sampled, tokens_.size());
}

// Draws from the logits of the last position: those that were kept, or else where the step puts
// them, so that no copy of them is made. Nothing when they are not computed yet, and `block` is
// false.
absl::StatusOr<std::optional<SampledToken>> Session::SampleNext(bool block) {
  State& state = *state_;
  Engine& engine = model_->engine();
  if (!state.token.has_value()) {
    LLMCORE_RETURN_IF_ERROR(state.CheckTime());
    if (state.logits_position == static_cast<int64_t>(tokens_.size()) - 1) {
      return state.sampler->Sample(state.generation->DrawInput(tokens_, state.logits));
    }
    LLMCORE_RETURN_IF_ERROR(RequestToken());
  }
  Request& request = state.token->request;
  if (!block && !engine.Poll(&request, &state.cancel)) return std::nullopt;
  const absl::Status status = engine.Wait(&request, &state.cancel);  // at once after Poll
  absl::StatusOr<SampledToken> sampled = status.ok() ? state.token->sampled() : status;
  state.token.reset();
  if (!sampled.ok()) return state.TakeCancel(sampled.status());
  return *std::move(sampled);
}

absl::Status Session::RequestToken() {
  State& state = *state_;
  state.sequence.Truncate(static_cast<int64_t>(tokens_.size()) - 1);
  state.token.emplace(model_->engine(), &state.sequence, tokens_,
                      state.generation->DrawInput(tokens_, {}), state.sampler.get());
  state.token->request.terms = state.terms;
  const absl::Status submitted = model_->engine().Submit(&state.token->request);
  if (!submitted.ok()) state.token.reset();
  return submitted;
}

// The sequence and the tokens are the session's again.
void Session::TakeBackRequest() const {
  if (!state_->token.has_value()) return;
  model_->engine().Withdraw(&state_->token->request);
  state_->token.reset();
}

void Session::EndGeneration() {
  State& state = *state_;
  TakeBackRequest();
  if (state.generation == nullptr) return;
  state.FinishReply(tokens_.size());
  state.generation.reset();
  state.sequence.SetReplying(false);
}

bool Session::generating() const {
  return state_->generation != nullptr;
}

void Session::SetPriority(int32_t priority) {
  state_->terms.priority = std::clamp(priority, -kMaxPriority, kMaxPriority);
}

void Session::SetDeadline(std::optional<std::chrono::milliseconds> time) {
  using Clock = std::chrono::steady_clock;
  state_->terms.deadline = time.has_value() ? Clock::now() + *time : Clock::time_point::max();
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
  const KvPin pin = model_->engine().Pin(&state_->sequence);
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
