#include "lib/sampling/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace llmcore::core {

absl::Status BeamSearchParams::Validate() const {
  if (width < 1 || width > kMaxWidth) {
    return absl::InvalidArgumentError(
        absl::StrCat("width must be between 1 and ", kMaxWidth, ", is ", width));
  }
  if (answers < 1 || answers > width) {
    return absl::InvalidArgumentError(
        absl::StrCat("answers must be between 1 and the width of ", width, ", is ", answers));
  }
  // Written so that NaN fails it.
  if (!(std::abs(length_penalty) <= kMaxLengthPenalty)) {
    return absl::InvalidArgumentError(absl::StrCat("length_penalty must be between -",
                                                   kMaxLengthPenalty, " and ", kMaxLengthPenalty,
                                                   ", is ", length_penalty));
  }
  return absl::OkStatus();
}

BeamSearch::BeamSearch(const BeamSearchParams& params, std::span<const int32_t> end_tokens)
    : params_(params), end_tokens_(end_tokens.begin(), end_tokens.end()), beams_(1) {
  std::sort(end_tokens_.begin(), end_tokens_.end());
  end_tokens_.erase(std::unique(end_tokens_.begin(), end_tokens_.end()), end_tokens_.end());
  // Enough that `width` others are among them, whatever the end tokens are.
  candidates_ = static_cast<size_t>(params_.width) * (end_tokens_.size() + 1);
}

bool BeamSearch::Advance(std::span<const std::vector<TokenLogprob>> tops) {
  const auto width = static_cast<size_t>(params_.width);
  const std::vector<Candidate> ranked = Rank(tops);
  ++length_;
  std::vector<Beam> next;
  for (size_t rank = 0; rank < ranked.size() && next.size() < width; ++rank) {
    const bool ends = IsEnd(ranked[rank].next.id);
    if (ends && rank >= width) continue;
    Beam beam = Extend(ranked[rank]);
    beam.ended = ends;
    if (ends) {
      Keep(std::move(beam));
    } else {
      next.push_back(std::move(beam));
    }
  }
  beams_ = std::move(next);
  if (ranked.empty() || Done(ranked.front().sum)) beams_.clear();
  return !beams_.empty();
}

std::vector<BeamSearch::Candidate> BeamSearch::Rank(
    std::span<const std::vector<TokenLogprob>> tops) const {
  std::vector<Candidate> ranked;
  for (size_t i = 0; i < tops.size(); ++i) {
    for (const TokenLogprob& next : tops[i]) {
      if (next.logprob == -std::numeric_limits<float>::infinity()) break;  // cannot follow
      ranked.push_back({i, next, beams_[i].sum + static_cast<double>(next.logprob)});
    }
  }
  const size_t kept = std::min(ranked.size(), candidates_);
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<ptrdiff_t>(kept), ranked.end(),
                    [](const Candidate& a, const Candidate& b) {
                      if (a.sum != b.sum) return a.sum > b.sum;
                      return a.beam != b.beam ? a.beam < b.beam : a.next.id < b.next.id;
                    });
  ranked.resize(kept);
  return ranked;
}

Beam BeamSearch::Extend(const Candidate& candidate) const {
  Beam beam = beams_[candidate.beam];
  beam.tokens.push_back(candidate.next.id);
  beam.logprobs.push_back(candidate.next.logprob);
  beam.sum = candidate.sum;
  beam.parent = candidate.beam;
  return beam;
}

bool BeamSearch::IsEnd(int32_t token) const {
  return std::binary_search(end_tokens_.begin(), end_tokens_.end(), token);
}

double BeamSearch::Score(double sum, size_t length) const {
  if (length == 0) return 0;  // there was no room for a token
  return sum / std::pow(static_cast<double>(length), params_.length_penalty);
}

void BeamSearch::Keep(Beam finished) {
  finished.score = Score(finished.sum, finished.tokens.size());
  const auto place =
      std::upper_bound(finished_.begin(), finished_.end(), finished,
                       [](const Beam& a, const Beam& b) { return a.score > b.score; });
  finished_.insert(place, std::move(finished));
  if (finished_.size() > static_cast<size_t>(params_.width)) finished_.pop_back();
}

bool BeamSearch::Done(double best_sum) const {
  if (finished_.size() < static_cast<size_t>(params_.width)) return false;
  return params_.early_stopping || finished_.back().score >= Score(best_sum, length_);
}

std::vector<Beam> BeamSearch::Finish() {
  for (Beam& beam : beams_) Keep(std::move(beam));
  beams_.clear();
  if (finished_.size() > static_cast<size_t>(params_.answers)) {
    finished_.resize(static_cast<size_t>(params_.answers));
  }
  return std::move(finished_);
}

}  // namespace llmcore::core
