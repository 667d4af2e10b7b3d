// n samples of one prompt, best of several.
#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "lib/sampling/device_draw.h"
#include "lib/session/branches.h"
#include "lib/session/session.h"
#include "lib/session/session_state.h"

namespace llmcore::core {
namespace {

// Samplers for threads that draw at the same time: one takes 20 bytes and more an entry of the
// vocabulary, too much for one a candidate.
class SamplerPool {
 public:
  SamplerPool(size_t candidates, int32_t vocabulary_size) {
    const size_t count =
        std::clamp<size_t>(std::thread::hardware_concurrency(), 1, std::max<size_t>(candidates, 1));
    for (size_t i = 0; i < count; ++i) {
      free_.push_back(std::make_unique<Sampler>(vocabulary_size));
    }
  }

  absl::StatusOr<SampledToken> Sample(const SampleInput& input) {
    const Loan loan(this);
    absl::StatusOr<SampledToken> sampled = loan->Sample(input);
    if (sampled.ok()) sampled->top = {};  // the sampler's, which another thread takes now
    return sampled;
  }

 private:
  // A sampler that comes back whatever happens: others may wait for it.
  class Loan {
   public:
    explicit Loan(SamplerPool* pool) : pool_(pool) {
      std::unique_lock<std::mutex> lock(pool_->mutex_);
      pool_->given_.wait(lock, [this] { return !pool_->free_.empty(); });
      sampler_ = std::move(pool_->free_.back());
      pool_->free_.pop_back();
    }
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    ~Loan() {
      const std::lock_guard<std::mutex> lock(pool_->mutex_);
      pool_->free_.push_back(std::move(sampler_));  // there is room: it was here before
      pool_->given_.notify_one();
    }
    Sampler* operator->() const { return sampler_.get(); }

   private:
    SamplerPool* const pool_;
    std::unique_ptr<Sampler> sampler_;
  };

  std::mutex mutex_;
  std::condition_variable given_;
  std::vector<std::unique_ptr<Sampler>> free_ ABSL_GUARDED_BY(mutex_);
};

struct Candidate {
  Candidate(const Model& model, const SamplingParams& params, uint32_t index, KvSequence sequence,
            std::vector<TokenId> prompt)
      : branch(std::move(sequence), std::move(prompt)), generation(model, params, index) {
    answer.index = index;
    answer.finish_reason = generation.EndsAt(branch.tokens.size());
  }

  bool ended() const { return answer.finish_reason != FinishReason::kNone; }

  // From the logits after its last token. Any thread.
  void Draw(std::span<const float> logits, SamplerPool* samplers) {
    sampled = samplers->Sample(generation.DrawInput(branch.tokens, logits));
  }

  // Lets the device draw with the next step, where it can: Draw is not called then.
  void PrepareDraw(const Engine& engine) {
    const SampleInput input = generation.DrawInput(branch.tokens, {});
    if (engine.draws()) branch.draw = DeviceDraw(*input.params, input.key);
  }

  // Makes what was drawn part of the answer; the blocks of one that ended are free for the others.
  absl::Status Accept() {
    if (branch.draw.has_value()) sampled = FinishDraw(branch.drawn, branch.tokens.size());
    LLMCORE_RETURN_IF_ERROR(sampled.status());
    branch.tokens.push_back(sampled->id);
    LLMCORE_ASSIGN_OR_RETURN(const GenerationEvent event,
                             generation.Add(*sampled, branch.tokens.size()));
    answer.tokens.push_back(event.token);
    answer.logprobs.push_back(event.logprob);
    answer.logprob += static_cast<double>(event.logprob);
    answer.finish_reason = event.finish_reason;
    if (ended()) branch.sequence.Truncate(0);
    return absl::OkStatus();
  }

  Answer TakeAnswer() {
    answer.text = generation.TakeReply();
    // Per token, as the OpenAI API orders best_of: the sum would prefer whatever ends soonest.
    if (!answer.tokens.empty()) {
      answer.score = answer.logprob / static_cast<double>(answer.tokens.size());
    }
    return std::move(answer);
  }

  Branch branch;
  Generation generation;
  absl::StatusOr<SampledToken> sampled = absl::InternalError("a step gave no logits");
  Answer answer;
};

absl::Status Validate(const SampleCount& count) {
  if (count.candidates < 1 || count.candidates > SampleCount::kMaxCandidates) {
    return absl::InvalidArgumentError(absl::StrCat(
        "best_of must be between 1 and ", SampleCount::kMaxCandidates, ", is ", count.candidates));
  }
  if (count.answers < 1 || count.answers > count.candidates) {
    return absl::InvalidArgumentError(absl::StrCat(
        "n must be between 1 and best_of = ", count.candidates, ", is ", count.answers));
  }
  return absl::OkStatus();
}

// All candidates to their ends, a token each a step; `logits`: those after the prompt.
absl::Status Generate(Engine* engine, std::span<const std::unique_ptr<Candidate>> candidates,
                      std::span<const float> logits, const RequestTerms& terms,
                      const CancelToken* cancel) {
  SamplerPool samplers(candidates.size(), engine->vocabulary_size());
  std::vector<Candidate*> running;
  std::vector<Branch*> branches;
  for (const auto& candidate : candidates) {
    if (cancel->cancelled()) return CancelledError("sampling");
    if (candidate->ended()) continue;
    candidate->Draw(logits, &samplers);
    LLMCORE_RETURN_IF_ERROR(candidate->Accept());
    if (!candidate->ended()) running.push_back(candidate.get());
  }
  while (!running.empty()) {
    branches.clear();
    for (Candidate* candidate : running) {
      candidate->PrepareDraw(*engine);
      branches.push_back(&candidate->branch);
    }
    LLMCORE_RETURN_IF_ERROR(ComputeTogether(
        engine, branches, terms, cancel,
        [&](size_t i, std::span<const float> row) { running[i]->Draw(row, &samplers); }));
    for (Candidate* candidate : running) LLMCORE_RETURN_IF_ERROR(candidate->Accept());
    std::erase_if(running, [](const Candidate* candidate) { return candidate->ended(); });
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Answer>> Session::SampleAnswers(const GenerationParams& params,
                                                           const SampleCount& count) {
  LLMCORE_RETURN_IF_ERROR(Validate(count));
  EndGeneration();
  LLMCORE_ASSIGN_OR_RETURN(SamplingParams prepared, PrepareGeneration(*model_, params));
  prepared.logprobs = 0;  // an answer has those of its own tokens alone
  State& state = *state_;
  LLMCORE_ASSIGN_OR_RETURN(const std::vector<TokenId> prompt, Prompt());
  const PromptScope scope(this, prompt);
  LLMCORE_RETURN_IF_ERROR(ComputeLogits(prompt));

  std::vector<std::unique_ptr<Candidate>> candidates;
  for (int32_t i = 0; i < count.candidates; ++i) {
    candidates.push_back(std::make_unique<Candidate>(*model_, prepared, static_cast<uint32_t>(i),
                                                     state.sequence.Fork(), prompt));
  }
  LLMCORE_RETURN_IF_ERROR(state.TakeCancel(
      Generate(&model_->engine(), candidates, state.logits, state.terms, &state.cancel)));

  std::vector<Answer> answers;
  for (const auto& candidate : candidates) answers.push_back(candidate->TakeAnswer());
  std::stable_sort(answers.begin(), answers.end(),
                   [](const Answer& a, const Answer& b) { return a.score > b.score; });
  answers.resize(static_cast<size_t>(count.answers));
  return answers;
}

}  // namespace llmcore::core
