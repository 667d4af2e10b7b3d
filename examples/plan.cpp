// How much memory a model would take, and what fits: reads the headers of its files and allocates
// none of it.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <llmcore/llmcore.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/model_flags.h"
#include "common/program.h"
#include "common/progress.h"
#include "common/sizes.h"
#include "common/terminal.h"
#include "fitting.h"

namespace {

using examples::FormatBytes;

// A limit, and whose it is.
struct Limit {
  uint64_t bytes = 0;
  const char* of = "";
};

// The budget, else what the kernel believes new programs can have without swapping.
std::optional<Limit> LimitOf(const llmcore::LoadOptions& options) {
  if (options.memory_budget) return Limit{*options.memory_budget, "budget"};
  std::ifstream file("/proc/meminfo");
  for (std::string name, unit; file >> name;) {
    uint64_t kibibytes = 0;
    if (file >> kibibytes; name == "MemAvailable:" && file) {
      return Limit{kibibytes * 1024, "available memory"};
    }
    std::getline(file, unit);
  }
  return std::nullopt;
}

std::string Count(uint64_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

// A bar a category, as wide as the terminal leaves room for.
void PrintTable(const llmcore::MemoryPlan& plan) {
  const struct {
    const char* name;
    uint64_t bytes;
  } rows[] = {{"weights", plan.weight_bytes},
              {"kv cache", plan.kv_cache_bytes},
              {"activations", plan.activation_bytes},
              {"workspace", plan.workspace_bytes},
              {"host", plan.host_bytes},
              {"swap", plan.swap_bytes}};
  constexpr int kColumnsBefore = 42;
  constexpr int kLeastBar = 8;
  constexpr int kMostBar = 40;
  const int room = examples::Columns(STDOUT_FILENO) - kColumnsBefore;
  const int bar_width = room < kLeastBar ? 0 : std::min(room, kMostBar);
  const examples::Style style(STDOUT_FILENO);
  const double total = static_cast<double>(std::max<uint64_t>(plan.total_bytes, 1));
  for (const auto& row : rows) {
    if (row.bytes == 0 && std::string_view(row.name) == "swap") continue;  // it is off
    const double width = static_cast<double>(row.bytes) / total * bar_width;
    const std::string bar(static_cast<size_t>(width + 0.5), '#');
    std::printf("%-12s %10s  %15llu%s%s%s%s\n", row.name, FormatBytes(row.bytes).c_str(),
                static_cast<unsigned long long>(row.bytes), bar.empty() ? "" : "  ", style.cyan,
                bar.c_str(), style.reset);
  }
  std::printf("%s%-12s %10s  %15llu%s\n\n", style.bold, "total",
              FormatBytes(plan.total_bytes).c_str(),
              static_cast<unsigned long long>(plan.total_bytes), style.reset);
}

void PrintSizes(const llmcore::MemoryPlan& plan, const PlanDetails& details) {
  const auto name = [](auto format) { return std::string(llmcore::Name(format)); };
  std::printf("%s weights, %s cache and %s activations on %s\n", name(plan.weights).c_str(),
              name(plan.kv).c_str(), name(plan.activations).c_str(), details.device.c_str());
  std::printf("%u tokens of context, %llu in the cache; steps of %s of %s\n", plan.max_context,
              static_cast<unsigned long long>(plan.kv_cache_tokens),
              Count(details.batch_tokens, "token").c_str(),
              Count(details.batch_sequences, "session").c_str());
  if (details.mapped_bytes > 0) {
    std::printf("%s of the weights are mapped from their file rather than allocated\n",
                FormatBytes(details.mapped_bytes).c_str());
  }
  std::printf("a session that generates takes %s of its own beside\n",
              FormatBytes(details.session_bytes).c_str());
}

void PrintVerdict(uint64_t needed, const Limit& limit) {
  if (needed <= limit.bytes) {
    std::printf("fits in %s of %s\n", FormatBytes(limit.bytes).c_str(), limit.of);
  } else {
    std::printf("does not fit in %s of %s: %s more would do\n", FormatBytes(limit.bytes).c_str(),
                limit.of, FormatBytes(needed - limit.bytes).c_str());
  }
}

void PrintRoom(const Room& room, const PlanDetails& details, uint64_t context) {
  if (room.context == 0) {
    std::printf("no context is short enough to fit\n");
    return;
  }
  std::printf("largest context that fits: %s%s\n", Count(room.context, "token").c_str(),
              room.context == details.longest_context ? ", all that the model has" : "");
  std::printf("largest batch that fits: %s of %s\n", Count(room.sequences, "session").c_str(),
              Count(context, "token").c_str());
}

void PrintPlan(const Planner& planner, const llmcore::LoadOptions& options, bool json) {
  const llmcore::MemoryPlan plan = planner.Plan(options);
  const PlanDetails details(plan);
  const std::optional<Limit> limit = LimitOf(options);
  const uint64_t context = options.max_context.value_or(plan.max_context);
  std::optional<Room> room;
  if (limit) room = RoomIn(planner, options, limit->bytes, context);
  if (json) {
    auto object = nlohmann::ordered_json::parse(plan.json);
    if (limit) {
      object["limit_bytes"] = limit->bytes;
      object["fits"] = plan.total_bytes <= limit->bytes;
      object["largest_context"] = room->context;
      object["largest_batch"] = room->sequences;
    }
    examples::Write(object.dump(2) + "\n");
    return;
  }
  PrintTable(plan);
  PrintSizes(plan, details);
  if (!limit) return;
  PrintVerdict(plan.total_bytes, *limit);
  PrintRoom(*room, details, context);
}

nlohmann::ordered_json ToJson(const Choice& choice) {
  return {{"weight_format", llmcore::Name(choice.weights)},
          {"kv_format", llmcore::Name(choice.kv)},
          {"fits", choice.room.context > 0},
          {"total_bytes", choice.total_bytes},
          {"largest_context", choice.room.context},
          {"largest_batch", choice.room.sequences}};
}

// One line a choice, those that fit first.
void PrintChoices(const std::vector<Choice>& choices, uint64_t limit, uint64_t context) {
  const examples::Style style(STDOUT_FILENO);
  std::printf("%sweights  kv    %21s  largest context  sessions of %llu%s\n", style.bold,
              ("with " + Count(context, "token")).c_str(), static_cast<unsigned long long>(context),
              style.reset);
  for (const Choice& choice : choices) {
    const bool fits = choice.room.context > 0;
    std::printf("%s%-7s  %-4s  %21s", fits ? "" : style.dim,
                std::string(llmcore::Name(choice.weights)).c_str(),
                std::string(llmcore::Name(choice.kv)).c_str(),
                FormatBytes(choice.total_bytes).c_str());
    if (fits) {
      std::printf("  %15llu  %llu\n", static_cast<unsigned long long>(choice.room.context),
                  static_cast<unsigned long long>(choice.room.sequences));
    } else {
      std::printf("  does not fit%s\n", style.reset);
    }
  }
  if (choices.empty() || choices.front().room.context == 0) {
    std::printf("nothing fits in %s\n", FormatBytes(limit).c_str());
  }
}

void PrintFit(const Planner& planner, const llmcore::LoadOptions& options, uint64_t limit,
              bool json) {
  // The context that the model gets where no budget cuts it short.
  llmcore::LoadOptions plain;
  plain.device = options.device;
  const uint64_t context = options.max_context.value_or(planner.Plan(plain).max_context);
  std::vector<Choice> choices;
  {
    examples::ProgressBar bar("planning");
    choices = ChoicesIn(planner, options, limit, context,
                        [&bar](uint64_t done, uint64_t total) { bar.Update(done, total); });
  }
  if (!json) return PrintChoices(choices, limit, context);
  nlohmann::ordered_json object = {
      {"limit_bytes", limit}, {"context", context}, {"choices", nlohmann::ordered_json::array()}};
  for (const Choice& choice : choices) object["choices"].push_back(ToJson(choice));
  examples::Write(object.dump(2) + "\n");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Prints how much memory a model would take, by category, and what fits.", "plan");
  app.footer(std::string(examples::kShapesHelp) +
             ".\nWhat fits is held against --memory-budget, else against the available memory.");
  examples::ModelFlags flags;
  bool json = false;
  std::optional<uint64_t> fit;
  examples::AddModelFlags(app, examples::ModelFlag::kBuiltinByDefault, flags);
  examples::AddSwapFlag(app, flags);
  app.add_option("--fit", fit,
                 "List the formats of weights and cache that fit into SIZE, such as 24G, with the "
                 "largest context and the sessions at a time that each leaves room for; the least "
                 "rounded first")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(false).description(""))
      ->check(examples::AtLeastOne());
  app.add_flag("--json", json,
               "Print JSON: bytes by category, total_bytes, limit_bytes, fits, largest_context, "
               "largest_batch; with --fit limit_bytes, context and choices");

  return examples::RunProgram(app, argc, argv, [&] {
    if (fit && flags.options.memory_budget) {
      throw examples::UsageError("--fit takes the place of --memory-budget");
    }
    const Planner planner(flags);
    if (fit) return PrintFit(planner, flags.options, *fit, json);
    PrintPlan(planner, flags.options, json);
  });
}
