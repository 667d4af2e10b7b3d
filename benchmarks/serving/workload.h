// The requests of a serving benchmark: read from a trace, or drawn.
#ifndef LLMCORE_BENCHMARKS_SERVING_WORKLOAD_H_
#define LLMCORE_BENCHMARKS_SERVING_WORKLOAD_H_

#include <cstdint>
#include <llmcore/llmcore.hpp>
#include <optional>
#include <string>
#include <vector>

namespace benchmarks {

// What a request asks for, before there is a vocabulary to make its prompt of.
struct RequestSpec {
  double arrival = 0;                 // seconds after the start
  uint32_t prompt_tokens = 0;         // at least 1
  uint32_t output_tokens = 0;         // at least 1
  std::vector<llmcore::Token> ids{};  // of the prompt where the trace has them; else they are drawn
  std::string prefix{};               // requests that name the same one begin with the same tokens,
  uint32_t prefix_tokens = 0;         // so many
};

// A distribution of lengths whose logarithm is normal.
struct LogNormal {
  double mean = 1;   // of the lengths themselves
  double sigma = 1;  // standard deviation of their logarithms
};

// ShareGPT's conversations. The means are those of figure 11 of Kwon et al. 2023 ("Efficient Memory
// Management for Large Language Model Serving with PagedAttention"): 161.31 tokens in, 337.99 out.
// The paper shows their spread as a histogram only; the sigmas are this program's.
struct DrawnWorkload {
  static constexpr uint32_t kLeastTokens = 4;  // of a prompt and of a reply
  static constexpr uint32_t kMostPromptTokens = 1024;
  static constexpr uint32_t kMostTokens = 2048;  // of both; longer ones are drawn again

  uint32_t requests = 64;
  LogNormal prompt{161.31, 1.2};
  LogNormal output{337.99, 1.0};
  std::optional<uint32_t> prompt_tokens{};  // all of this length instead
  std::optional<uint32_t> output_tokens{};
  uint32_t shared_prefix_tokens = 0;  // that all prompts begin with
  double rate = 0;                    // requests/s of a Poisson process; 0: all arrive at once
  uint64_t seed = 0;
};

// The same for equal parameters.
std::vector<RequestSpec> DrawRequests(const DrawnWorkload& workload);

// A line of `text` a request:
//
//   {"arrival": 0.25, "prompt_tokens": 512, "output_tokens": 64}
//   {"arrival": 1.5, "prompt": [1, 2, 3], "output_tokens": 64}
//   {"prompt_tokens": 900, "output_tokens": 8, "prefix": "manual", "prefix_tokens": 800}
//
// "arrival", in seconds, is 0 where it is left out. Empty lines are passed over. Throws
// std::runtime_error naming `name`, line and field.
std::vector<RequestSpec> ParseTrace(const std::string& text, const std::string& name);

// Tokens of the longest request, prompt and reply together.
uint64_t LongestRequest(const std::vector<RequestSpec>& requests);

// Any ids do for speed; the same for the same request on each run.
std::vector<llmcore::Token> MakePrompt(const RequestSpec& request, uint64_t seed,
                                       uint32_t vocabulary);

}  // namespace benchmarks

#endif  // LLMCORE_BENCHMARKS_SERVING_WORKLOAD_H_
