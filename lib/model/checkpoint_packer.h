// Turns a model directory into one whose matrices are quantized and packed as a backend holds them
// (lib/io/quantized_checkpoint.md), so that a load maps them and copies nothing.
#ifndef LLMCORE_LIB_MODEL_CHECKPOINT_PACKER_H_
#define LLMCORE_LIB_MODEL_CHECKPOINT_PACKER_H_

#include <functional>
#include <string>

#include "lib/backend/backend.h"
#include "lib/base/cancel.h"
#include "lib/base/status.h"
#include "lib/tensor/format.h"

namespace llmcore::core {

// Called from the calling thread, in the order of the file, with a line on each weight:
// "NAME [2, 3] 12 bytes -> cpu-int4-v1 4224 bytes".
using PackedWeightCallback = std::function<void(const std::string& line)>;

// As QuantizeCheckpoint (lib/io/checkpoint_quantizer.h) but for the layout: the bytes are those
// that loading `source` would make on `backend`, which works on its threads. How far the values are
// from the stored ones is not measured. UNIMPLEMENTED where the backend has no layout of stored
// weights.
absl::Status PackCheckpoint(const std::string& source, const std::string& destination,
                            WeightFormat format, Backend* backend, const WorkControl& control,
                            const PackedWeightCallback& on_weight);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_MODEL_CHECKPOINT_PACKER_H_
