// Figures of merit of a model. Each comes with its definition, since the same name means different
// numbers elsewhere.
#ifndef LLMCORE_EXAMPLES_EVALUATIONS_EVALUATION_H_
#define LLMCORE_EXAMPLES_EVALUATIONS_EVALUATION_H_

#include <cstdint>
#include <llmcore/llmcore.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "common/interrupt.h"

namespace examples {

struct Evaluation {
  nlohmann::ordered_json figures;  // what --json prints
  std::string summary;             // the same for people: a line
  std::string definition;
};

struct PerplexityOptions {
  std::optional<uint64_t> window;  // tokens; unset: the model's context, at most 2048
  std::optional<uint64_t> stride;  // tokens; unset: half the window
  std::optional<uint64_t> max_tokens;
};
Evaluation Perplexity(const llmcore::Model& model, const std::string& text,
                      const PerplexityOptions& options, InterruptWatcher& interrupts);

// `jsonl`: a passage a line, {"text": ...} or {"context": ..., "continuation": ...}.
Evaluation Lambada(const llmcore::Model& model, const std::string& jsonl,
                   std::optional<uint64_t> limit, InterruptWatcher& interrupts);

struct ArithmeticOptions {
  std::optional<uint64_t> limit;
  uint32_t parallel = 4;      // conversations at a time
  uint64_t max_tokens = 512;  // of one reply
  bool show_wrong = false;    // on standard error
};
// `jsonl`: {"prompt": "1.1+2.3=?", "answer": "3.4"} a line.
Evaluation Arithmetic(const llmcore::Model& model, const std::string& jsonl,
                      const ArithmeticOptions& options, InterruptWatcher& interrupts);

// Objects of a file with one JSON object a line; an error names the line.
std::vector<nlohmann::json> ParseJsonLines(const std::string& text, std::optional<uint64_t> limit);

// Natural logarithm of the probability of `token`, in double.
double LogProbability(llmcore::View<float> logits, llmcore::Token token);

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_EVALUATIONS_EVALUATION_H_
