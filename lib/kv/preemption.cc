#include "lib/kv/preemption.h"

#include <algorithm>

namespace llmcore::core {
namespace {

// A reader of a reply comes back within a step or two; one that is gone for many has gone for good.
constexpr int64_t kStepsOfAbsence = 32;

enum class Order : uint8_t { kResting, kBehind, kBefore, kSpared };

Order OrderOf(const KvHolder& holder, const KvClaim& claim) {
  const bool there = holder.replying && claim.step - holder.last_used <= kStepsOfAbsence;
  if (!holder.waiting && !there) return Order::kResting;
  if (holder.standing > claim.standing) return Order::kBehind;
  return claim.urgent && !holder.waiting ? Order::kBefore : Order::kSpared;
}

}  // namespace

size_t ChooseVictims(std::span<KvHolder> holders, const KvClaim& claim) {
  const auto end = std::partition(holders.begin(), holders.end(), [&](const KvHolder& holder) {
    return OrderOf(holder, claim) != Order::kSpared;
  });
  std::sort(holders.begin(), end, [&](const KvHolder& a, const KvHolder& b) {
    const Order order = OrderOf(a, claim);
    if (order != OrderOf(b, claim)) return order < OrderOf(b, claim);
    if (order != Order::kResting) return a.standing > b.standing;
    return a.last_used != b.last_used ? a.last_used < b.last_used : a.sequence < b.sequence;
  });
  return static_cast<size_t>(end - holders.begin());
}

}  // namespace llmcore::core
