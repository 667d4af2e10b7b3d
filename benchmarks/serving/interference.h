// What replies feel of a long prompt that is read beside them.
#ifndef LLMCORE_BENCHMARKS_SERVING_INTERFERENCE_H_
#define LLMCORE_BENCHMARKS_SERVING_INTERFERENCE_H_

#include <cstdint>
#include <functional>
#include <llmcore/llmcore.hpp>
#include <vector>

namespace benchmarks {

struct InterferenceOptions {
  // A reply that has so many tokens is rewound and begins anew, so that the context stays short.
  static constexpr uint32_t kReplyTokens = 512;

  uint32_t sequences = 1;         // that generate all the time
  uint32_t context = 64;          // tokens before their replies
  uint32_t prompt_tokens = 4096;  // of the prompt that is read beside them
  uint32_t rounds = 3;            // prompts, one after the other
  double seconds_between = 5;     // without one, before the first and between them
};

struct InterferenceResult {
  std::vector<double> undisturbed{};  // seconds between tokens of a reply while no prompt is read
  std::vector<double> disturbed{};    // and while one is
  std::vector<double> prompt_seconds{};  // until the logits of each prompt were there
};

// `progress` is called with the rounds that are over. Throws llmcore::Error.
InterferenceResult MeasureInterference(const llmcore::Model& model,
                                       const InterferenceOptions& options,
                                       const std::function<void(size_t)>& progress);

}  // namespace benchmarks

#endif  // LLMCORE_BENCHMARKS_SERVING_INTERFERENCE_H_
