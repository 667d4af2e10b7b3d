// --model of the benchmarks: a directory, a name in the local cache, or a published shape.
#ifndef LLMCORE_BENCHMARKS_MODEL_OR_SHAPE_H_
#define LLMCORE_BENCHMARKS_MODEL_OR_SHAPE_H_

#include <llmcore/llmcore.hpp>

#include "common/interrupt.h"
#include "common/model_flags.h"

namespace benchmarks {

// For the footer of --help.
inline constexpr char kShapesHelp[] =
    "--model also takes a shape, qwen2.5-0.5b, llama-3.2-1b, llama-3-8b or qwen2.5-32b: "
    "random weights of that shape, made in memory.";

// As examples::LoadModel. What is neither a path nor empty is a shape.
llmcore::Model LoadModelOrShape(const examples::ModelFlags& flags,
                                examples::InterruptWatcher& interrupts);

}  // namespace benchmarks

#endif  // LLMCORE_BENCHMARKS_MODEL_OR_SHAPE_H_
