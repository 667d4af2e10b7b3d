// How much memory a model would take: reads the headers of its files and allocates none of it.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <llmcore/llmcore.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "common/model_flags.h"
#include "common/program.h"
#include "common/sizes.h"
#include "common/terminal.h"

namespace {

// What the kernel believes new programs can have without swapping.
std::optional<uint64_t> AvailableMemory() {
  std::ifstream file("/proc/meminfo");
  for (std::string name, unit; file >> name;) {
    uint64_t kibibytes = 0;
    if (file >> kibibytes; name == "MemAvailable:" && file) return kibibytes * 1024;
    std::getline(file, unit);
  }
  return std::nullopt;
}

void PrintTable(const llmcore::MemoryPlan& plan) {
  const struct {
    const char* name;
    uint64_t bytes;
  } rows[] = {{"weights", plan.weight_bytes},
              {"kv cache", plan.kv_cache_bytes},
              {"activations", plan.activation_bytes},
              {"workspace", plan.workspace_bytes},
              {"host", plan.host_bytes}};
  constexpr double kBarWidth = 40;
  const examples::Style style(STDOUT_FILENO);
  const double total = static_cast<double>(std::max<uint64_t>(plan.total_bytes, 1));
  for (const auto& row : rows) {
    const double width = static_cast<double>(row.bytes) / total * kBarWidth;
    const std::string bar(static_cast<size_t>(width + 0.5), '#');
    std::printf("%-12s %10s  %15llu  %s%s%s\n", row.name, examples::FormatBytes(row.bytes).c_str(),
                static_cast<unsigned long long>(row.bytes), style.cyan, bar.c_str(), style.reset);
  }
  std::printf("%s%-12s %10s  %15llu%s\n", style.bold, "total",
              examples::FormatBytes(plan.total_bytes).c_str(),
              static_cast<unsigned long long>(plan.total_bytes), style.reset);
  const uint64_t mapped = nlohmann::json::parse(plan.json).at("mapped_bytes").get<uint64_t>();
  if (mapped > 0) {
    std::printf("%s of the weights are mapped from their file rather than allocated\n",
                examples::FormatBytes(mapped).c_str());
  }
  const auto name = [](auto format) { return std::string(llmcore::Name(format)); };
  std::printf("\n%s weights, %s cache, %s activations; %u tokens of context, %llu in the cache\n",
              name(plan.weights).c_str(), name(plan.kv).c_str(), name(plan.activations).c_str(),
              plan.max_context, static_cast<unsigned long long>(plan.kv_cache_tokens));
}

void PrintVerdict(uint64_t needed, uint64_t limit, const std::string& what) {
  if (needed <= limit) {
    std::printf("fits in %s of %s\n", examples::FormatBytes(limit).c_str(), what.c_str());
  } else {
    std::printf("does not fit in %s of %s: %s more would do\n",
                examples::FormatBytes(limit).c_str(), what.c_str(),
                examples::FormatBytes(needed - limit).c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Prints how much memory a model would take, by category, and whether it fits.",
               "plan");
  examples::ModelFlags flags;
  bool json = false;
  examples::AddModelFlags(app, examples::ModelFlag::kBuiltinByDefault, flags);
  app.add_flag("--json", json, "Print JSON: bytes by category, total_bytes, fits, limit_bytes");

  return examples::RunProgram(app, argc, argv, [&] {
    const examples::ModelDirectory directory(flags.path);
    const auto plan = llmcore::Model::Plan(directory.path(), flags.options).value();
    const std::optional<uint64_t> budget = flags.options.memory_budget;
    const std::optional<uint64_t> limit = budget ? budget : AvailableMemory();
    if (json) {
      auto object = nlohmann::ordered_json::parse(plan.json);
      if (limit) {
        object["limit_bytes"] = *limit;
        object["fits"] = plan.total_bytes <= *limit;
      }
      std::printf("%s\n", object.dump(2).c_str());
      return;
    }
    PrintTable(plan);
    if (limit) PrintVerdict(plan.total_bytes, *limit, budget ? "budget" : "available memory");
  });
}
