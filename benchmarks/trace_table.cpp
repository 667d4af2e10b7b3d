#include "trace_table.h"

#include <algorithm>

namespace benchmarks {
namespace {

std::string NameOf(const nlohmann::ordered_json& operation) {
  std::string name = operation.at("name");
  if (operation.contains("outputs")) {
    name.append(" ").append(operation.at("inputs").dump());
    name.append(" -> ").append(operation.at("outputs").dump());
  }
  return name;
}

}  // namespace

void PrintTrace(const std::string& title, const nlohmann::ordered_json& trace, double wall_seconds,
                std::FILE* out) {
  const double steps = std::max(trace.at("steps").get<double>(), 1.0);
  const double inside = trace.at("seconds");
  std::fprintf(out, "%s: %.0f rows in %.0f steps, %.3f ms a step\n", title.c_str(),
               trace.at("rows").get<double>(), trace.at("steps").get<double>(),
               inside / steps * 1e3);
  std::fprintf(out, "  %-30s %8s %10s %7s %8s %8s\n", "operation", "calls", "ms/step", "share",
               "GB/s", "GOP/s");
  const auto time_of = [&](const char* name, double seconds) {
    std::fprintf(out, "  %-30s %8s %10.3f %6.1f%%\n", name, "", seconds / steps * 1e3,
                 seconds / wall_seconds * 100);
  };
  for (const auto& operation : trace.at("operations")) {
    const double seconds = std::max(operation.at("seconds").get<double>(), 1e-9);
    std::fprintf(out, "  %-30s %8.1f %10.3f %6.1f%% %8.1f %8.1f\n", NameOf(operation).c_str(),
                 operation.at("calls").get<double>() / steps, seconds / steps * 1e3,
                 seconds / wall_seconds * 100, operation.at("bytes").get<double>() / seconds / 1e9,
                 operation.at("ops").get<double>() / seconds / 1e9);
  }
  time_of("other, inside of steps", trace.at("other_seconds"));
  time_of("outside of steps", std::max(wall_seconds - inside, 0.0));
}

}  // namespace benchmarks
