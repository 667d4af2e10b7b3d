// A loaded model, and how to load one.
#ifndef LLMCORE_MODEL_HPP_
#define LLMCORE_MODEL_HPP_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "llmcore/cancel.hpp"
#include "llmcore/error.hpp"
#include "llmcore/handle.hpp"
#include "llmcore/llmcore.h"
#include "llmcore/plan.hpp"
#include "llmcore/tokenizer.hpp"

namespace llmcore {
inline namespace v1 {

enum class LogLevel : uint32_t { kInfo = LLMCORE_LOG_INFO, kWarning = LLMCORE_LOG_WARNING };

// Called by the thread that does the work, which may be one of the library's own; returns whether
// to go on. One that throws counts as one that returned false.
using ProgressCallback = std::function<bool(std::string_view stage, uint64_t done, uint64_t total)>;
using LogCallback = std::function<bool(LogLevel level, std::string_view message)>;

// What is left alone has the default that llmcore.h names at the setter.
struct LoadOptions {
  std::string device{};  // "auto" (also when empty), "cpu", "cuda", "cuda:N"
  WeightFormat weights = WeightFormat::kAuto;
  KvFormat kv = KvFormat::kAuto;
  ActivationFormat activations = ActivationFormat::kAuto;
  std::optional<uint64_t> memory_budget{};        // bytes of the whole plan
  std::optional<uint64_t> kv_cache_tokens{};      // of all sessions together
  std::optional<double> kv_cache_fraction{};      // the same, of the memory that is free, to 1
  std::optional<uint32_t> max_context{};          // tokens of one sequence
  std::optional<uint32_t> max_batch_tokens{};     // tokens of one step
  std::optional<uint32_t> max_batch_sequences{};  // sessions that one step serves
  uint32_t threads = 0;                           // 0: one per core
  std::string checkpoint_layout{};  // what quantizing writes: "rows" (also when empty) or "cpu"
  ProgressCallback progress{};
  LogCallback log{};  // kept for as long as the model lives
  std::optional<CancelToken> cancel{};
};

namespace internal {

template <typename Function, typename... Arguments>
bool CallBack(void* user, Arguments... arguments) {
#if defined(__cpp_exceptions)
  try {
    return (*static_cast<Function*>(user))(arguments...);
  } catch (...) {
    return false;
  }
#else
  return (*static_cast<Function*>(user))(arguments...);
#endif
}

template <typename Function>
void Delete(void* user) {
  delete static_cast<Function*>(user);
}

inline bool OnProgress(void* user, const char* stage, size_t stage_size, uint64_t done,
                       uint64_t total) {
  return CallBack<ProgressCallback>(user, std::string_view(stage, stage_size), done, total);
}

inline bool OnLog(void* user, uint32_t level, const char* message, size_t message_size) {
  return CallBack<LogCallback>(user, static_cast<LogLevel>(level),
                               std::string_view(message, message_size));
}

using OptionsHandle = Handle<llmcore_model_options, llmcore_model_options_destroy>;

inline Result<OptionsHandle> MakeOptions(const LoadOptions& from) {
  llmcore_model_options* to = nullptr;
  if (llmcore_error* error = llmcore_model_options_create(&to)) return Error::Take(error);
  OptionsHandle owned(to);
  FirstError check;
  const std::string_view weights = Name(from.weights);
  const std::string_view kv = Name(from.kv);
  const std::string_view activations = Name(from.activations);
  if (!from.device.empty()) {
    check(llmcore_model_options_set_device(to, from.device.data(), from.device.size()));
  }
  check(llmcore_model_options_set_weight_format(to, weights.data(), weights.size()));
  check(llmcore_model_options_set_kv_format(to, kv.data(), kv.size()));
  check(llmcore_model_options_set_activation_format(to, activations.data(), activations.size()));
  if (from.memory_budget) {
    check(llmcore_model_options_set_memory_budget(to, *from.memory_budget));
  }
  if (from.kv_cache_tokens) {
    check(llmcore_model_options_set_kv_cache_tokens(to, *from.kv_cache_tokens));
  }
  if (from.kv_cache_fraction) {
    check(llmcore_model_options_set_kv_cache_fraction(to, *from.kv_cache_fraction));
  }
  if (from.max_context) check(llmcore_model_options_set_max_context(to, *from.max_context));
  if (from.max_batch_tokens) {
    check(llmcore_model_options_set_max_batch_tokens(to, *from.max_batch_tokens));
  }
  if (from.max_batch_sequences) {
    check(llmcore_model_options_set_max_batch_sequences(to, *from.max_batch_sequences));
  }
  check(llmcore_model_options_set_threads(to, from.threads));
  if (!from.checkpoint_layout.empty()) {
    check(llmcore_model_options_set_checkpoint_layout(to, from.checkpoint_layout.data(),
                                                      from.checkpoint_layout.size()));
  }
  if (from.progress) {
    check(llmcore_model_options_set_progress_callback(
        to, OnProgress, new ProgressCallback(from.progress), Delete<ProgressCallback>));
  }
  if (from.log) {
    check(llmcore_model_options_set_log_callback(to, OnLog, new LogCallback(from.log),
                                                 Delete<LogCallback>));
  }
  if (from.cancel) {
    check(llmcore_model_options_set_cancel_token(to, from.cancel->handle()));
  }
  if (!check.ok()) return check.Take();
  return Result<OptionsHandle>(std::move(owned));
}

}  // namespace internal

// Const functions: any thread. Move-only; sessions and tokenizers of a model outlive it.
class Model {
 public:
  // `path`: a Hugging Face model directory as downloaded, or the name of a model in the local cache
  // of Hugging Face.
  static Result<Model> Load(std::string_view path, const LoadOptions& options = LoadOptions()) {
    Result<internal::OptionsHandle> c_options = internal::MakeOptions(options);
    if (!c_options.ok()) return c_options.error();
    llmcore_model* model = nullptr;
    llmcore_error* error = llmcore_model_load(path.data(), path.size(), c_options->get(), &model);
    if (error != nullptr) return Error::Take(error);
    return Adopt(model);
  }

  // What the model would take. Reads headers only. A budget in `options` is not checked.
  static Result<MemoryPlan> Plan(std::string_view path,
                                 const LoadOptions& options = LoadOptions()) {
    Result<internal::OptionsHandle> c_options = internal::MakeOptions(options);
    if (!c_options.ok()) return c_options.error();
    llmcore_plan* plan = nullptr;
    llmcore_error* error = llmcore_model_plan(path.data(), path.size(), c_options->get(), &plan);
    if (error != nullptr) return Error::Take(error);
    const internal::Handle<llmcore_plan, llmcore_plan_destroy> owned(plan);
    return MemoryPlan::From(plan);
  }

  // Takes over a handle of the C ABI.
  static Model Adopt(llmcore_model* model) { return Model(model); }

  // What was allocated.
  Result<MemoryPlan> plan() const { return MemoryPlan::From(llmcore_model_plan_of(handle_.get())); }

  // An error when the model has no tokenizer, or one that is not understood.
  Result<Tokenizer> tokenizer() const {
    llmcore_tokenizer* tokenizer = nullptr;
    llmcore_error* error = llmcore_tokenizer_of(handle_.get(), &tokenizer);
    if (error != nullptr) return Error::Take(error);
    return Tokenizer::Adopt(tokenizer);
  }

  uint32_t vocabulary_size() const { return llmcore_model_vocabulary_size(handle_.get()); }
  uint32_t max_context() const { return llmcore_model_max_context(handle_.get()); }
  // What computes, for people; borrowed from the model.
  std::string_view backend_description() const {
    return llmcore_model_backend_description(handle_.get());
  }
  bool IsEndOfText(Token token) const { return llmcore_model_is_end_of_text(handle_.get(), token); }
  llmcore_model* handle() const { return handle_.get(); }

 private:
  explicit Model(llmcore_model* model) : handle_(model) {}

  internal::Handle<llmcore_model, llmcore_model_destroy> handle_;
};

}  // namespace v1
}  // namespace llmcore

#endif  // LLMCORE_MODEL_HPP_
