// A step trace (llmcore_model_trace_json) as people read it.
#ifndef LLMCORE_BENCHMARKS_TRACE_TABLE_H_
#define LLMCORE_BENCHMARKS_TRACE_TABLE_H_

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace benchmarks {

// One line an operation: milliseconds a step, share of `wall_seconds`, GB/s and GOP/s. What the
// steps spent outside of operations and what passed outside of steps come last.
void PrintTrace(const std::string& title, const nlohmann::ordered_json& trace, double wall_seconds,
                std::FILE* out);

}  // namespace benchmarks

#endif  // LLMCORE_BENCHMARKS_TRACE_TABLE_H_
