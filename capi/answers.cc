#include "lib/session/answers.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "capi/arguments.h"
#include "capi/error.h"
#include "capi/sampling_params.h"
#include "capi/session.h"
#include "llmcore/llmcore_experimental.h"

struct llmcore_answers {
  std::vector<llmcore::core::Answer> value;
};

struct llmcore_prompt_logprobs {
  llmcore::core::PromptLogprobs value;
};

namespace llmcore::capi {
namespace {

// The answer, or NULL where there is none.
const core::Answer* AnswerAt(const llmcore_answers* answers, size_t index) {
  return answers != nullptr && index < answers->value.size() ? &answers->value[index] : nullptr;
}

}  // namespace
}  // namespace llmcore::capi

using namespace llmcore::capi;  // NOLINT: the functions below are in no namespace
using llmcore::core::Answer;
using llmcore::core::BeamSearchParams;
using llmcore::core::GenerationParams;
using llmcore::core::PromptLogprobs;
using llmcore::core::SampleCount;
using llmcore::core::SamplingParams;
using llmcore::core::TokenLogprob;

llmcore_error* llmcore_session_sample_answers(llmcore_session* session,
                                              const llmcore_sampling_params* params, uint32_t n,
                                              uint32_t best_of, llmcore_answers** out_answers) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_answers, "out_answers"));
    LLMCORE_RETURN_IF_ERROR(NotNull(session, "session"));
    LLMCORE_RETURN_IF_ERROR(InRange(best_of, 1, SampleCount::kMaxCandidates, "best_of"));
    LLMCORE_RETURN_IF_ERROR(InRange(n, 1, best_of, "n"));
    LLMCORE_ASSIGN_OR_RETURN(const SessionUse use, SessionUse::Begin(session->state.get()));
    auto answers = std::make_unique<llmcore_answers>();
    LLMCORE_ASSIGN_OR_RETURN(answers->value,
                             session->state->session->SampleAnswers(
                                 params == nullptr ? GenerationParams() : params->params,
                                 {static_cast<int32_t>(n), static_cast<int32_t>(best_of)}));
    *out_answers = answers.release();
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_session_beam_search(llmcore_session* session, uint32_t width,
                                           uint64_t max_tokens, double length_penalty,
                                           bool early_stopping, uint32_t n,
                                           llmcore_answers** out_answers) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_answers, "out_answers"));
    LLMCORE_RETURN_IF_ERROR(NotNull(session, "session"));
    LLMCORE_RETURN_IF_ERROR(InRange(width, 1, BeamSearchParams::kMaxWidth, "width"));
    LLMCORE_RETURN_IF_ERROR(InRange(n, 1, width, "n"));
    LLMCORE_RETURN_IF_ERROR(InRange(max_tokens, 0, INT64_MAX, "max_tokens"));
    BeamSearchParams params;
    params.width = static_cast<int32_t>(width);
    params.answers = static_cast<int32_t>(n);
    params.length_penalty = length_penalty;
    params.early_stopping = early_stopping;
    std::optional<int64_t> limit;
    if (max_tokens > 0) limit = static_cast<int64_t>(max_tokens);
    LLMCORE_ASSIGN_OR_RETURN(const SessionUse use, SessionUse::Begin(session->state.get()));
    auto answers = std::make_unique<llmcore_answers>();
    LLMCORE_ASSIGN_OR_RETURN(answers->value, session->state->session->BeamAnswers(params, limit));
    *out_answers = answers.release();
    return absl::OkStatus();
  });
}

void llmcore_answers_destroy(llmcore_answers* answers) {
  delete answers;
}

size_t llmcore_answers_count(const llmcore_answers* answers) {
  return answers == nullptr ? 0 : answers->value.size();
}

const char* llmcore_answers_text(const llmcore_answers* answers, size_t index) {
  const Answer* answer = AnswerAt(answers, index);
  return answer == nullptr ? "" : answer->text.c_str();
}

size_t llmcore_answers_text_size(const llmcore_answers* answers, size_t index) {
  const Answer* answer = AnswerAt(answers, index);
  return answer == nullptr ? 0 : answer->text.size();
}

uint32_t llmcore_answers_finish_reason(const llmcore_answers* answers, size_t index) {
  const Answer* answer = AnswerAt(answers, index);
  return answer == nullptr ? LLMCORE_FINISH_NONE : static_cast<uint32_t>(answer->finish_reason);
}

double llmcore_answers_logprob(const llmcore_answers* answers, size_t index) {
  const Answer* answer = AnswerAt(answers, index);
  return answer == nullptr ? 0 : answer->logprob;
}

double llmcore_answers_score(const llmcore_answers* answers, size_t index) {
  const Answer* answer = AnswerAt(answers, index);
  return answer == nullptr ? 0 : answer->score;
}

uint32_t llmcore_answers_candidate(const llmcore_answers* answers, size_t index) {
  const Answer* answer = AnswerAt(answers, index);
  return answer == nullptr ? 0 : answer->index;
}

llmcore_error* llmcore_answers_tokens(const llmcore_answers* answers, size_t index,
                                      const llmcore_token** out_ids, const float** out_logprobs,
                                      size_t* out_count) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(
        Reset(out_ids, "out_ids", out_logprobs, "out_logprobs", out_count, "out_count"));
    LLMCORE_RETURN_IF_ERROR(NotNull(answers, "answers"));
    const Answer* answer = AnswerAt(answers, index);
    if (answer == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("index is ", index, ", but there are ", answers->value.size(), " answers"));
    }
    *out_ids = answer->tokens.data();
    *out_logprobs = answer->logprobs.data();
    *out_count = answer->tokens.size();
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_session_prompt_logprobs(llmcore_session* session, uint32_t top,
                                               llmcore_prompt_logprobs** out_logprobs) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_logprobs, "out_logprobs"));
    LLMCORE_RETURN_IF_ERROR(NotNull(session, "session"));
    LLMCORE_RETURN_IF_ERROR(InRange(top, 0, SamplingParams::kMaxLogprobs, "top"));
    LLMCORE_ASSIGN_OR_RETURN(const SessionUse use, SessionUse::Begin(session->state.get()));
    auto logprobs = std::make_unique<llmcore_prompt_logprobs>();
    LLMCORE_ASSIGN_OR_RETURN(logprobs->value,
                             session->state->session->LogprobsOfTokens(static_cast<int32_t>(top)));
    *out_logprobs = logprobs.release();
    return absl::OkStatus();
  });
}

void llmcore_prompt_logprobs_destroy(llmcore_prompt_logprobs* logprobs) {
  delete logprobs;
}

llmcore_error* llmcore_prompt_logprobs_values(const llmcore_prompt_logprobs* logprobs,
                                              const float** out_values, size_t* out_count) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_values, "out_values", out_count, "out_count"));
    LLMCORE_RETURN_IF_ERROR(NotNull(logprobs, "logprobs"));
    *out_values = logprobs->value.logprobs.data();
    *out_count = logprobs->value.logprobs.size();
    return absl::OkStatus();
  });
}

size_t llmcore_prompt_logprobs_top_count(const llmcore_prompt_logprobs* logprobs) {
  return logprobs == nullptr ? 0 : logprobs->value.top_count;
}

llmcore_error* llmcore_prompt_logprobs_top(const llmcore_prompt_logprobs* logprobs,
                                           uint64_t position, size_t rank, llmcore_token* out_token,
                                           float* out_logprob) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_token, "out_token", out_logprob, "out_logprob"));
    LLMCORE_RETURN_IF_ERROR(NotNull(logprobs, "logprobs"));
    const PromptLogprobs& value = logprobs->value;
    if (position == 0 || position >= value.logprobs.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("position is ", position, ", but alternatives are of those from 1, below ",
                       value.logprobs.size()));
    }
    if (rank >= value.top_count) {
      return absl::InvalidArgumentError(
          absl::StrCat("rank is ", rank, ", but there are ", value.top_count, " a position"));
    }
    const TokenLogprob& top = value.TopAt(position)[rank];
    *out_token = top.id;
    *out_logprob = top.logprob;
    return absl::OkStatus();
  });
}
