#ifndef LLMCORE_CAPI_MODEL_OPTIONS_H_
#define LLMCORE_CAPI_MODEL_OPTIONS_H_

#include <memory>

#include "capi/callbacks.h"
#include "lib/session/model.h"
#include "llmcore/llmcore.h"

struct llmcore_model_options {
  llmcore::core::ModelOptions values;  // all but the callbacks
  llmcore::capi::HostCallback<llmcore_progress_callback> progress;
  llmcore::capi::HostCallback<llmcore_log_callback> log;
  std::shared_ptr<llmcore::capi::CallbackMonitor> monitor =
      std::make_shared<llmcore::capi::CallbackMonitor>();
};

namespace llmcore::capi {

// The options of a load, with callbacks that mark `model` too. NULL: the defaults.
// FAILED_PRECONDITION from inside a callback of these options.
absl::StatusOr<core::ModelOptions> BindOptions(const llmcore_model_options* options,
                                               std::shared_ptr<CallbackMonitor> model);

}  // namespace llmcore::capi

#endif  // LLMCORE_CAPI_MODEL_OPTIONS_H_
