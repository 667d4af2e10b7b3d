#include "model_or_shape.h"

namespace benchmarks {

llmcore::Model LoadModelOrShape(const examples::ModelFlags& flags,
                                examples::InterruptWatcher& interrupts) {
  if (!examples::NamesShape(flags.path)) return examples::LoadModel(flags, interrupts);
  return llmcore::experimental::LoadSynthetic(flags.path, flags.options, flags.extras).value();
}

}  // namespace benchmarks
