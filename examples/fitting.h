// What fits into so much memory: plans of one model, made with one size after another.
#ifndef LLMCORE_EXAMPLES_FITTING_H_
#define LLMCORE_EXAMPLES_FITTING_H_

#include <cstdint>
#include <functional>
#include <llmcore/llmcore.hpp>
#include <string>
#include <vector>

#include "common/model_flags.h"

// What plan_json says and llmcore::MemoryPlan has no member for.
struct PlanDetails {
  std::string device;
  uint64_t mapped_bytes = 0;     // of the weights, not allocated
  uint64_t session_bytes = 0;    // of each session, beside the plan
  uint64_t longest_context = 0;  // that the model was made for
  uint64_t block_tokens = 0;     // the cache is shared out in blocks of so many
  uint64_t batch_tokens = 0;
  uint64_t batch_sequences = 0;

  explicit PlanDetails(const llmcore::MemoryPlan& plan);
};

class Planner {
 public:
  // Of flags.path, as --model: a directory, a name in the cache of Hugging Face or of a shape, or
  // empty; and with flags.extras.
  explicit Planner(const examples::ModelFlags& flags);

  // Throws llmcore::Error.
  llmcore::MemoryPlan Plan(const llmcore::LoadOptions& options) const;

 private:
  const bool shape_;
  const std::string name_;
  const llmcore::experimental::LoadExtras extras_;
  std::unique_ptr<examples::ModelDirectory> directory_;
};

// What a limit leaves room for, with the other options as they are.
struct Room {
  uint64_t context = 0;    // tokens of one sequence that has all the memory; 0: it does not fit
  uint64_t sequences = 0;  // that run at the same time, each with the context that was asked for
};
// `context`: tokens of each of the sequences. A budget in `options` is not looked at.
Room RoomIn(const Planner& planner, llmcore::LoadOptions options, uint64_t limit, uint64_t context);

// Formats to hold a model in, and what they leave.
struct Choice {
  llmcore::WeightFormat weights;
  llmcore::KvFormat kv;
  uint64_t total_bytes = 0;  // with one sequence of the context
  Room room;
};
// All formats that are not larger than what is stored, or those that `options` name: first those
// that fit with the whole context, the least rounded first. `progress` is called with how many of
// how many are done.
std::vector<Choice> ChoicesIn(const Planner& planner, const llmcore::LoadOptions& options,
                              uint64_t limit, uint64_t context,
                              const std::function<void(uint64_t, uint64_t)>& progress);

#endif  // LLMCORE_EXAMPLES_FITTING_H_
