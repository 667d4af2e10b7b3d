// How a model serves many sessions at once, in this process and through the public API.
//
//   llmcore_serve_bench --model llama-3.2-1b --weights int4 --requests 64 --concurrency 16
//   llmcore_serve_bench --model llama-3.2-1b --weights int4 --trace requests.jsonl --json
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <llmcore/llmcore.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/model_flags.h"
#include "common/program.h"
#include "common/progress.h"
#include "common/stopwatch.h"
#include "model_or_shape.h"
#include "serving/interference.h"
#include "serving/replay.h"
#include "serving/report.h"
#include "serving/workload.h"

namespace {

using benchmarks::RequestSpec;

constexpr char kFooter[] =
    "\nLengths are drawn from log-normal distributions with the means of ShareGPT's conversations; "
    "those that\ncannot be (fewer than 4 tokens, a prompt of more than 1024, more than 2048 in "
    "all) "
    "are drawn again.\n\nA trace has a JSON object a line: {\"arrival\": seconds, "
    "\"prompt_tokens\": N, \"output_tokens\": N}, with\n\"prompt\": [ids] instead of "
    "\"prompt_tokens\" where the tokens matter, and with \"prefix\": \"name\" and\n"
    "\"prefix_tokens\": N where prompts begin alike. Without arrivals requests come as "
    "--concurrency lets them.";

struct Flags {
  examples::ModelFlags model;
  benchmarks::DrawnWorkload drawn;
  std::string trace;
  std::optional<uint32_t> concurrency;
  uint32_t disturb_with = 0;
  uint32_t rounds = 3;
  bool json = false;
};

void AddWorkloadFlags(CLI::App& app, Flags& flags) {
  benchmarks::DrawnWorkload& drawn = flags.drawn;
  const auto count = [&app](const char* name, auto& value, double most,
                            const std::string& description) {
    app.add_option(name, value, description)->type_name("N")->check(examples::Between(1, most));
  };
  const auto number = [&app](const char* name, double& value, double least, double most,
                             const std::string& description) {
    app.add_option(name, value, description)->type_name("X")->check(examples::Between(least, most));
  };
  constexpr double kLongest = 1 << 24;
  count("--requests", drawn.requests, 1 << 20, "Requests that are drawn; 64 without it");
  count("--concurrency", flags.concurrency, 4096,
        "Requests that run at a time, each in a session and a thread of its own; 16 without it, "
        "and as many as there are where they have arrivals");
  number("--rate", drawn.rate, 1e-9, 1e9,
         "Requests arrive at this many a second, as a Poisson process; without it each comes when "
         "one before it ends");
  count("--prompt-tokens", drawn.prompt_tokens, kLongest,
        "All prompts have this length, instead of one that is drawn");
  count("--output-tokens", drawn.output_tokens, kLongest, "All replies have this length");
  count("--prefix-tokens", drawn.shared_prefix_tokens, kLongest,
        "All prompts begin with the same tokens, so many before their own");
  number("--prompt-mean", drawn.prompt.mean, 1, kLongest,
         "Mean of the prompts' lengths; 161.31 without it");
  number("--prompt-sigma", drawn.prompt.sigma, 0, 10,
         "Standard deviation of their logarithms; 1.2 without it");
  number("--output-mean", drawn.output.mean, 1, kLongest,
         "Mean of the replies' lengths; 337.99 without it");
  number("--output-sigma", drawn.output.sigma, 0, 10,
         "Standard deviation of their logarithms; 1.0 without it");
  app.add_option("--seed", drawn.seed, "Of lengths and arrivals; 0 without it")
      ->type_name("S")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""));
  app.add_option("--trace", flags.trace,
                 "Requests of a file instead, - for standard input; see below")
      ->type_name("FILE");
  count("--disturb-with", flags.disturb_with, kLongest,
        "Measure something else: the time between the tokens of --concurrency replies (1 without "
        "it) while a prompt of this many tokens is read beside them, and while none is");
  count("--rounds", flags.rounds, 1000,
        "Prompts of --disturb-with, one after the other; 3 without it");
}

// Throws for options that would have no effect.
void RefuseWithoutEffect(const CLI::App& app) {
  const auto refuse = [&app](const std::string& name, const std::vector<std::string>& others) {
    for (const std::string& other : others) {
      if (app.count(name) > 0 && app.count(other) > 0) {
        throw examples::UsageError(other + " does not go together with " + name);
      }
    }
  };
  const std::vector<std::string> drawn = {"--requests",      "--rate",         "--output-tokens",
                                          "--prefix-tokens", "--prompt-mean",  "--prompt-sigma",
                                          "--output-mean",   "--output-sigma", "--seed"};
  refuse("--trace", drawn);
  refuse("--trace", {"--prompt-tokens", "--disturb-with"});
  refuse("--disturb-with", drawn);
  if (app.count("--rounds") > 0 && app.count("--disturb-with") == 0) {
    throw examples::UsageError("--rounds needs --disturb-with");
  }
}

void AddEngineFlags(CLI::App& app, llmcore::LoadOptions& options) {
  app.get_option("--threads")->description("As -t");
  app.add_option("-t", options.threads, "Threads that compute; 0, the default: one per core")
      ->type_name("N");
  const auto count = [&app](const char* name, auto& value, const char* description) {
    app.add_option(name, value, description)->type_name("N")->check(examples::AtLeastOne());
  };
  count("--kv-cache-tokens", options.kv_cache_tokens,
        "Tokens that the KV cache holds; without it, and without --memory-budget, as many as the "
        "longest requests that can run at a time");
  count("--max-batch-tokens", options.max_batch_tokens, "Tokens of one step at most");
  count("--max-batch-sequences", options.max_batch_sequences, "Sessions of one step at most");
}

std::vector<RequestSpec> Requests(const Flags& flags) {
  if (flags.trace.empty()) return benchmarks::DrawRequests(flags.drawn);
  return benchmarks::ParseTrace(examples::ReadFile(flags.trace), flags.trace);
}

// Tokens of the `count` longest requests; each ends in a block of its own.
uint64_t TokensAtATime(const std::vector<RequestSpec>& requests, uint32_t count) {
  std::vector<uint64_t> lengths;
  for (const RequestSpec& request : requests) {
    lengths.push_back(uint64_t{request.prompt_tokens} + request.output_tokens + 64);
  }
  std::sort(lengths.begin(), lengths.end(), std::greater<>());
  uint64_t sum = 0;
  for (size_t i = 0; i < lengths.size() && i < count; ++i) sum += lengths[i];
  return sum;
}

llmcore::Model Load(Flags& flags, uint64_t longest, uint64_t tokens_at_a_time,
                    examples::InterruptWatcher& interrupts) {
  llmcore::LoadOptions& options = flags.model.options;
  if (!options.max_context) {
    if (longest > UINT32_MAX) throw examples::UsageError("the requests are too long");
    options.max_context = static_cast<uint32_t>(longest);
  }
  if (!options.kv_cache_tokens && !options.memory_budget) {
    options.kv_cache_tokens = tokens_at_a_time;
  }
  return benchmarks::LoadModelOrShape(flags.model, interrupts);
}

nlohmann::ordered_json Describe(const Flags& flags, const llmcore::Model& model) {
  const llmcore::MemoryPlan plan = model.plan().value();
  const auto name = [](auto format) { return std::string(llmcore::Name(format)); };
  return {{"model", flags.model.path.empty() ? "built-in" : flags.model.path},
          {"backend", std::string(model.backend_description())},
          {"weights", name(plan.weights)},
          {"kv", name(plan.kv)},
          {"activations", name(plan.activations)},
          {"kv_cache_tokens", plan.kv_cache_tokens},
          {"swap_bytes", plan.swap_bytes},
          {"plan_bytes", plan.total_bytes}};
}

using Printer = void (*)(const nlohmann::ordered_json& report, std::FILE* out);

void Print(bool json, nlohmann::ordered_json description, const nlohmann::ordered_json& report,
           Printer print) {
  if (json) {
    description.update(report);
    std::printf("%s\n", description.dump(2).c_str());
    return;
  }
  const auto text = [&](const char* key) { return description.at(key).get<std::string>(); };
  std::printf("%s; %s weights, %s cache, %s activations\n", text("backend").c_str(),
              text("weights").c_str(), text("kv").c_str(), text("activations").c_str());
  print(report, stdout);
}

void RunInterference(Flags& flags, examples::InterruptWatcher& interrupts) {
  benchmarks::InterferenceOptions options;
  options.sequences = flags.concurrency.value_or(1);
  options.context = flags.drawn.prompt_tokens.value_or(options.context);
  options.prompt_tokens = flags.disturb_with;
  options.rounds = flags.rounds;
  const uint64_t reply = options.context + benchmarks::InterferenceOptions::kReplyTokens;
  const llmcore::Model model =
      Load(flags, std::max<uint64_t>(options.prompt_tokens, reply),
           options.sequences * (reply + 64) + options.prompt_tokens + 64, interrupts);
  examples::ProgressBar bar("reading prompts");
  const benchmarks::InterferenceResult result = benchmarks::MeasureInterference(
      model, options, [&](size_t done) { bar.Update(done, options.rounds); });
  bar.Clear();
  nlohmann::ordered_json description = Describe(flags, model);
  description["sequences"] = options.sequences;
  description["prompt_tokens"] = options.prompt_tokens;
  Print(flags.json, std::move(description), benchmarks::InterferenceReport(result),
        benchmarks::PrintInterference);
}

void RunReplay(Flags& flags, examples::InterruptWatcher& interrupts) {
  const std::vector<RequestSpec> requests = Requests(flags);
  benchmarks::ReplayOptions options;
  options.open_loop = requests.back().arrival > 0;
  const auto all = static_cast<uint32_t>(std::min<size_t>(requests.size(), 1024));
  options.concurrency = flags.concurrency.value_or(options.open_loop ? all : 16);
  const llmcore::Model model = Load(flags, benchmarks::LongestRequest(requests),
                                    TokensAtATime(requests, options.concurrency), interrupts);

  RequestSpec warm_up;  // wakes the threads and touches the memory once
  warm_up.prompt_tokens = std::min(requests[0].prompt_tokens, 32u);
  warm_up.output_tokens = 2;
  warm_up.prefix = "warm up";  // not the beginning of a prompt that is measured
  warm_up.prefix_tokens = warm_up.prompt_tokens;
  benchmarks::Replay(model, {warm_up}, {}, [](size_t) {});

  examples::ProgressBar bar("serving");
  const benchmarks::ReplayResult result = benchmarks::Replay(
      model, requests, options, [&](size_t done) { bar.Update(done, requests.size()); });
  bar.Clear();
  nlohmann::ordered_json description = Describe(flags, model);
  description["requests"] = requests.size();
  description["concurrency"] = options.concurrency;
  description["open_loop"] = options.open_loop;
  if (flags.drawn.rate > 0) description["rate"] = flags.drawn.rate;
  Print(flags.json, std::move(description), benchmarks::ReplayReport(result),
        benchmarks::PrintReplay);
  for (const benchmarks::RequestRecord& request : result.requests) {
    if (request.error.ok()) return;
  }
  throw result.requests[0].error;  // not one was served
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures how a model serves many sessions at once.", "llmcore_serve_bench");
  app.footer(std::string(benchmarks::kShapesHelp) + "\n" + kFooter);
  Flags flags;
  examples::AddModelFlags(app, examples::ModelFlag::kBuiltinByDefault, flags.model);
  examples::AddSwapFlag(app, flags.model);
  AddWorkloadFlags(app, flags);
  AddEngineFlags(app, flags.model.options);
  app.add_flag("--json", flags.json, "Print JSON");

  return examples::RunProgram(app, argc, argv, [&] {
    RefuseWithoutEffect(app);
    examples::InterruptWatcher interrupts;
    if (flags.disturb_with > 0) {
      RunInterference(flags, interrupts);
    } else {
      RunReplay(flags, interrupts);
    }
  });
}
