// The options that say which model to load and how, the same in all programs.
#ifndef LLMCORE_EXAMPLES_COMMON_MODEL_FLAGS_H_
#define LLMCORE_EXAMPLES_COMMON_MODEL_FLAGS_H_

#include <CLI/CLI.hpp>
#include <llmcore/experimental.hpp>
#include <llmcore/llmcore.hpp>
#include <memory>
#include <string>

#include "builtin_model.h"
#include "interrupt.h"

namespace examples {

// Whether a program can do without --model.
enum class ModelFlag { kRequired, kBuiltinByDefault };

struct ModelFlags {
  std::string path;  // --model; empty: the built-in model
  llmcore::LoadOptions options;
  llmcore::experimental::LoadExtras extras;
};

// The flags write to `flags`, which outlives the parsing.
void AddModelFlags(CLI::App& app, ModelFlag model, ModelFlags& flags);
// --swap, of programs in which several sessions may run.
void AddSwapFlag(CLI::App& app, ModelFlags& flags);
// --model alone.
void AddModelFlag(CLI::App& app, ModelFlag model, std::string& path);

// Checks that say nothing in --help, where the description says it.
CLI::Validator AtLeastOne();
CLI::Validator Between(double low, double high);

// Whether --model names a published shape ("llama-3-8b"), which programs that need no weights take
// too: anything that is neither there nor a path.
bool NamesShape(const std::string& path);
inline constexpr char kShapesHelp[] =
    "--model also takes a shape: qwen2.5-0.5b, llama-3.2-1b, llama-3-8b or qwen2.5-32b";

// A directory that Model::Load takes: the one of --model, or the built-in model's.
class ModelDirectory {
 public:
  explicit ModelDirectory(const std::string& path);
  const std::string& path() const { return path_; }

 private:
  std::unique_ptr<BuiltinModelDirectory> builtin_;
  std::string path_;
};

// Loads with a progress bar; Ctrl-C cancels. Throws llmcore::Error.
llmcore::Model LoadModel(const ModelFlags& flags, InterruptWatcher& interrupts);

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_COMMON_MODEL_FLAGS_H_
