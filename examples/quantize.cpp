// Quantizes a model directory once, so that it need not be done at each load.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <llmcore/llmcore.hpp>
#include <string>
#include <string_view>
#include <system_error>

#include "common/interrupt.h"
#include "common/program.h"
#include "common/progress.h"
#include "common/sizes.h"

namespace {

// 0 for what is not a directory, such as a name in the Hugging Face cache.
uint64_t WeightFileBytes(const std::string& directory) {
  uint64_t bytes = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    if (entry.path().extension() == ".safetensors") bytes += entry.file_size(ignored);
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Writes the model directory SRC with quantized weights to the new directory DST, "
      "and prints what that costs in exactness, tensor by tensor.",
      "quantize");
  std::string source, destination, weights, layout = "rows";
  llmcore::LoadOptions options;
  app.add_option("SRC", source, "A Hugging Face model directory")->required()->type_name("");
  app.add_option("DST", destination, "The directory to make")->required()->type_name("");
  app.add_option("--weights", weights, "The format to write: int4 or int8")
      ->required()
      ->check(CLI::IsMember({"int4", "int8"}).description(""))
      ->type_name("FORMAT");
  app.add_option(
         "--layout", layout,
         "How they are laid out: rows, the default, for every device and version; or cpu, as "
         "the CPU holds them in this version, so that loading maps the file and copies "
         "nothing (no errors are printed)")
      ->check(CLI::IsMember({"rows", "cpu"}).description(""))
      ->type_name("LAYOUT");
  app.add_option("--threads", options.threads, "Threads that compute; 0, the default: one per core")
      ->type_name("N");

  return examples::RunProgram(app, argc, argv, [&] {
    options.weights =
        weights == "int8" ? llmcore::WeightFormat::kInt8 : llmcore::WeightFormat::kInt4;
    options.checkpoint_layout = layout;
    examples::InterruptWatcher interrupts;
    options.cancel = llmcore::CancelToken::Create().value();
    const examples::InterruptWatcher::Scope scope(interrupts, [&] { options.cancel->Cancel(); });
    examples::ProgressBar bar("quantizing", examples::ProgressBar::Unit::kBytes);
    options.progress = [&](std::string_view stage, uint64_t done, uint64_t total) {
      bar.Update(stage, done, total);
      return true;
    };
    // A line a tensor, with its sizes and its error.
    options.log = [&](llmcore::LogLevel, std::string_view line) {
      bar.Clear();
      std::printf("%.*s\n", static_cast<int>(line.size()), line.data());
      return true;
    };
    llmcore::QuantizeCheckpoint(source, destination, options).value();
    bar.Clear();
    const uint64_t before = WeightFileBytes(source);
    std::printf("%s: %s of weights", destination.c_str(),
                examples::FormatBytes(WeightFileBytes(destination)).c_str());
    if (before > 0) std::printf(", before %s", examples::FormatBytes(before).c_str());
    std::puts("");
  });
}
