// Quantizes a model directory into one of the layouts of lib/io/quantized_checkpoint.md.
#ifndef LLMCORE_LIB_SESSION_QUANTIZE_MODEL_H_
#define LLMCORE_LIB_SESSION_QUANTIZE_MODEL_H_

#include <string>

#include "lib/base/status.h"
#include "lib/session/model.h"

namespace llmcore::core {

// Of the options weight_format (auto: int4), checkpoint_layout, threads, progress, log (a line a
// tensor) and cancel count. Layout "rows": QuantizeCheckpoint; a device: PackCheckpoint for it.
absl::Status QuantizeModel(const std::string& source, const std::string& destination,
                           const ModelOptions& options);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SESSION_QUANTIZE_MODEL_H_
