#include "capi/model_options.h"

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "capi/arguments.h"
#include "capi/cancel_token.h"
#include "capi/error.h"
#include "llmcore/llmcore_experimental.h"

namespace llmcore::capi {
namespace {

constexpr uint32_t kMaxThreads = 1024;

// Sets one field: `set(options)` returns a status and changes nothing when it fails.
template <typename Set>
llmcore_error* SetOption(llmcore_model_options* options, const Set& set) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(NotNull(options, "options"));
    LLMCORE_RETURN_IF_ERROR(options->monitor->CheckOutside());
    return set();
  });
}

// Sets a format by its name.
template <typename Format>
absl::Status SetFormat(const char* data, size_t size, absl::string_view name,
                       std::optional<Format> (*parse)(absl::string_view), Format* format) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view text, Text(data, size, name));
  const std::optional<Format> parsed = parse(text);
  if (!parsed.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is \"", text, "\", which is no format"));
  }
  *format = *parsed;
  return absl::OkStatus();
}

bool IsDevice(absl::string_view name) {
  constexpr absl::string_view kNumbered = "cuda:";
  if (name == "auto" || name == "cpu" || name == "cuda") return true;
  if (!absl::StartsWith(name, kNumbered)) return false;
  name.remove_prefix(kNumbered.size());
  if (name.empty() || name.size() > 4) return false;
  for (const char c : name) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return false;
  }
  return true;
}

absl::Status SetDevice(const char* data, size_t size, std::string* device) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view text, Text(data, size, "device"));
  if (!IsDevice(text)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "device is \"", text, "\", which is none of \"auto\", \"cpu\", \"cuda\", \"cuda:N\""));
  }
  *device = std::string(text);
  return absl::OkStatus();
}

absl::Status SetLayout(const char* data, size_t size, std::string* layout) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view text, Text(data, size, "checkpoint_layout"));
  if (text != "rows" && text != "cpu") {
    return absl::InvalidArgumentError(
        absl::StrCat("checkpoint_layout is \"", text, "\", which is none of \"rows\", \"cpu\""));
  }
  *layout = std::string(text);
  return absl::OkStatus();
}

absl::Status SetScheduler(const char* data, size_t size, core::Scheduler* scheduler) {
  LLMCORE_ASSIGN_OR_RETURN(const absl::string_view text, Text(data, size, "scheduler"));
  if (text != "background" && text != "manual") {
    return absl::InvalidArgumentError(
        absl::StrCat("scheduler is \"", text, "\", which is none of \"background\", \"manual\""));
  }
  *scheduler = text == "manual" ? core::Scheduler::kManual : core::Scheduler::kBackground;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<core::ModelOptions> BindOptions(const llmcore_model_options* options,
                                               std::shared_ptr<CallbackMonitor> model) {
  if (options == nullptr) return core::ModelOptions();
  LLMCORE_RETURN_IF_ERROR(options->monitor->CheckOutside());
  core::ModelOptions bound = options->values;
  CoreCallbacks callbacks =
      BindCallbacks(options->progress, options->log, options->monitor, std::move(model));
  bound.progress = std::move(callbacks.progress);
  bound.log = std::move(callbacks.log);
  return bound;
}

}  // namespace llmcore::capi

using namespace llmcore::capi;  // NOLINT: the functions below are in no namespace
using llmcore::core::ParseActivationFormat;
using llmcore::core::ParseKvFormat;
using llmcore::core::ParseWeightFormat;

llmcore_error* llmcore_model_options_create(llmcore_model_options** out_options) {
  return Barrier([&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(Reset(out_options, "out_options"));
    *out_options = new llmcore_model_options;
    return absl::OkStatus();
  });
}

void llmcore_model_options_destroy(llmcore_model_options* options) {
  delete options;
}

llmcore_error* llmcore_model_options_set_device(llmcore_model_options* options, const char* device,
                                                size_t device_size) {
  return SetOption(options,
                   [&] { return SetDevice(device, device_size, &options->values.device); });
}

llmcore_error* llmcore_model_options_set_weight_format(llmcore_model_options* options,
                                                       const char* format, size_t format_size) {
  return SetOption(options, [&] {
    return SetFormat(format, format_size, "weight_format", ParseWeightFormat,
                     &options->values.weight_format);
  });
}

llmcore_error* llmcore_model_options_set_kv_format(llmcore_model_options* options,
                                                   const char* format, size_t format_size) {
  return SetOption(options, [&] {
    return SetFormat(format, format_size, "kv_format", ParseKvFormat, &options->values.kv_format);
  });
}

llmcore_error* llmcore_model_options_set_activation_format(llmcore_model_options* options,
                                                           const char* format, size_t format_size) {
  return SetOption(options, [&] {
    return SetFormat(format, format_size, "activation_format", ParseActivationFormat,
                     &options->values.activation_format);
  });
}

llmcore_error* llmcore_model_options_set_memory_budget(llmcore_model_options* options,
                                                       uint64_t bytes) {
  return SetOption(options, [&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(InRange(bytes, 1, UINT64_MAX, "memory_budget"));
    options->values.memory_budget = bytes;
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_options_set_kv_cache_tokens(llmcore_model_options* options,
                                                         uint64_t tokens) {
  return SetOption(options, [&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(InRange(tokens, 1, INT64_MAX, "kv_cache_tokens"));
    options->values.kv_cache_tokens = static_cast<int64_t>(tokens);
    options->values.kv_cache_fraction.reset();
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_options_set_kv_cache_fraction(llmcore_model_options* options,
                                                           double fraction) {
  return SetOption(options, [&]() -> absl::Status {
    if (!(fraction > 0 && fraction <= 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("kv_cache_fraction is ", fraction, ", which is not above 0 and at most 1"));
    }
    options->values.kv_cache_fraction = fraction;
    options->values.kv_cache_tokens.reset();
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_options_set_max_context(llmcore_model_options* options,
                                                     uint32_t tokens) {
  return SetOption(options, [&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(InRange(tokens, 1, INT32_MAX, "max_context"));
    options->values.max_context = static_cast<int32_t>(tokens);
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_options_set_max_batch_tokens(llmcore_model_options* options,
                                                          uint32_t tokens) {
  return SetOption(options, [&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(InRange(tokens, 1, INT32_MAX, "max_batch_tokens"));
    options->values.max_batch_tokens = static_cast<int32_t>(tokens);
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_options_set_max_batch_sequences(llmcore_model_options* options,
                                                             uint32_t sequences) {
  return SetOption(options, [&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(InRange(sequences, 1, INT32_MAX, "max_batch_sequences"));
    options->values.max_batch_sequences = static_cast<int32_t>(sequences);
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_options_set_threads(llmcore_model_options* options, uint32_t threads) {
  return SetOption(options, [&]() -> absl::Status {
    LLMCORE_RETURN_IF_ERROR(InRange(threads, 0, kMaxThreads, "threads"));
    options->values.threads = static_cast<int>(threads);
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_options_set_checkpoint_layout(llmcore_model_options* options,
                                                           const char* layout, size_t layout_size) {
  return SetOption(
      options, [&] { return SetLayout(layout, layout_size, &options->values.checkpoint_layout); });
}

llmcore_error* llmcore_model_options_set_scheduler(llmcore_model_options* options,
                                                   const char* scheduler, size_t scheduler_size) {
  return SetOption(
      options, [&] { return SetScheduler(scheduler, scheduler_size, &options->values.scheduler); });
}

llmcore_error* llmcore_model_options_set_prefix_cache(llmcore_model_options* options,
                                                      bool enabled) {
  return SetOption(options, [&]() -> absl::Status {
    options->values.prefix_cache = enabled;
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_options_set_swap_bytes(llmcore_model_options* options,
                                                    uint64_t bytes) {
  return SetOption(options, [&]() -> absl::Status {
    options->values.swap_bytes = bytes;
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_options_set_deterministic(llmcore_model_options* options,
                                                       bool enabled) {
  return SetOption(options, [&]() -> absl::Status {
    options->values.deterministic = enabled;
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_options_set_progress_callback(llmcore_model_options* options,
                                                           llmcore_progress_callback callback,
                                                           void* user,
                                                           void (*destroy_user)(void* user)) {
  return Barrier([&]() -> absl::Status {
    std::shared_ptr<void> owned = OwnUser(user, destroy_user);
    LLMCORE_RETURN_IF_ERROR(NotNull(options, "options"));
    LLMCORE_RETURN_IF_ERROR(options->monitor->CheckOutside());
    options->progress = {callback, std::move(owned)};
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_options_set_log_callback(llmcore_model_options* options,
                                                      llmcore_log_callback callback, void* user,
                                                      void (*destroy_user)(void* user)) {
  return Barrier([&]() -> absl::Status {
    std::shared_ptr<void> owned = OwnUser(user, destroy_user);
    LLMCORE_RETURN_IF_ERROR(NotNull(options, "options"));
    LLMCORE_RETURN_IF_ERROR(options->monitor->CheckOutside());
    options->log = {callback, std::move(owned)};
    return absl::OkStatus();
  });
}

llmcore_error* llmcore_model_options_set_cancel_token(llmcore_model_options* options,
                                                      llmcore_cancel_token* token) {
  return SetOption(options, [&]() -> absl::Status {
    if (token == nullptr) {
      options->values.cancel.reset();
    } else {
      options->values.cancel = token->token;
    }
    return absl::OkStatus();
  });
}
