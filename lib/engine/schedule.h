// Which requests take part in the next step, and with how many positions: a pure function.
#ifndef LLMCORE_LIB_ENGINE_SCHEDULE_H_
#define LLMCORE_LIB_ENGINE_SCHEDULE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace llmcore::core {

// Who runs the steps of a model.
enum class Scheduler : uint8_t {
  kBackground,  // a thread of its own
  kManual,      // its callers: those that wait for something, and Engine::Step
};

// By so many steps a request comes earlier for each unit of its priority, before others that asked
// when it did. So who waits longer than that comes first whatever their priorities: nobody starves,
// and a session of priority 1 leaves those of priority 0 about one turn in 65.
inline constexpr int64_t kStepsPerPriority = 64;
inline constexpr int32_t kMaxPriority = 100;  // and the least is -100

// What a waiting request still wants.
struct Demand {
  bool decode = false;      // one position, whose logits somebody waits for
  int64_t rows = 0;         // positions that are not computed; 0: it sits this step out
  int64_t silent_rows = 0;  // how many of them come before the first whose logits are wanted
  bool begun = false;       // a step has computed some of it
  int64_t turn = 0;         // the step since which it waits, less kStepsPerPriority * priority
  size_t request = 0;       // the caller's name for it; of two that are equal the lower comes first
};

// Its part of a step.
struct Share {
  size_t demand = 0;  // index of the demand
  int32_t rows = 0;   // at least 1
  int32_t logit_rows = 0;
};

struct StepBudget {
  int32_t rows = 0;
  int32_t prefill_rows = 0;  // rows of requests that are no decodes
  int32_t sequences = 0;
  int32_t logit_rows = 0;
  // Of the rows of prefills, those of prompts that no step reads whole.
  int32_t long_rows = std::numeric_limits<int32_t>::max();
  int32_t brief = 0;  // up to how many rows a prompt that has not begun is none of these

  void Take(const Demand& demand, const Share& share);
};

// Whether prompts that a step of `rows` reads whole come before the pace of replies: when more of
// them wait for their first token than replies for their next. Reading them at once delays each
// reply by as long as reading them beside the replies would delay each of them, and more.
bool BriefPromptsComeFirst(std::span<const Demand> demands, int32_t rows);

// The order in which demands are served: by turn, and decodes a few steps earlier, so that a long
// prompt does not keep them waiting.
bool ComesBefore(const Demand& a, const Demand& b);

// Sorts `demands` by ComesBefore. Prompts fill what is left in chunks. Writes to `shares`, which
// has room for budget.sequences, and returns how many there are.
size_t Schedule(std::span<Demand> demands, const StepBudget& budget, std::span<Share> shares);

// How many rows of prompts a step may hold besides decodes. A step takes longer with each of them,
// and whoever waits for a decode feels it: the pacer keeps steps of both below twice the time of
// steps of decodes alone, which it measures. Chunking never changes bits, so that time may.
class PrefillPacer {
 public:
  explicit PrefillPacer(int32_t max_rows) : max_rows_(max_rows) {}

  // Rows of prompts for the step that begins `now`, of which `decodes` decodes are part. Moments
  // are seconds since one that stays the same.
  int32_t rows(int32_t decodes, double now) const;
  // A step of so many decodes and rows of prompts took `seconds` and ended `now`. One of more rows
  // than the pacer allows teaches it nothing.
  void Record(int32_t decodes, int32_t prefill_rows, double seconds, double now);

 private:
  // The least chunk: with fewer rows a prompt would hardly be faster than its own decoding.
  static constexpr int32_t kLeastRows = 8;

  const int32_t max_rows_;
  int32_t rows_ = kLeastRows;  // beside decodes
  double decode_seconds_ = 0;
  double last_decode_ = -std::numeric_limits<double>::infinity();
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_ENGINE_SCHEDULE_H_
