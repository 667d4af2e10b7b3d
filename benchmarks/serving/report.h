// What a serving benchmark measured, in the terms of the field.
#ifndef LLMCORE_BENCHMARKS_SERVING_REPORT_H_
#define LLMCORE_BENCHMARKS_SERVING_REPORT_H_

#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "serving/interference.h"
#include "serving/replay.h"

namespace benchmarks {

// {"mean", "p50", "p90", "p99", "max", "count"}, `scale` times the values. Percentiles lie between
// the two nearest values, as those of numpy do. Zeros for none.
nlohmann::ordered_json Summary(std::vector<double> values, double scale);

// "duration_seconds"; "completed" and "failed" requests, and "failures" by code with one message
// each; "input_tokens" and "output_tokens" of those that were completed, "prefix_hit_tokens" (of
// all inputs, that the prefix cache had), and per second "request_throughput", "input_throughput",
// "output_throughput" and "total_token_throughput"; in milliseconds "ttft_ms" (time to first token,
// from the arrival), "tpot_ms" (mean time per output token of a request, without its first),
// "itl_ms" (inter-token latency, each single one) and "e2el_ms" (end-to-end latency, from the
// arrival); "waiting_requests" (in the engine, for a step) and "kv_cache_usage" (0 to 1), over
// time.
nlohmann::ordered_json ReplayReport(const ReplayResult& result);
void PrintReplay(const nlohmann::ordered_json& report, std::FILE* out);

// "itl_undisturbed_ms", "itl_disturbed_ms", their "p99_ratio" and "p50_ratio", and
// "prompt_seconds".
nlohmann::ordered_json InterferenceReport(const InterferenceResult& result);
void PrintInterference(const nlohmann::ordered_json& report, std::FILE* out);

}  // namespace benchmarks

#endif  // LLMCORE_BENCHMARKS_SERVING_REPORT_H_
