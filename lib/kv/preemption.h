// Whose blocks are taken when a request finds too few: a pure function.
#ifndef LLMCORE_LIB_KV_PREEMPTION_H_
#define LLMCORE_LIB_KV_PREEMPTION_H_

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>

namespace llmcore::core {

// Who keeps its blocks where there are too few for all: the one that comes first. A sequence has
// its standing for as long as a reply takes, so that two sequences that do not fit together go on
// one after the other rather than take each other's blocks by turns.
struct KvStanding {
  int64_t turn = 0;     // the step in which it began, and earlier with priority
  uint64_t ticket = 0;  // breaks ties: unique
  friend auto operator<=>(const KvStanding&, const KvStanding&) = default;
};

// A sequence that holds blocks and is in nobody's hands: no step runs with it.
struct KvHolder {
  size_t sequence = 0;    // the caller's name for it
  bool waiting = false;   // a request of it waits for a step
  bool replying = false;  // between two requests of a reply, when it does not wait
  int64_t last_used = 0;  // the step in which its last request ended
  KvStanding standing;    // of one that waits or replies
};

struct KvClaim {
  KvStanding standing;
  int64_t step = 0;     // now
  bool urgent = false;  // nothing else can go on
};

// Puts those who may have to give blocks up for `claim` in front, in the order in which they do,
// and returns how many they are:
//  1. those that nobody computes with, the one that was used least recently first. A reply that
//     did not go on for 32 steps counts as one of them;
//  2. those that come behind the claim, from the last on;
//  3. if it is urgent: replies that would come before it but ask for nothing now, from the last on.
// Never one that waits and comes before the claim. So the first of all that wait gets every block
// that is in nobody's hands: somebody always goes on.
size_t ChooseVictims(std::span<KvHolder> holders, const KvClaim& claim);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_KV_PREEMPTION_H_
