// From what a user calls a model to the directory that holds it.
#ifndef LLMCORE_LIB_IO_MODEL_PATH_H_
#define LLMCORE_LIB_IO_MODEL_PATH_H_

#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"

namespace llmcore::core {

// Where `hf download` and transformers keep repositories: the first of these environment variables
// that is set and not empty, a leading "~/" standing for $HOME.
//
//   HF_HUB_CACHE               the directory itself
//   HUGGINGFACE_HUB_CACHE      its older name
//   HF_HOME                    $HF_HOME/hub
//   XDG_CACHE_HOME             $XDG_CACHE_HOME/huggingface/hub
//   HOME                       $HOME/.cache/huggingface/hub
//
// Empty when none is. The only place of the library that reads the environment.
std::string HuggingFaceCacheDirectory();

// `name` is a directory, or the name of a Hugging Face repository ("Qwen/Qwen2.5-0.5B-Instruct",
// "gpt2") whose main revision lies in the local cache. Nothing is downloaded: NOT_FOUND says how
// to. A directory of that name in the working directory comes first.
absl::StatusOr<std::string> ResolveModelPath(absl::string_view name);

// The same with a given cache ("" for none), as a pure function of the file system.
absl::StatusOr<std::string> ResolveModelPathIn(absl::string_view name,
                                               const std::string& cache_directory);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_IO_MODEL_PATH_H_
