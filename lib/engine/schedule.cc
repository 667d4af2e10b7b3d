#include "lib/engine/schedule.h"

#include <algorithm>

namespace llmcore::core {
namespace {

// A generation asks for its next token a moment after the last one, when the application has done
// with that: a step that misses it by the moment should still be short. In seconds.
constexpr double kGrace = 0.02;

// Steps get slower for good when sequences get longer or more: about fifty follow that.
constexpr double kWeightOfSlower = 0.02;

// A decode is over in one step, and somebody reads along: it comes before prompts that wait for no
// more steps than these. Where decodes fill every step, prompts get a turn after them.
constexpr int64_t kHeadStartOfDecodes = 4;

bool IsBrief(const Demand& demand, int32_t rows) {
  return !demand.decode && !demand.begun && demand.rows > 0 && demand.rows <= rows;
}

// The part of `left` that a demand takes; no rows when there is none.
Share ShareOf(const Demand& demand, const StepBudget& left) {
  Share share;
  if (left.sequences == 0) return share;
  int64_t rows = std::min<int64_t>(demand.rows, left.rows);
  if (!demand.decode) rows = std::min<int64_t>(rows, left.prefill_rows);
  if (!demand.decode && !IsBrief(demand, left.brief)) {
    rows = std::min<int64_t>(rows, left.long_rows);
  }
  // End with as many rows of logits as there are left.
  rows = std::min(rows, demand.silent_rows + left.logit_rows);
  if (rows <= 0) return share;
  share.rows = static_cast<int32_t>(rows);
  share.logit_rows = static_cast<int32_t>(std::max<int64_t>(0, rows - demand.silent_rows));
  return share;
}

}  // namespace

bool ComesBefore(const Demand& a, const Demand& b) {
  const int64_t turn_a = a.turn - (a.decode ? kHeadStartOfDecodes : 0);
  const int64_t turn_b = b.turn - (b.decode ? kHeadStartOfDecodes : 0);
  return turn_a != turn_b ? turn_a < turn_b : a.request < b.request;
}

void StepBudget::Take(const Demand& demand, const Share& share) {
  --sequences;
  rows -= share.rows;
  logit_rows -= share.logit_rows;
  if (demand.decode) return;
  prefill_rows -= share.rows;
  if (!IsBrief(demand, brief)) long_rows -= share.rows;
}

bool BriefPromptsComeFirst(std::span<const Demand> demands, int32_t rows) {
  int64_t more = 0;
  for (const Demand& demand : demands) {
    if (demand.decode) --more;
    if (IsBrief(demand, rows)) ++more;
  }
  return more > 0;
}

size_t Schedule(std::span<Demand> demands, const StepBudget& budget, std::span<Share> shares) {
  std::sort(demands.begin(), demands.end(), ComesBefore);
  StepBudget left = budget;
  size_t count = 0;
  for (size_t i = 0; i < demands.size(); ++i) {
    Share share = ShareOf(demands[i], left);
    if (share.rows == 0) continue;
    share.demand = i;
    shares[count++] = share;
    left.Take(demands[i], share);
  }
  return count;
}

int32_t PrefillPacer::rows(int32_t decodes, double now) const {
  if (decodes == 0 && now - last_decode_ > kGrace) return max_rows_;
  return std::min(rows_, max_rows_);
}

void PrefillPacer::Record(int32_t decodes, int32_t prefill_rows, double seconds, double now) {
  if (decodes == 0) return;
  last_decode_ = now;
  if (prefill_rows == 0) {
    // The time of a step that nothing disturbs: a slow one counts little, since the ones before a
    // prompt decide for as long as it is read.
    const double weight = decode_seconds_ == 0 || seconds < decode_seconds_ ? 1 : kWeightOfSlower;
    decode_seconds_ += weight * (seconds - decode_seconds_);
    return;
  }
  if (decode_seconds_ == 0 || seconds <= 0 || prefill_rows > rows_) return;
  if (prefill_rows < rows_ && seconds < 2 * decode_seconds_) return;  // it says little
  const double factor = std::clamp(2 * decode_seconds_ / seconds, 0.5, 1.5);
  rows_ =
      std::clamp(static_cast<int32_t>(rows_ * factor), kLeastRows, std::max(max_rows_, kLeastRows));
}

}  // namespace llmcore::core
