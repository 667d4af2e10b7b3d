// C++ over llmcore_experimental.h: may change or go in any version.
#ifndef LLMCORE_EXPERIMENTAL_HPP_
#define LLMCORE_EXPERIMENTAL_HPP_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "llmcore/error.hpp"
#include "llmcore/handle.hpp"
#include "llmcore/llmcore_experimental.h"
#include "llmcore/model.hpp"
#include "llmcore/session.hpp"

namespace llmcore {
inline namespace v1 {
namespace experimental {

// A model of a published shape ("llama-3.2-1b", ...) with random weights and no tokenizer.
inline Result<Model> LoadSynthetic(std::string_view shape,
                                   const LoadOptions& options = LoadOptions()) {
  Result<internal::OptionsHandle> c_options = internal::MakeOptions(options);
  if (!c_options.ok()) return c_options.error();
  llmcore_model* model = nullptr;
  llmcore_error* error =
      llmcore_model_load_synthetic(shape.data(), shape.size(), c_options->get(), &model);
  if (error != nullptr) return Error::Take(error);
  return Model::Adopt(model);
}

// What LoadSynthetic would take. A budget in `options` is not checked.
inline Result<MemoryPlan> PlanSynthetic(std::string_view shape,
                                        const LoadOptions& options = LoadOptions()) {
  Result<internal::OptionsHandle> c_options = internal::MakeOptions(options);
  if (!c_options.ok()) return c_options.error();
  llmcore_plan* plan = nullptr;
  llmcore_error* error =
      llmcore_model_plan_synthetic(shape.data(), shape.size(), c_options->get(), &plan);
  if (error != nullptr) return Error::Take(error);
  const internal::Handle<llmcore_plan, llmcore_plan_destroy> owned(plan);
  return MemoryPlan::From(plan);
}

// Rows of logits, valid until the next call on the session.
struct LogitRows {
  const float* values = nullptr;
  size_t rows = 0;
  size_t columns = 0;

  View<float> operator[](size_t row) const { return View<float>(values + row * columns, columns); }
};

// Of the positions from `first` to the end.
inline Result<LogitRows> AllLogits(const Session& session, uint64_t first) {
  LogitRows logits;
  llmcore_error* error = llmcore_session_all_logits(session.handle(), first, &logits.values,
                                                    &logits.rows, &logits.columns);
  if (error != nullptr) return Error::Take(error);
  return logits;
}

// Reads every prompt in full: without the prefix cache (llmcore_model_options_set_prefix_cache).
inline Result<Model> LoadWithoutPrefixCache(std::string_view path,
                                            const LoadOptions& options = LoadOptions()) {
  Result<internal::OptionsHandle> c_options = internal::MakeOptions(options);
  if (!c_options.ok()) return c_options.error();
  llmcore_error* error = llmcore_model_options_set_prefix_cache(c_options->get(), false);
  if (error != nullptr) return Error::Take(error);
  llmcore_model* model = nullptr;
  error = llmcore_model_load(path.data(), path.size(), c_options->get(), &model);
  if (error != nullptr) return Error::Take(error);
  return Model::Adopt(model);
}

// Whose sessions this one, which has no tokens yet, shares computed prompts with: those of the same
// tenant, at most 64 bytes. What others have asked then shows in no reply's time.
inline Result<void> SetCacheTenant(const Session& session, std::string_view tenant) {
  return Error::Take(
      llmcore_session_set_cache_tenant(session.handle(), tenant.data(), tenant.size()));
}

// What the prefix cache has done so far, as JSON (llmcore_experimental.h says what is in it). Any
// thread.
inline Result<std::string> PrefixCacheJson(const Model& model) {
  llmcore_text* text = nullptr;
  llmcore_error* error = llmcore_model_prefix_cache_json(model.handle(), &text);
  if (error != nullptr) return Error::Take(error);
  return internal::TakeText(text);
}

// Traces where the time of the model's steps goes, from zero, or stops to. Any thread.
inline Result<void> SetTrace(const Model& model, bool enabled) {
  return Error::Take(llmcore_model_set_trace(model.handle(), enabled));
}

// What the trace came to, as JSON (llmcore_experimental.h says what is in it). Any thread.
inline Result<std::string> TraceJson(const Model& model) {
  llmcore_text* text = nullptr;
  llmcore_error* error = llmcore_model_trace_json(model.handle(), &text);
  if (error != nullptr) return Error::Take(error);
  return internal::TakeText(text);
}

}  // namespace experimental
}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_EXPERIMENTAL_HPP_
