#include "model_or_shape.h"

#include <filesystem>
#include <llmcore/experimental.hpp>

namespace benchmarks {

llmcore::Model LoadModelOrShape(const examples::ModelFlags& flags,
                                examples::InterruptWatcher& interrupts) {
  if (flags.path.empty() || std::filesystem::exists(flags.path) ||
      flags.path.find('/') != std::string::npos) {
    return examples::LoadModel(flags, interrupts);
  }
  return llmcore::experimental::LoadSynthetic(flags.path, flags.options).value();
}

}  // namespace benchmarks
