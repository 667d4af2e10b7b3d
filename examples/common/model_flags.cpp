#include "model_flags.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "progress.h"

namespace examples {

CLI::Validator AtLeastOne() {
  return CLI::Validator(CLI::PositiveNumber).description("");
}

CLI::Validator Between(double low, double high) {
  return CLI::Validator(
      [low, high](const std::string& text) {
        double value = 0;
        // In this order nan is refused as well.
        if (CLI::detail::lexical_cast(text, value) && value >= low && value <= high) {
          return std::string();
        }
        std::ostringstream message;
        message << "'" << text << "' is no number from " << low << " to " << high;
        return message.str();
      },
      "");
}

namespace {

// The names of `formats` in the help and as the only ones that are taken.
template <typename Format>
void AddFormatFlag(CLI::App& app, const std::string& name, const std::string& description,
                   const std::vector<Format>& formats, Format& chosen) {
  std::vector<std::string> names;
  for (const Format format : formats) names.emplace_back(llmcore::Name(format));
  const auto choose = [formats, &chosen](const std::string& value) {
    for (const Format format : formats) {
      if (llmcore::Name(format) == value) chosen = format;
    }
  };
  app.add_option_function<std::string>(name, choose,
                                       description + ": " + CLI::detail::join(names, ", "))
      ->check(CLI::IsMember(names).description(""))
      ->type_name("FORMAT");
}

std::string CheckDevice(const std::string& device) {
  const bool known = device == "auto" || device == "cpu" || device == "cuda" ||
                     (device.rfind("cuda:", 0) == 0 && device.size() > 5 &&
                      device.find_first_not_of("0123456789", 5) == std::string::npos);
  return known ? "" : "'" + device + "' is none of auto, cpu, cuda and cuda:N";
}

}  // namespace

void AddModelFlag(CLI::App& app, ModelFlag model, std::string& path) {
  const bool builtin = model == ModelFlag::kBuiltinByDefault;
  app.add_option("--model", path,
                 std::string("A Hugging Face model directory, or the name of a model in the local "
                             "Hugging Face cache") +
                     (builtin ? "; without it the built-in model" : ""))
      ->type_name("DIR")
      ->required(!builtin)
      ->check([](const std::string& value) { return value.empty() ? "it is empty" : ""; });
}

void AddModelFlags(CLI::App& app, ModelFlag model, ModelFlags& flags) {
  using W = llmcore::WeightFormat;
  using K = llmcore::KvFormat;
  using A = llmcore::ActivationFormat;
  AddModelFlag(app, model, flags.path);
  llmcore::LoadOptions& options = flags.options;
  AddFormatFlag<W>(app, "--weights", "How weights are held",
                   {W::kAuto, W::kF32, W::kBf16, W::kF16, W::kInt8, W::kInt4}, options.weights);
  AddFormatFlag<K>(app, "--kv", "How keys and values are cached",
                   {K::kAuto, K::kF32, K::kBf16, K::kF16, K::kInt8, K::kInt4}, options.kv);
  AddFormatFlag<A>(app, "--activations", "What linear layers multiply weights with",
                   {A::kAuto, A::kF32, A::kBf16, A::kInt8}, options.activations);
  app.add_option("--device", options.device, "auto, cpu, cuda or cuda:N")
      ->type_name("DEVICE")
      ->check(CheckDevice);
  app.add_option("--max-context", options.max_context, "Tokens of one conversation at most")
      ->type_name("N")
      ->check(AtLeastOne());
  app.add_option("--memory-budget", options.memory_budget,
                 "The most memory that the model may take, such as 512M or 6G")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(false).description(""))
      ->check(AtLeastOne());
  app.add_option("--threads", options.threads, "Threads that compute; 0, the default: one per core")
      ->type_name("N");
}

void AddSwapFlag(CLI::App& app, ModelFlags& flags) {
  app.add_option("--swap", flags.extras.swap_bytes,
                 "Memory of the host, such as 2G, for what sessions lose of the KV cache to others "
                 "where it is too small for all; without it they compute that again")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(false).description(""))
      ->check(AtLeastOne());
}

bool NamesShape(const std::string& path) {
  return !path.empty() && !std::filesystem::exists(path) && path.find('/') == std::string::npos;
}

ModelDirectory::ModelDirectory(const std::string& path) : path_(path) {
  if (!path.empty()) return;
  builtin_ = std::make_unique<BuiltinModelDirectory>();
  path_ = builtin_->path();
}

llmcore::Model LoadModel(const ModelFlags& flags, InterruptWatcher& interrupts) {
  const llmcore::CancelToken cancel = llmcore::CancelToken::Create().value();
  const InterruptWatcher::Scope scope(interrupts, [&] { cancel.Cancel(); });
  const ModelDirectory directory(flags.path);
  ProgressBar bar("loading", ProgressBar::Unit::kBytes);
  llmcore::LoadOptions options = flags.options;
  options.cancel = cancel;
  options.progress = [&](std::string_view stage, uint64_t done, uint64_t total) {
    bar.Update(stage, done, total);
    return true;
  };
  return llmcore::experimental::Load(directory.path(), options, flags.extras).value();
}

}  // namespace examples
