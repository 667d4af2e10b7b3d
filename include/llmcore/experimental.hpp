// C++ over llmcore_experimental.h: may change or go in any version.
#ifndef LLMCORE_EXPERIMENTAL_HPP_
#define LLMCORE_EXPERIMENTAL_HPP_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llmcore/error.hpp"
#include "llmcore/generation.hpp"
#include "llmcore/handle.hpp"
#include "llmcore/llmcore_experimental.h"
#include "llmcore/model.hpp"
#include "llmcore/sampling.hpp"
#include "llmcore/session.hpp"

namespace llmcore {
inline namespace v1 {
namespace internal {

class Polling {
 public:
  // False after an error, which is then the generation's.
  static bool Poll(Generation& generation, const Event** event, bool* pending) {
    if (generation.handle_ == nullptr || !generation.error_.ok()) return generation.error_.ok();
    const llmcore_event* polled = nullptr;
    generation.error_ =
        Error::Take(llmcore_generation_poll(generation.handle_.get(), &polled, pending));
    if (generation.Take(polled)) *event = &generation.event_;
    return generation.error_.ok();
  }
};

}  // namespace internal

namespace experimental {

// One of several answers to one prompt.
struct Answer {
  std::string text{};             // without the stop text or the token that ended it
  std::vector<Token> tokens{};    // the one that ended it included
  std::vector<float> logprobs{};  // of each token, by the model
  double logprob = 0;             // their sum
  double score = 0;               // what the answers are ordered by, best first
  uint32_t candidate = 0;         // of a sample its number, of a beam its rank
  FinishReason finish_reason = FinishReason::kNone;
};

struct BeamParams {
  uint32_t width = 4;                    // beams that are followed at a time
  uint32_t n = 1;                        // answers, at most `width`
  std::optional<uint64_t> max_tokens{};  // unset or 0: until the context is full
  double length_penalty = 1;             // above 0 favours long answers, below 0 short ones
  bool early_stopping = false;           // as soon as `width` answers have ended
};

// Log-probabilities of the tokens of a session.
struct PromptLogprobs {
  std::vector<float> logprobs{};                 // of each token; the first is NaN
  std::vector<std::vector<TokenLogprob>> top{};  // of each, best first; none of the first
};

}  // namespace experimental

namespace internal {

using AnswersHandle = Handle<llmcore_answers, llmcore_answers_destroy>;
using PromptLogprobsHandle = Handle<llmcore_prompt_logprobs, llmcore_prompt_logprobs_destroy>;

inline Result<std::vector<experimental::Answer>> ReadAnswers(AnswersHandle handle) {
  const llmcore_answers* c = handle.get();
  std::vector<experimental::Answer> answers(llmcore_answers_count(c));
  for (size_t i = 0; i < answers.size(); ++i) {
    experimental::Answer& answer = answers[i];
    const Token* ids = nullptr;
    const float* logprobs = nullptr;
    size_t count = 0;
    llmcore_error* error = llmcore_answers_tokens(c, i, &ids, &logprobs, &count);
    if (error != nullptr) return Error::Take(error);
    answer.tokens.assign(ids, ids + count);
    answer.logprobs.assign(logprobs, logprobs + count);
    answer.text.assign(llmcore_answers_text(c, i), llmcore_answers_text_size(c, i));
    answer.logprob = llmcore_answers_logprob(c, i);
    answer.score = llmcore_answers_score(c, i);
    answer.candidate = llmcore_answers_candidate(c, i);
    answer.finish_reason = static_cast<FinishReason>(llmcore_answers_finish_reason(c, i));
  }
  return answers;
}

}  // namespace internal

namespace experimental {

// How to load a model, beside LoadOptions.
struct LoadExtras {
  bool manual_scheduler = false;  // the host runs the steps: Step, and each call that waits
  bool prefix_cache = true;       // false: every prompt is read in full
  // The most memory of the host for what sessions lose of the KV cache to others, in bytes, part of
  // the plan; 0: it is computed again.
  uint64_t swap_bytes = 0;
  // false: a GPU may be faster with many tokens in a step, and a sequence's logits may then depend
  // on what shares its steps.
  bool deterministic = true;
};

}  // namespace experimental

namespace internal {

inline Result<OptionsHandle> MakeOptions(const LoadOptions& options,
                                         const experimental::LoadExtras& extras) {
  Result<OptionsHandle> made = MakeOptions(options);
  if (!made.ok()) return made;
  const std::string_view scheduler = extras.manual_scheduler ? "manual" : "background";
  llmcore_model_options* c_options = made->get();
  llmcore_error* error =
      llmcore_model_options_set_scheduler(c_options, scheduler.data(), scheduler.size());
  if (error == nullptr) {
    error = llmcore_model_options_set_prefix_cache(c_options, extras.prefix_cache);
  }
  if (error == nullptr) {
    error = llmcore_model_options_set_deterministic(c_options, extras.deterministic);
  }
  if (error == nullptr) {
    error = llmcore_model_options_set_swap_bytes(c_options, extras.swap_bytes);
  }
  if (error != nullptr) return Error::Take(error);
  return made;
}

}  // namespace internal

namespace experimental {

inline Result<Model> Load(std::string_view path, const LoadOptions& options,
                          const LoadExtras& extras) {
  Result<internal::OptionsHandle> c_options = internal::MakeOptions(options, extras);
  if (!c_options.ok()) return c_options.error();
  llmcore_model* model = nullptr;
  llmcore_error* error = llmcore_model_load(path.data(), path.size(), c_options->get(), &model);
  if (error != nullptr) return Error::Take(error);
  return Model::Adopt(model);
}

// A model of a published shape ("llama-3.2-1b", ...) with random weights and no tokenizer.
inline Result<Model> LoadSynthetic(std::string_view shape,
                                   const LoadOptions& options = LoadOptions(),
                                   const LoadExtras& extras = LoadExtras()) {
  Result<internal::OptionsHandle> c_options = internal::MakeOptions(options, extras);
  if (!c_options.ok()) return c_options.error();
  llmcore_model* model = nullptr;
  llmcore_error* error =
      llmcore_model_load_synthetic(shape.data(), shape.size(), c_options->get(), &model);
  if (error != nullptr) return Error::Take(error);
  return Model::Adopt(model);
}

// Runs one step for all that is asked for; false, at once, when nothing is. Any thread.
inline Result<bool> Step(const Model& model) {
  bool did_work = false;
  llmcore_error* error = llmcore_engine_step(model.handle(), &did_work);
  if (error != nullptr) return Error::Take(error);
  return did_work;
}

// Generation::Next without waiting: no event, and `pending`, while it is not computed yet.
struct Polled {
  const Event* event = nullptr;
  bool pending = false;
};
inline Result<Polled> Poll(Generation& generation) {
  Polled polled;
  if (!internal::Polling::Poll(generation, &polled.event, &polled.pending)) {
    return generation.error();
  }
  return polled;
}

// Who comes first where sessions wait for each other, -100 to 100 (default 0, higher first): a unit
// is a head start of 64 steps.
inline Result<void> SetPriority(const Session& session, int32_t priority) {
  return Error::Take(llmcore_session_set_priority(session.handle(), priority));
}

// Calls that compute give kDeadlineExceeded from so long after now on; what was generated stays.
// No time: no deadline.
inline Result<void> SetDeadline(const Session& session,
                                std::optional<std::chrono::milliseconds> time) {
  uint64_t milliseconds = LLMCORE_NO_DEADLINE;
  if (time) milliseconds = time->count() < 0 ? 0 : static_cast<uint64_t>(time->count());
  return Error::Take(llmcore_session_set_deadline(session.handle(), milliseconds));
}

// What Load would take. A budget in `options` is not checked.
inline Result<MemoryPlan> Plan(std::string_view path, const LoadOptions& options,
                               const LoadExtras& extras) {
  Result<internal::OptionsHandle> c_options = internal::MakeOptions(options, extras);
  if (!c_options.ok()) return c_options.error();
  llmcore_plan* plan = nullptr;
  llmcore_error* error = llmcore_model_plan(path.data(), path.size(), c_options->get(), &plan);
  if (error != nullptr) return Error::Take(error);
  const internal::Handle<llmcore_plan, llmcore_plan_destroy> owned(plan);
  return MemoryPlan::From(plan);
}

// Likewise LoadSynthetic.
inline Result<MemoryPlan> PlanSynthetic(std::string_view shape,
                                        const LoadOptions& options = LoadOptions(),
                                        const LoadExtras& extras = LoadExtras()) {
  Result<internal::OptionsHandle> c_options = internal::MakeOptions(options, extras);
  if (!c_options.ok()) return c_options.error();
  llmcore_plan* plan = nullptr;
  llmcore_error* error =
      llmcore_model_plan_synthetic(shape.data(), shape.size(), c_options->get(), &plan);
  if (error != nullptr) return Error::Take(error);
  const internal::Handle<llmcore_plan, llmcore_plan_destroy> owned(plan);
  return MemoryPlan::From(plan);
}

// Rows of logits, valid until the next call on the session.
struct LogitRows {
  const float* values = nullptr;
  size_t rows = 0;
  size_t columns = 0;

  View<float> operator[](size_t row) const { return View<float>(values + row * columns, columns); }
};

// Of the positions from `first` to the end.
inline Result<LogitRows> AllLogits(const Session& session, uint64_t first) {
  LogitRows logits;
  llmcore_error* error = llmcore_session_all_logits(session.handle(), first, &logits.values,
                                                    &logits.rows, &logits.columns);
  if (error != nullptr) return Error::Take(error);
  return logits;
}

// The `n` of `best_of` samples that are most likely per token. The session stays as it is: add the
// answer that is to be part of it.
inline Result<std::vector<Answer>> SampleAnswers(const Session& session,
                                                 const SamplingParams& params, uint32_t n,
                                                 uint32_t best_of) {
  if (!session.ok()) return session.error();
  Result<internal::SamplingHandle> c_params = internal::MakeSamplingParams(params);
  if (!c_params.ok()) return c_params.error();
  llmcore_answers* answers = nullptr;
  llmcore_error* error =
      llmcore_session_sample_answers(session.handle(), c_params->get(), n, best_of, &answers);
  if (error != nullptr) return Error::Take(error);
  return internal::ReadAnswers(internal::AnswersHandle(answers));
}

// The best answers that a beam search finds. The session stays as it is.
inline Result<std::vector<Answer>> BeamSearch(const Session& session, const BeamParams& params) {
  if (!session.ok()) return session.error();
  llmcore_answers* answers = nullptr;
  llmcore_error* error =
      llmcore_session_beam_search(session.handle(), params.width, params.max_tokens.value_or(0),
                                  params.length_penalty, params.early_stopping, params.n, &answers);
  if (error != nullptr) return Error::Take(error);
  return internal::ReadAnswers(internal::AnswersHandle(answers));
}

// Of the session's tokens, with the `top` most likely ones in the place of each.
inline Result<PromptLogprobs> LogprobsOfPrompt(const Session& session, uint32_t top = 0) {
  llmcore_prompt_logprobs* c = nullptr;
  llmcore_error* error = llmcore_session_prompt_logprobs(session.handle(), top, &c);
  const internal::PromptLogprobsHandle owned(c);
  if (error != nullptr) return Error::Take(error);
  const float* values = nullptr;
  size_t count = 0;
  error = llmcore_prompt_logprobs_values(c, &values, &count);
  if (error != nullptr) return Error::Take(error);
  PromptLogprobs result;
  result.logprobs.assign(values, values + count);
  result.top.resize(count);
  for (size_t i = 1; i < count; ++i) {
    result.top[i].resize(llmcore_prompt_logprobs_top_count(c));
    for (size_t rank = 0; rank < result.top[i].size(); ++rank) {
      TokenLogprob& entry = result.top[i][rank];
      error = llmcore_prompt_logprobs_top(c, i, rank, &entry.token, &entry.logprob);
      if (error != nullptr) return Error::Take(error);
    }
  }
  return result;
}

// Whose sessions this one, which has no tokens yet, shares computed prompts with: those of the same
// tenant, at most 64 bytes. What others have asked then shows in no reply's time.
inline Result<void> SetCacheTenant(const Session& session, std::string_view tenant) {
  return Error::Take(
      llmcore_session_set_cache_tenant(session.handle(), tenant.data(), tenant.size()));
}

// Traces where the time of the model's steps goes, from zero, or stops to. Any thread.
inline Result<void> SetTrace(const Model& model, bool enabled) {
  return Error::Take(llmcore_model_set_trace(model.handle(), enabled));
}

// What the trace came to, as JSON (llmcore_experimental.h says what is in it). Any thread.
inline Result<std::string> TraceJson(const Model& model) {
  llmcore_text* text = nullptr;
  llmcore_error* error = llmcore_model_trace_json(model.handle(), &text);
  if (error != nullptr) return Error::Take(error);
  return internal::TakeText(text);
}

// What the model's sessions hold and wait for, as JSON (llmcore_experimental.h says what is in it).
// Any thread.
inline Result<std::string> StatsJson(const Model& model) {
  llmcore_text* text = nullptr;
  llmcore_error* error = llmcore_model_stats_json(model.handle(), &text);
  if (error != nullptr) return Error::Take(error);
  return internal::TakeText(text);
}

}  // namespace experimental
}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_EXPERIMENTAL_HPP_
