#include "serving/report.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <string>

namespace benchmarks {
namespace {

using nlohmann::ordered_json;

double Percentile(const std::vector<double>& sorted, double percent) {
  const double place = percent / 100 * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(place);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (place - std::floor(place)) * (sorted[high] - sorted[low]);
}

std::string NameOf(llmcore::ErrorCode code) {
  static constexpr const char* kNames[] = {"OK",
                                           "CANCELLED",
                                           "UNKNOWN",
                                           "INVALID_ARGUMENT",
                                           "DEADLINE_EXCEEDED",
                                           "NOT_FOUND",
                                           "ALREADY_EXISTS",
                                           "PERMISSION_DENIED",
                                           "RESOURCE_EXHAUSTED",
                                           "FAILED_PRECONDITION",
                                           "ABORTED",
                                           "OUT_OF_RANGE",
                                           "UNIMPLEMENTED",
                                           "INTERNAL",
                                           "UNAVAILABLE",
                                           "DATA_LOSS",
                                           "UNAUTHENTICATED"};
  const auto index = static_cast<size_t>(code);
  return index < std::size(kNames) ? kNames[index] : "code " + std::to_string(index);
}

ordered_json FailuresByCode(const std::vector<RequestRecord>& requests) {
  std::map<std::string, std::pair<size_t, std::string>> failures;
  for (const RequestRecord& request : requests) {
    if (request.error.ok()) continue;
    auto& [count, message] = failures[NameOf(request.error.code())];
    if (count++ == 0) message = request.error.message();
  }
  ordered_json result = ordered_json::object();
  for (const auto& [name, failure] : failures) {
    result[name] = {{"count", failure.first}, {"message", failure.second}};
  }
  return result;
}

void PrintSummary(const char* name, const ordered_json& summary, std::FILE* out) {
  std::fprintf(out, "%-28s", name);
  for (const char* key : {"mean", "p50", "p90", "p99", "max"}) {
    std::fprintf(out, " %10.2f", summary.at(key).get<double>());
  }
  std::fprintf(out, "\n");
}

void PrintHeads(std::FILE* out) {
  std::fprintf(out, "%-28s %10s %10s %10s %10s %10s\n", "", "mean", "p50", "p90", "p99", "max");
}

}  // namespace

ordered_json Summary(std::vector<double> values, double scale) {
  ordered_json summary = {{"mean", 0.0}, {"p50", 0.0}, {"p90", 0.0},
                          {"p99", 0.0},  {"max", 0.0}, {"count", values.size()}};
  if (values.empty()) return summary;
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (const double value : values) sum += value;
  summary["mean"] = scale * sum / static_cast<double>(values.size());
  summary["p50"] = scale * Percentile(values, 50);
  summary["p90"] = scale * Percentile(values, 90);
  summary["p99"] = scale * Percentile(values, 99);
  summary["max"] = scale * values.back();
  return summary;
}

ordered_json ReplayReport(const ReplayResult& result) {
  std::vector<double> first, per_token, between, whole, waiting, usage;
  double completed = 0;
  double input = 0;
  double output = 0;
  for (const RequestRecord& request : result.requests) {
    if (!request.error.ok() || request.token_times.empty()) continue;
    const std::vector<double>& times = request.token_times;
    ++completed;
    input += request.prompt_tokens;
    output += static_cast<double>(times.size());
    first.push_back(times.front() - request.arrival);
    whole.push_back(times.back() - request.arrival);
    for (size_t i = 1; i < times.size(); ++i) between.push_back(times[i] - times[i - 1]);
    if (times.size() > 1) {
      per_token.push_back((times.back() - times.front()) / static_cast<double>(times.size() - 1));
    }
  }
  for (const PoolSample& sample : result.pool) {
    waiting.push_back(sample.waiting);
    usage.push_back(sample.used);
  }
  const double seconds = std::max(result.seconds, 1e-9);
  return {{"duration_seconds", result.seconds},
          {"completed", static_cast<uint64_t>(completed)},
          {"failed", result.requests.size() - static_cast<uint64_t>(completed)},
          {"failures", FailuresByCode(result.requests)},
          {"input_tokens", static_cast<uint64_t>(input)},
          {"output_tokens", static_cast<uint64_t>(output)},
          {"prefix_hit_tokens", static_cast<uint64_t>(result.prefix_hit_tokens)},
          {"swapped_out_blocks", static_cast<uint64_t>(result.swapped_out_blocks)},
          {"swapped_in_blocks", static_cast<uint64_t>(result.swapped_in_blocks)},
          {"dropped_blocks", static_cast<uint64_t>(result.dropped_blocks)},
          {"request_throughput", completed / seconds},
          {"input_throughput", input / seconds},
          {"output_throughput", output / seconds},
          {"total_token_throughput", (input + output) / seconds},
          {"ttft_ms", Summary(std::move(first), 1e3)},
          {"tpot_ms", Summary(std::move(per_token), 1e3)},
          {"itl_ms", Summary(std::move(between), 1e3)},
          {"e2el_ms", Summary(std::move(whole), 1e3)},
          {"waiting_requests", Summary(std::move(waiting), 1)},
          {"kv_cache_usage", Summary(std::move(usage), 1)}};
}

void PrintReplay(const ordered_json& report, std::FILE* out) {
  const auto number = [&](const char* key) { return report.at(key).get<double>(); };
  std::fprintf(out, "requests                     %10.0f in %.2f s, %.0f failed\n",
               number("completed"), number("duration_seconds"), number("failed"));
  for (const auto& [code, failure] : report.at("failures").items()) {
    std::fprintf(out, "  %-26s %10.0f %s\n", code.c_str(), failure.at("count").get<double>(),
                 failure.at("message").get<std::string>().c_str());
  }
  std::fprintf(out, "tokens in, out               %10.0f %10.0f\n", number("input_tokens"),
               number("output_tokens"));
  std::fprintf(out, "  in from the prefix cache   %10.0f\n", number("prefix_hit_tokens"));
  std::fprintf(out, "blocks swapped out, in, lost %10.0f %10.0f %10.0f\n",
               number("swapped_out_blocks"), number("swapped_in_blocks"), number("dropped_blocks"));
  std::fprintf(out, "requests/s                   %10.3f\n", number("request_throughput"));
  std::fprintf(out, "tokens/s in, out, total      %10.1f %10.1f %10.1f\n",
               number("input_throughput"), number("output_throughput"),
               number("total_token_throughput"));
  PrintHeads(out);
  PrintSummary("time to first token, ms", report.at("ttft_ms"), out);
  PrintSummary("time per output token, ms", report.at("tpot_ms"), out);
  PrintSummary("inter-token latency, ms", report.at("itl_ms"), out);
  PrintSummary("end-to-end latency, ms", report.at("e2el_ms"), out);
  PrintSummary("requests waiting", report.at("waiting_requests"), out);
  PrintSummary("KV cache in use, 0 to 1", report.at("kv_cache_usage"), out);
}

ordered_json InterferenceReport(const InterferenceResult& result) {
  const ordered_json undisturbed = Summary(result.undisturbed, 1e3);
  const ordered_json disturbed = Summary(result.disturbed, 1e3);
  const auto ratio = [&](const char* key) {
    return disturbed.at(key).get<double>() / std::max(undisturbed.at(key).get<double>(), 1e-9);
  };
  return {{"itl_undisturbed_ms", undisturbed},
          {"itl_disturbed_ms", disturbed},
          {"p50_ratio", ratio("p50")},
          {"p99_ratio", ratio("p99")},
          {"prompt_seconds", result.prompt_seconds}};
}

void PrintInterference(const ordered_json& report, std::FILE* out) {
  PrintHeads(out);
  PrintSummary("inter-token, undisturbed, ms", report.at("itl_undisturbed_ms"), out);
  PrintSummary("inter-token, disturbed, ms", report.at("itl_disturbed_ms"), out);
  std::fprintf(out, "p50 ratio                    %10.2f\np99 ratio                    %10.2f\n",
               report.at("p50_ratio").get<double>(), report.at("p99_ratio").get<double>());
  std::fprintf(out, "prompts read in, s          ");
  for (const double seconds : report.at("prompt_seconds")) std::fprintf(out, " %10.2f", seconds);
  std::fprintf(out, "\n");
}

}  // namespace benchmarks
