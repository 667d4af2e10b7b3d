// llmcore for C++17: values and owners over the C ABI of llmcore.h, whose rules hold here too.
// Header-only, with nothing but the standard library; it also compiles without exceptions and RTTI.
//
//   auto model = llmcore::Model::Load("Qwen2.5-0.5B-Instruct").value();
//   llmcore::Session chat(model);
//   chat.AddUser("What is 1.1 + 2.3?");
//   for (std::string_view piece : chat.Generate()) std::cout << piece << std::flush;
//
// Options are aggregates: C++20 names what it sets ({.temperature = 0.7}), C++17 assigns it.
// experimental.hpp is not included here.
#ifndef LLMCORE_LLMCORE_HPP_
#define LLMCORE_LLMCORE_HPP_

#include "llmcore/cancel.hpp"
#include "llmcore/error.hpp"
#include "llmcore/generation.hpp"
#include "llmcore/model.hpp"
#include "llmcore/plan.hpp"
#include "llmcore/quantize.hpp"
#include "llmcore/sampling.hpp"
#include "llmcore/session.hpp"
#include "llmcore/tokenizer.hpp"

namespace llmcore {
inline namespace v1 {

// The version of the library that is loaded; LLMCORE_VERSION is that of the headers.
inline std::string_view Version() {
  return llmcore_version();
}

}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_LLMCORE_HPP_
