// Log-probabilities of the tokens of a session, a row of logits at a time.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/session/session.h"
#include "lib/session/session_state.h"

namespace llmcore::core {

absl::StatusOr<PromptLogprobs> Session::LogprobsOfTokens(int32_t top_count) {
  if (top_count < 0 || top_count > SamplingParams::kMaxLogprobs) {
    return absl::InvalidArgumentError(absl::StrCat(
        "top_count must be between 0 and ", SamplingParams::kMaxLogprobs, ", is ", top_count));
  }
  if (tokens_.empty()) {
    return absl::FailedPreconditionError("the session is empty: append tokens first");
  }
  EndGeneration();
  State& state = *state_;
  const auto vocabulary = static_cast<size_t>(model_->engine().vocabulary_size());
  const int64_t last = static_cast<int64_t>(tokens_.size()) - 1;
  PromptLogprobs result;
  result.top_count = std::min(static_cast<size_t>(top_count), vocabulary);
  result.logprobs.resize(tokens_.size(), std::numeric_limits<float>::quiet_NaN());
  result.top.resize((tokens_.size() - 1) * result.top_count);
  state.logits.resize(vocabulary);

  absl::Status status;
  state.Rewind(0);
  LLMCORE_RETURN_IF_ERROR(Compute(tokens_, 0, [&](int64_t position, std::span<const float> row) {
    if (position == last) {  // says nothing of a token, but a generation would begin with it
      std::copy(row.begin(), row.end(), state.logits.begin());
      state.logits_position = position;
      return;
    }
    const absl::StatusOr<double> log_sum = LogSumExp(row, static_cast<uint64_t>(position));
    status.Update(log_sum.status());
    if (!log_sum.ok()) return;
    const auto index = static_cast<size_t>(position);
    const float logit = row[static_cast<size_t>(tokens_[index + 1])];
    result.logprobs[index + 1] = static_cast<float>(static_cast<double>(logit) - *log_sum);
    FindTopLogprobs(row, *log_sum,
                    std::span(result.top).subspan(index * result.top_count, result.top_count));
  }));
  LLMCORE_RETURN_IF_ERROR(status);
  return result;
}

}  // namespace llmcore::core
