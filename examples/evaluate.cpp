// How good a model is, in the formats in which it runs: quantization is judged by these figures.
#include <cstdio>
#include <llmcore/llmcore.hpp>
#include <optional>
#include <string>

#include "common/builtin_model.h"
#include "common/model_flags.h"
#include "common/program.h"
#include "evaluations/evaluation.h"

namespace {

struct Flags {
  examples::ModelFlags model;
  std::string file;
  std::optional<uint64_t> limit;
  examples::PerplexityOptions perplexity;
  examples::ArithmeticOptions arithmetic;
  bool json = false;
};

void AddCount(CLI::App& app, const std::string& name, std::optional<uint64_t>& count,
              const std::string& description) {
  app.add_option(name, count, description)->type_name("N")->check(examples::AtLeastOne());
}

CLI::App* AddEvaluation(CLI::App& app, const std::string& name, const std::string& description,
                        examples::ModelFlag model, Flags& flags) {
  CLI::App* evaluation = app.add_subcommand(name, description);
  examples::AddModelFlags(*evaluation, model, flags.model);
  evaluation->add_flag("--json", flags.json, "Print JSON");
  return evaluation;
}

void Print(const examples::Evaluation& evaluation, bool json) {
  if (json) {
    nlohmann::ordered_json object = evaluation.figures;
    object["definition"] = evaluation.definition;
    std::printf("%s\n", object.dump(2).c_str());
  } else {
    std::printf("%s\n%s\n", evaluation.summary.c_str(), evaluation.definition.c_str());
  }
}

}  // namespace

int main(int argc, char** argv) {
  using examples::ModelFlag;
  CLI::App app("Measures how good a model is, and says what the figure means.", "evaluate");
  app.require_subcommand(1);
  Flags flags;

  CLI::App* perplexity = AddEvaluation(app, "perplexity", "How well the model predicts a text",
                                       ModelFlag::kRequired, flags);
  perplexity->add_option("--file", flags.file, "The text; - is standard input")
      ->type_name("FILE")
      ->required();
  AddCount(*perplexity, "--window", flags.perplexity.window,
           "Tokens read at a time; default: the model's context, at most 2048");
  AddCount(*perplexity, "--stride", flags.perplexity.stride,
           "Tokens between the beginnings of windows; default: half a window");
  AddCount(*perplexity, "--max-tokens", flags.perplexity.max_tokens,
           "Read only this many tokens of the text");

  CLI::App* lambada = AddEvaluation(app, "lambada", "How well the model guesses last words",
                                    ModelFlag::kRequired, flags);
  lambada->add_option("--file", flags.file, "lambada_openai as JSON lines; - is standard input")
      ->type_name("FILE")
      ->required();
  AddCount(*lambada, "--limit", flags.limit, "Only this many passages");

  CLI::App* arithmetic = AddEvaluation(app, "arithmetic", "How many sums the model gets right",
                                       ModelFlag::kBuiltinByDefault, flags);
  arithmetic
      ->add_option("--file", flags.file,
                   "JSON lines {\"prompt\": ..., \"answer\": ...}; default: 1,000 sums that "
                   "the built-in model's training never saw")
      ->type_name("FILE");
  AddCount(*arithmetic, "--limit", flags.limit, "Only this many sums");
  arithmetic->add_option("--parallel", flags.arithmetic.parallel, "Conversations at a time")
      ->type_name("N")
      ->check(examples::Between(1, 1024));
  arithmetic->add_option("--max-tokens", flags.arithmetic.max_tokens, "Of a reply at most")
      ->type_name("N")
      ->check(examples::AtLeastOne());
  arithmetic->add_flag("--show-wrong", flags.arithmetic.show_wrong,
                       "Show wrong replies on standard error");

  return examples::RunProgram(app, argc, argv, [&] {
    const std::string text = !flags.file.empty() ? examples::ReadFile(flags.file)
                                                 : std::string(examples::BuiltinArithmetic());
    examples::InterruptWatcher interrupts;
    if (arithmetic->parsed()) {
      // Room in the KV cache for all conversations at once.
      flags.model.options.kv_cache_tokens =
          flags.arithmetic.parallel * (flags.arithmetic.max_tokens + 512);
      flags.arithmetic.limit = flags.limit;
    }
    const llmcore::Model model = examples::LoadModel(flags.model, interrupts);
    if (perplexity->parsed()) {
      Print(examples::Perplexity(model, text, flags.perplexity, interrupts), flags.json);
    } else if (lambada->parsed()) {
      Print(examples::Lambada(model, text, flags.limit, interrupts), flags.json);
    } else {
      Print(examples::Arithmetic(model, text, flags.arithmetic, interrupts), flags.json);
    }
  });
}
