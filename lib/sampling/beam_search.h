// Beam search: which of the tokens that can follow several beams are followed further, and which
// finished answers are kept. It knows tokens and probabilities; computing them is the caller's.
#ifndef LLMCORE_LIB_SAMPLING_BEAM_SEARCH_H_
#define LLMCORE_LIB_SAMPLING_BEAM_SEARCH_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lib/base/status.h"
#include "lib/sampling/logprobs.h"

namespace llmcore::core {

struct BeamSearchParams {
  static constexpr int32_t kMaxWidth = 256;
  static constexpr double kMaxLengthPenalty = 16;

  // Beams that are followed at a time, and finished answers that are kept; 1 to kMaxWidth.
  int32_t width = 4;

  // Answers that are returned; 1 to width.
  int32_t answers = 1;

  // An answer's score is the sum of its log-probabilities divided by its length, the token that
  // ends it included, to this power: above 0 favours long answers, below 0 short ones. Up to
  // kMaxLengthPenalty either way, so that no power overflows.
  double length_penalty = 1;

  // Ends as soon as `width` answers are finished. Otherwise goes on until no beam, were it to end
  // with its next token, could beat the worst of them.
  bool early_stopping = false;

  absl::Status Validate() const;
};

// A beginning of an answer, or a whole one.
struct Beam {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;  // of each token, after those before it
  double sum = 0;               // of the logprobs, in their order
  double score = 0;             // of a finished one
  bool ended = false;           // with an end token
  size_t parent = 0;            // index of the beam that it goes on from
};

// The search of transformers (num_beams, length_penalty, early_stopping, num_return_sequences).
// Each step ranks all beams with all next tokens by their sums; equal ones by the lower beam, then
// the lower id. An end token finishes its beam when it ranks among the first `width`, and is passed
// over otherwise; the first `width` of the others are the next beams. Of finished answers the
// `width` of best score are kept, of equal ones those found first.
class BeamSearch {
 public:
  // `params` are valid. The first beam is empty. `end_tokens` may hold one more than once.
  BeamSearch(const BeamSearchParams& params, std::span<const int32_t> end_tokens);

  // How many of its most likely next tokens a beam needs to show, if there are as many.
  size_t candidates() const { return candidates_; }
  std::span<const Beam> beams() const { return beams_; }
  size_t length() const { return length_; }  // tokens of each beam

  // One token further; `tops[i]`: the most likely tokens after beam i, as FindTopLogprobs gives
  // them. False when the search is over, and no beams are left.
  bool Advance(std::span<const std::vector<TokenLogprob>> tops);

  // The answers, best first, at most params.answers. Beams that are left, because there is no room
  // for longer ones, compete as they are.
  std::vector<Beam> Finish();

 private:
  struct Candidate {
    size_t beam;
    TokenLogprob next;
    double sum;
  };

  std::vector<Candidate> Rank(std::span<const std::vector<TokenLogprob>> tops) const;
  Beam Extend(const Candidate& candidate) const;
  bool IsEnd(int32_t token) const;
  double Score(double sum, size_t length) const;
  void Keep(Beam finished);
  bool Done(double best_sum) const;

  const BeamSearchParams params_;
  std::vector<int32_t> end_tokens_;  // each once
  size_t candidates_;
  size_t length_ = 0;
  std::vector<Beam> beams_;
  std::vector<Beam> finished_;  // best first
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SAMPLING_BEAM_SEARCH_H_
