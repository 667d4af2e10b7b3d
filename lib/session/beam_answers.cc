// Beam search over shared KV blocks.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/session/branches.h"
#include "lib/session/session.h"
#include "lib/session/session_state.h"

namespace llmcore::core {
namespace {

using Branches = std::vector<std::unique_ptr<Branch>>;

// The sequences of the next beams: each goes on from that of its parent, whose blocks it shares.
Branches BranchesOf(std::span<const Beam> beams, const Branches& parents) {
  Branches branches;
  for (const Beam& beam : beams) {
    const Branch& parent = *parents[beam.parent];
    std::vector<TokenId> tokens = parent.tokens;
    tokens.push_back(beam.tokens.back());
    branches.push_back(std::make_unique<Branch>(parent.sequence.Fork(), std::move(tokens)));
  }
  return branches;
}

class Searcher {
 public:
  Searcher(Engine* engine, const RequestTerms& terms, const CancelToken* cancel, BeamSearch* search)
      : engine_(engine), terms_(terms), cancel_(cancel), search_(search) {}

  // Up to `room` tokens after a prompt, of which `logits` are those of the last position.
  absl::Status Run(const KvSequence& sequence, std::span<const TokenId> prompt,
                   std::span<const float> logits, size_t room) {
    if (room == 0) return absl::OkStatus();
    Branches branches;
    branches.push_back(std::make_unique<Branch>(
        sequence.Fork(), std::vector<TokenId>(prompt.begin(), prompt.end())));
    Prepare(1);
    Look(0, prompt.size(), logits);
    while (true) {
      for (const absl::Status& status : statuses_) LLMCORE_RETURN_IF_ERROR(status);
      if (!search_->Advance(tops_) || search_->length() == room) return absl::OkStatus();
      branches = BranchesOf(search_->beams(), branches);
      LLMCORE_RETURN_IF_ERROR(ComputeTops(branches));
    }
  }

 private:
  absl::Status ComputeTops(const Branches& branches) {
    std::vector<Branch*> pointers;
    for (const auto& branch : branches) pointers.push_back(branch.get());
    Prepare(branches.size());
    return ComputeTogether(
        engine_, pointers, terms_, cancel_,
        [&](size_t i, std::span<const float> row) { Look(i, branches[i]->tokens.size(), row); });
  }

  void Prepare(size_t beams) {
    statuses_.assign(beams, absl::OkStatus());
    tops_.resize(beams);
    const size_t count =
        std::min(search_->candidates(), static_cast<size_t>(engine_->vocabulary_size()));
    for (std::vector<TokenLogprob>& top : tops_) top.resize(count);
  }

  // Finds the most likely tokens after a beam. Any thread.
  void Look(size_t beam, size_t position, std::span<const float> logits) {
    const absl::StatusOr<double> log_sum = LogSumExp(logits, position);
    if (log_sum.ok()) {
      FindTopLogprobs(logits, *log_sum, tops_[beam]);
    } else {
      statuses_[beam] = log_sum.status();
    }
  }

  Engine* const engine_;
  const RequestTerms terms_;
  const CancelToken* const cancel_;
  BeamSearch* const search_;
  std::vector<absl::Status> statuses_;           // of each beam
  std::vector<std::vector<TokenLogprob>> tops_;  // of each beam
};

absl::StatusOr<std::string> TextOf(const Model& model, std::span<const TokenId> tokens) {
  const auto& tokenizer = model.text()->tokenizer();
  if (!tokenizer.ok()) return std::string();
  DecodeOptions options;
  options.skip_special = true;
  return (*tokenizer)->Decode(tokens, options);
}

}  // namespace

absl::StatusOr<std::vector<Answer>> Session::BeamAnswers(const BeamSearchParams& params,
                                                         std::optional<int64_t> max_tokens) {
  LLMCORE_RETURN_IF_ERROR(params.Validate());
  if (max_tokens.has_value() && *max_tokens < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_tokens must be at least 1, is ", *max_tokens));
  }
  EndGeneration();
  State& state = *state_;
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<TokenId> prompt, Prompt());
  const PromptScope scope(this, prompt);
  LLMCORE_RETURN_IF_ERROR(ComputeLogits(prompt));

  size_t room = static_cast<size_t>(model_->plan().max_context) - prompt.size();
  FinishReason full = FinishReason::kContextFull;
  if (max_tokens.has_value() && static_cast<uint64_t>(*max_tokens) <= room) {
    room = static_cast<size_t>(*max_tokens);
    full = FinishReason::kMaxTokens;
  }
  BeamSearch search(params, model_->end_of_text());
  LLMCORE_RETURN_IF_ERROR(
      state.TakeCancel(Searcher(&model_->engine(), state.terms, &state.cancel, &search)
                           .Run(state.sequence, prompt, state.logits, room)));
  std::vector<Answer> answers;
  for (Beam& beam : search.Finish()) {
    Answer& answer = answers.emplace_back();
    const size_t said = beam.tokens.size() - (beam.ended ? 1 : 0);
    LLMCORE_ASSIGN_OR_RETURN(answer.text, TextOf(*model_, std::span(beam.tokens).first(said)));
    answer.tokens = std::move(beam.tokens);
    answer.logprobs = std::move(beam.logprobs);
    answer.logprob = beam.sum;
    answer.score = beam.score;
    answer.index = static_cast<uint32_t>(answers.size() - 1);
    answer.finish_reason = beam.ended ? FinishReason::kEndOfText : full;
  }
  return answers;
}

}  // namespace llmcore::core
