// How fast a model reads prompts and generates, through the public API: what an application gets.
//
//   llmcore_bench --model llama-3.2-1b --weights int4 -p 512 -n 128 -t 2 --json
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <llmcore/experimental.hpp>
#include <llmcore/llmcore.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/model_flags.h"
#include "common/program.h"
#include "common/progress.h"
#include "common/sizes.h"
#include "common/stopwatch.h"
#include "model_or_shape.h"
#include "trace_table.h"

namespace {

struct Workload {
  uint32_t prompt_tokens = 512;
  uint32_t generated_tokens = 128;
  std::optional<uint32_t> context;  // tokens before a reply; unset: the prompt
  uint32_t shared_prefix = 0;       // tokens that all prompts of a repetition begin with
  uint32_t batch = 1;               // sequences at a time, each with a thread of its own
  uint32_t repetitions = 3;
};

struct Samples {
  std::vector<double> prompt;      // tokens/s of all sequences together
  std::vector<double> generation;  // tokens/s of all sequences together
  // With a shared prefix: seconds of the prompt that comes first, and of one that comes after it.
  std::vector<double> first_prompt;
  std::vector<double> second_prompt;
};

// Where the time of one more repetition went, with the trace on.
struct PhaseTrace {
  nlohmann::ordered_json steps;  // llmcore_model_trace_json
  double wall_seconds = 0;
};

struct Traces {
  PhaseTrace prompt;
  PhaseTrace generation;
};

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Any ids do for speed; the same on each run. A linear congruential generator (Knuth's MMIX).
std::vector<llmcore::Token> MakePrompt(uint32_t length, uint32_t vocabulary, uint64_t seed) {
  std::vector<llmcore::Token> ids(length);
  for (llmcore::Token& id : ids) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    id = static_cast<llmcore::Token>((seed >> 33) % vocabulary);
  }
  return ids;
}

// Runs `work(i)` for each sequence in a thread of its own and returns the seconds until all ended.
template <typename Work>
double TimeAll(uint32_t count, const Work& work) {
  std::vector<std::exception_ptr> failures(count);
  const examples::Stopwatch watch;
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      try {
        work(i);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = watch.seconds();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return seconds;
}

// TimeAll, traced into `trace` unless that is NULL.
template <typename Work>
double TimePhase(const llmcore::Model& model, uint32_t count, PhaseTrace* trace, const Work& work) {
  if (trace != nullptr) llmcore::experimental::SetTrace(model, true).value();
  const double seconds = TimeAll(count, work);
  if (trace != nullptr) {
    llmcore::experimental::SetTrace(model, false).value();
    trace->steps = nlohmann::ordered_json::parse(llmcore::experimental::TraceJson(model).value());
    trace->wall_seconds = seconds;
  }
  return seconds;
}

// From a prompt to what a reply is to follow.
void SetLength(const llmcore::Model& model, const Workload& load, llmcore::Session& session) {
  const uint32_t length = load.context.value_or(load.prompt_tokens);
  if (length < load.prompt_tokens) session.Truncate(length).value();
  if (length > load.prompt_tokens) {
    session.AppendTokens(MakePrompt(length - load.prompt_tokens, model.vocabulary_size(), 0))
        .value();
  }
}

// One repetition: all prompts, then all replies. The two are parted so that neither's time holds
// some of the other's. Each `turn` has prompts of its own: the prefix cache would hold those of an
// earlier one. `traces` may be NULL.
void Measure(const llmcore::Model& model, const Workload& load, uint64_t turn, Samples& samples,
             Traces* traces = nullptr) {
  // For some milliseconds after a reply the engine reads prompts in small steps, lest the reply
  // goes on. Nobody asks that soon.
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  std::vector<llmcore::Session> sessions;
  for (uint32_t i = 0; i < load.batch; ++i) {
    sessions.push_back(llmcore::Session::Create(model).value());
    sessions[i]
        .AppendTokens(
            MakePrompt(load.prompt_tokens, model.vocabulary_size(), turn * load.batch + i + 1))
        .value();
  }
  const double prompt_seconds =
      TimePhase(model, load.batch, traces ? &traces->prompt : nullptr,
                [&](uint32_t i) { static_cast<void>(sessions[i].Logits().value()); });
  samples.prompt.push_back(load.batch * double{1} * load.prompt_tokens / prompt_seconds);
  if (load.generated_tokens == 0) return;
  for (llmcore::Session& session : sessions) SetLength(model, load, session);

  // The first token is drawn from the prompt's logits, so one more is generated than counted.
  std::vector<llmcore::Generation> replies;
  for (llmcore::Session& session : sessions) {
    llmcore::SamplingParams params;
    params.temperature = 0;
    params.ignore_eos = true;
    params.max_tokens = load.generated_tokens + 1;
    replies.push_back(session.Generate(params));
    static_cast<void>(replies.back().Next().value());
  }
  const double reply_seconds =
      TimePhase(model, load.batch, traces ? &traces->generation : nullptr, [&](uint32_t i) {
        while (replies[i].Next().value()) {
        }
      });
  for (const llmcore::Generation& reply : replies) {
    if (reply.token_count() != load.generated_tokens + 1) {
      throw std::runtime_error("a reply ended early, after " + std::to_string(reply.token_count()) +
                               " tokens");
    }
  }
  samples.generation.push_back(load.batch * double{1} * load.generated_tokens / reply_seconds);
}

// One repetition with a shared prefix: two prompts, one after the other.
void MeasureSharedPrefix(const llmcore::Model& model, const Workload& load, uint64_t turn,
                         Samples& samples) {
  const uint32_t vocabulary = model.vocabulary_size();
  for (const uint32_t reader : {0u, 1u}) {
    llmcore::Session session = llmcore::Session::Create(model).value();
    session.AppendTokens(MakePrompt(load.shared_prefix, vocabulary, 3 * turn + 1)).value();
    session
        .AppendTokens(
            MakePrompt(load.prompt_tokens - load.shared_prefix, vocabulary, 3 * turn + 2 + reader))
        .value();
    const double seconds =
        TimeAll(1, [&session](uint32_t) { static_cast<void>(session.Logits().value()); });
    (reader == 0 ? samples.first_prompt : samples.second_prompt).push_back(seconds);
  }
}

void PrintTraces(const Workload& load, const Traces& traces) {
  benchmarks::PrintTrace("prompt", traces.prompt.steps, traces.prompt.wall_seconds, stderr);
  if (load.generated_tokens == 0) return;
  benchmarks::PrintTrace("generation", traces.generation.steps, traces.generation.wall_seconds,
                         stderr);
}

uint64_t PeakResidentBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;  // Linux counts KiB
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures how fast a model reads prompts and generates.", "llmcore_bench");
  app.footer(benchmarks::kShapesHelp);
  examples::ModelFlags flags;
  Workload load;
  bool json = false;
  bool stats = false;
  examples::AddModelFlags(app, examples::ModelFlag::kBuiltinByDefault, flags);
  app.add_option("-p,--prompt-tokens", load.prompt_tokens, "Tokens of a prompt")
      ->type_name("N")
      ->check(examples::AtLeastOne());
  app.add_option("-n,--generated-tokens", load.generated_tokens, "Tokens of a reply; 0: none")
      ->type_name("N");
  app.add_option("-c,--context", load.context,
                 "Tokens before a reply, where that is not the prompt: 1 measures generation from "
                 "the start of a context")
      ->type_name("N")
      ->check(examples::AtLeastOne());
  app.add_option("--shared-prefix", load.shared_prefix,
                 "Time instead two prompts, one after the other, which begin with this many tokens "
                 "in common: what the prefix cache saves")
      ->type_name("N")
      ->check(examples::AtLeastOne());
  app.add_option("-b,--batch", load.batch, "Sequences at a time")
      ->type_name("N")
      ->check(examples::Between(1, 4096));
  app.get_option("--threads")->description("As -t");
  app.add_option("-t", flags.options.threads, "Threads that compute; 0, the default: one per core")
      ->type_name("N");
  app.add_option("-r,--repetitions", load.repetitions, "Samples to take the median of")
      ->type_name("N")
      ->check(examples::AtLeastOne());
  app.add_flag("!--no-deterministic", flags.extras.deterministic,
               "Let a GPU leave steps of 385 tokens and more to cuBLASLt, whose bits differ");
  app.add_flag("--json", json, "Print JSON");
  app.add_flag("--stats", stats,
               "Say on standard error where the time of one more repetition went, by operation; "
               "with --json also there")
      ->excludes("--shared-prefix");

  return examples::RunProgram(app, argc, argv, [&] {
    examples::InterruptWatcher interrupts;
    if (load.shared_prefix > 0) {
      load.batch = 2;
      load.generated_tokens = 0;
    }
    const uint32_t length =
        std::max(load.prompt_tokens, load.context.value_or(0)) + load.generated_tokens + 1;
    if (load.shared_prefix > load.prompt_tokens) {
      throw std::runtime_error("--shared-prefix is more than the " +
                               std::to_string(load.prompt_tokens) + " tokens of a prompt");
    }
    if (!flags.options.max_context) flags.options.max_context = length;
    // A little more than the sequences hold: each ends in a block of its own.
    flags.options.kv_cache_tokens = uint64_t{load.batch} * (length + 64);

    const examples::Stopwatch loading;
    const llmcore::Model model = benchmarks::LoadModelOrShape(flags, interrupts);
    const double load_seconds = loading.seconds();
    const llmcore::MemoryPlan plan = model.plan().value();

    Samples samples;
    examples::ProgressBar bar("measuring");
    Workload warm_up = load;  // wakes the threads and touches the memory once
    warm_up.prompt_tokens = std::min(load.prompt_tokens, 32u);
    warm_up.context.reset();
    warm_up.generated_tokens = std::min(load.generated_tokens, 2u);
    Measure(model, warm_up, load.repetitions + 1, samples);
    samples = Samples();
    for (uint32_t i = 0; i < load.repetitions; ++i) {
      if (load.shared_prefix > 0) {
        MeasureSharedPrefix(model, load, i, samples);
      } else {
        Measure(model, load, i, samples);
      }
      bar.Update(i + 1, load.repetitions);
    }
    Traces traces;
    if (stats) {
      Samples traced;
      Measure(model, load, load.repetitions, traced, &traces);
    }
    bar.Clear();
    if (stats) PrintTraces(load, traces);

    const auto name = [](auto format) { return std::string(llmcore::Name(format)); };
    const double first = Median(samples.first_prompt);
    const double second = Median(samples.second_prompt);
    if (json) {
      nlohmann::ordered_json object = {{"model", flags.path.empty() ? "built-in" : flags.path},
                                       {"backend", std::string(model.backend_description())},
                                       {"weights", name(plan.weights)},
                                       {"kv", name(plan.kv)},
                                       {"activations", name(plan.activations)},
                                       {"prompt_tokens", load.prompt_tokens},
                                       {"generated_tokens", load.generated_tokens},
                                       {"context", load.context.value_or(load.prompt_tokens)},
                                       {"batch", load.batch},
                                       {"threads", flags.options.threads},
                                       {"deterministic", flags.extras.deterministic},
                                       {"load_seconds", load_seconds},
                                       {"peak_rss_bytes", PeakResidentBytes()},
                                       {"plan_bytes", plan.total_bytes}};
      if (load.shared_prefix > 0) {
        object["shared_prefix_tokens"] = load.shared_prefix;
        object["first_prompt_seconds"] = first;
        object["first_prompt_seconds_samples"] = samples.first_prompt;
        object["second_prompt_seconds"] = second;
        object["second_prompt_seconds_samples"] = samples.second_prompt;
      } else {
        object["prompt_tokens_per_second"] = Median(samples.prompt);
        object["prompt_tokens_per_second_samples"] = samples.prompt;
        object["generation_tokens_per_second"] = Median(samples.generation);
        object["generation_tokens_per_second_samples"] = samples.generation;
      }
      if (stats) {
        object["trace"] = {{"prompt", traces.prompt.steps},
                           {"generation", traces.generation.steps}};
      }
      std::printf("%s\n", object.dump(2).c_str());
      return;
    }
    std::printf("%s; %s weights, %s cache, %s activations\n",
                std::string(model.backend_description()).c_str(), name(plan.weights).c_str(),
                name(plan.kv).c_str(), name(plan.activations).c_str());
    if (load.shared_prefix > 0) {
      std::printf("first prompt %9.4f s   (%u tokens)\n", first, load.prompt_tokens);
      std::printf("second       %9.4f s   %.2f%% of the first (%u tokens in common)\n", second,
                  100 * second / first, load.shared_prefix);
      return;
    }
    std::printf("prompt      %9.1f tokens/s   (%u x %u tokens)\n", Median(samples.prompt),
                load.batch, load.prompt_tokens);
    std::printf("generation  %9.1f tokens/s   (%u x %u tokens)\n", Median(samples.generation),
                load.batch, load.generated_tokens);
    std::printf("load        %9.2f s\nplan        %12s\npeak memory %12s\n", load_seconds,
                examples::FormatBytes(plan.total_bytes).c_str(),
                examples::FormatBytes(PeakResidentBytes()).c_str());
  });
}
