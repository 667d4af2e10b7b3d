#include "lib/sampling/logprobs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "lib/sampling/passes.h"
#include "lib/sampling/processors.h"

namespace llmcore::core {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Index of the first NaN or +infinity, or the size.
size_t FirstUnusable(std::span<const float> logits) {
  if (WidestPasses().all_at_most(logits.data(), logits.size(), kLargest)) return logits.size();
  const auto found =
      std::find_if(logits.begin(), logits.end(), [](float logit) { return !(logit <= kLargest); });
  return static_cast<size_t>(found - logits.begin());
}

}  // namespace

absl::StatusOr<double> LogSumExp(std::span<const float> logits, uint64_t position) {
  const size_t unusable = FirstUnusable(logits);
  if (unusable != logits.size()) {
    return UnusableLogitError(static_cast<int64_t>(unusable), logits[unusable], position);
  }
  const float largest = MaxLogit(logits);
  if (largest == -kInfinity) return NoLogitError(position);
  std::array<float, 1024> exponentials;
  double sum = 0;
  for (size_t i = 0; i < logits.size(); i += exponentials.size()) {
    const size_t count = std::min(exponentials.size(), logits.size() - i);
    sum += ExpAndSum(logits.subspan(i, count), largest, exponentials.data());
  }
  return static_cast<double>(largest) + std::log(sum);
}

absl::Status UnusableLogitError(int64_t token, float logit, uint64_t position) {
  return absl::InternalError(absl::StrCat("the model gave token ", token, " the logit ", logit,
                                          " at position ", position));
}

absl::Status NoLogitError(uint64_t position) {
  return absl::InternalError(
      absl::StrCat("the model gave every token the logit -inf at position ", position));
}

void FindTopLogprobs(std::span<const float> logits, double log_sum, std::span<TokenLogprob> top) {
  if (top.empty()) return;
  const float last = KthLargest(logits, top.size());
  size_t found = 0;
  const auto add = [&](size_t i) {
    top[found++] = {static_cast<int32_t>(i),
                    static_cast<float>(static_cast<double>(logits[i]) - log_sum)};
  };
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > last) add(i);
  }
  for (size_t i = 0; i < logits.size() && found < top.size(); ++i) {
    if (logits[i] == last) add(i);
  }
  std::sort(top.begin(), top.end(), [&](const TokenLogprob& a, const TokenLogprob& b) {
    const float x = logits[static_cast<size_t>(a.id)];
    const float y = logits[static_cast<size_t>(b.id)];
    return x != y ? x > y : a.id < b.id;
  });
}

}  // namespace llmcore::core
