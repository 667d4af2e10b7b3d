// A conversation, or any sequence of tokens, with its part of the KV cache.
#ifndef LLMCORE_LIB_SESSION_SESSION_H_
#define LLMCORE_LIB_SESSION_SESSION_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/engine/engine.h"
#include "lib/sampling/beam_search.h"
#include "lib/sampling/sampler.h"
#include "lib/session/answers.h"
#include "lib/session/generation.h"
#include "lib/session/generation_params.h"
#include "lib/session/model.h"

namespace llmcore::core {

// Thread rule: one thread at a time, except Cancel. Failed calls leave the session as it was.
class Session {
 public:
  static absl::StatusOr<std::unique_ptr<Session>> Create(std::shared_ptr<const Model> model);
  ~Session();

  // Appends to the sequence. Nothing is computed before logits or a generation ask for it. Text is
  // encoded with BOS, where the model expects it, when the sequence is empty; names of special
  // tokens in it are plain characters.
  absl::Status AppendTokens(std::span<const TokenId> tokens);
  absl::Status AppendText(absl::string_view text);
  // Adds a message and renders the conversation with the model's chat template. The sequence
  // becomes what the template makes of all messages; the longest common part keeps its KV cache. A
  // session holds messages or plain text, not both (FAILED_PRECONDITION).
  absl::Status AppendMessage(absl::string_view role, absl::string_view content);
  // Further variables of the template as a JSON object ({"tools": [...], "enable_thinking":
  // false}).
  absl::Status SetChatVariables(absl::string_view json);

  // Whose prompts it may share what is computed with; of others it learns nothing. A session that
  // has no tokens (FAILED_PRECONDITION), and a name of at most CacheTenant::kMaxBytes; a fork has
  // the same tenant.
  absl::Status SetCacheTenant(absl::string_view name);

  std::span<const TokenId> tokens() const { return tokens_; }
  const std::shared_ptr<const Model>& model() const { return model_; }

  // Rewinds to the first `length` tokens; messages that end later are dropped.
  absl::Status Truncate(uint64_t length);
  // A second session with the same tokens. KV blocks are shared until one of the two writes to
  // them.
  absl::StatusOr<std::unique_ptr<Session>> Fork();

  // Tokens, messages and KV cache to a file (lib/session/saved_session.md), atomically.
  absl::Status Save(const std::string& path);
  static absl::StatusOr<std::unique_ptr<Session>> Restore(std::shared_ptr<const Model> model,
                                                          const std::string& path);

  // Logits of the last position, [vocabulary]; computes what is pending. Valid until the session
  // changes.
  absl::StatusOr<std::span<const float>> Logits();
  // Logits of positions [first, tokens().size()), appended to `rows` ([positions, vocabulary]).
  absl::Status AllLogits(uint64_t first, std::vector<float>* rows);

  // What the model makes of the tokens: log-probabilities of each and of the `top_count` (0 to
  // SamplingParams::kMaxLogprobs) most likely ones in its place. Computes the positions again.
  absl::StatusOr<PromptLogprobs> LogprobsOfTokens(int32_t top_count);

  // Begins a reply. With messages the template's generation prompt is added first, and the reply
  // becomes a message of the assistant when it ends or the next call of the session comes.
  absl::Status StartGeneration(const GenerationParams& params);
  // The next token; the event with a finish reason is the last, after which it is
  // FAILED_PRECONDITION. CANCELLED, and other errors, end the generation; what was generated stays.
  absl::StatusOr<GenerationEvent> NextEvent();
  // The same without blocking: nullopt when the token is not computed yet. That goes on between two
  // calls, with the next token too; any other call of the session takes it back.
  absl::StatusOr<std::optional<GenerationEvent>> PollEvent();
  // Ends the generation early. Harmless when there is none.
  void EndGeneration();
  bool generating() const;

  // Several answers to what StartGeneration would answer, best first. They share the KV blocks of
  // the prompt, and the session stays as it is: append the message or the tokens of the one that is
  // to be part of it. Candidates that the KV cache does not hold at once take turns.
  //
  // Samples, ordered by log-probability per token. Candidate i draws from the stream (seed, i) of
  // random numbers, so that candidate 0 is the reply of a generation with that seed.
  absl::StatusOr<std::vector<Answer>> SampleAnswers(const GenerationParams& params,
                                                    const SampleCount& count);
  // The most likely answers that a beam search finds, ordered by score. `max_tokens` of each, at
  // least 1; unset: until the context is full.
  absl::StatusOr<std::vector<Answer>> BeamAnswers(const BeamSearchParams& params,
                                                  std::optional<int64_t> max_tokens);

  // Who comes first where sessions of the model wait for each other: from -kMaxPriority to
  // kMaxPriority (lib/engine/schedule.h). For what is asked from now on, and for forks.
  void SetPriority(int32_t priority);
  // Calls that compute fail with DEADLINE_EXCEEDED from so long after now on (at most a
  // century); what was generated stays. nullopt: none. Forks take it over.
  void SetDeadline(std::optional<std::chrono::milliseconds> time);

  // From any thread: the call in flight, or else the next that computes, returns CANCELLED.
  void Cancel();

 private:
  struct State;
  class PromptScope;
  explicit Session(std::shared_ptr<const Model> model);
  Session(std::shared_ptr<const Model> model, KvSequence sequence);

  absl::Status CheckPlain() const;
  absl::Status ReplaceTokens(std::vector<TokenId> ids);
  absl::StatusOr<std::vector<TokenId>> Prompt() const;
  absl::Status Compute(std::span<const TokenId> tokens, int64_t first_logits, LogitsSink sink);
  absl::Status ComputeLogits(std::span<const TokenId> tokens);
  absl::StatusOr<std::optional<GenerationEvent>> ProduceEvent(bool block);
  absl::StatusOr<std::optional<GenerationEvent>> Advance(bool block);
  absl::StatusOr<std::optional<SampledToken>> SampleNext(bool block);
  absl::Status RequestToken();
  void TakeBackRequest() const;

  std::shared_ptr<const Model> model_;
  std::vector<TokenId> tokens_;
  std::unique_ptr<State> state_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_SESSION_H_
