#include "lib/engine/schedule.h"

#include <algorithm>

namespace llmcore::core {
namespace {

// A generation asks for its next token a moment after the last one, when the application has done
// with that: a step that misses it by the moment should still be short. In seconds.
constexpr double kGrace = 0.02;

// The least chunk: with fewer rows a prompt would hardly be faster than its own decoding.
constexpr int32_t kLeastRows = 8;

// What is left of a budget, handed out in turn.
class Allotment {
 public:
  Allotment(const StepBudget& budget, std::span<Share> shares) : left_(budget), shares_(shares) {}

  void Offer(size_t index, const Demand& demand) {
    if (left_.sequences == static_cast<int32_t>(used_)) return;
    int64_t rows = std::min<int64_t>(demand.rows, left_.rows);
    if (!demand.decode) rows = std::min<int64_t>(rows, left_.prefill_rows);
    // End with as many rows of logits as there are left.
    rows = std::min(rows, demand.silent_rows + (left_.sequences - logit_rows_));
    if (rows <= 0) return;
    const auto wanted = static_cast<int32_t>(std::max<int64_t>(0, rows - demand.silent_rows));
    shares_[used_++] = {index, static_cast<int32_t>(rows), wanted};
    logit_rows_ += wanted;
    left_.rows -= static_cast<int32_t>(rows);
    if (!demand.decode) left_.prefill_rows -= static_cast<int32_t>(rows);
  }

  size_t used() const { return used_; }

 private:
  StepBudget left_;
  std::span<Share> shares_;
  size_t used_ = 0;
  int32_t logit_rows_ = 0;
};

}  // namespace

size_t Schedule(std::span<const Demand> demands, const StepBudget& budget,
                std::span<Share> shares) {
  Allotment allotment(budget, shares);
  for (const bool decode : {true, false}) {
    for (size_t i = 0; i < demands.size(); ++i) {
      if (demands[i].decode == decode) allotment.Offer(i, demands[i]);
    }
  }
  return allotment.used();
}

int32_t PrefillPacer::rows(int32_t decodes, double now) const {
  if (decodes == 0 && now - last_decode_ > kGrace) return max_rows_;
  return std::min(rows_, max_rows_);
}

void PrefillPacer::Record(int32_t decodes, int32_t prefill_rows, double seconds, double now) {
  if (decodes == 0) return;
  last_decode_ = now;
  if (prefill_rows == 0) {
    constexpr double kNew = 0.25;  // the mean of about the last four
    decode_seconds_ =
        decode_seconds_ == 0 ? seconds : decode_seconds_ + kNew * (seconds - decode_seconds_);
    return;
  }
  if (decode_seconds_ == 0 || seconds <= 0) return;
  if (prefill_rows < rows_ && seconds < 2 * decode_seconds_) return;  // it says little
  const double factor = std::clamp(2 * decode_seconds_ / seconds, 0.5, 1.5);
  rows_ =
      std::clamp(static_cast<int32_t>(rows_ * factor), kLeastRows, std::max(max_rows_, kLeastRows));
}

}  // namespace llmcore::core
