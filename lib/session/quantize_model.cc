#include "lib/session/quantize_model.h"

#include <memory>

#include "lib/backend/backend.h"
#include "lib/io/checkpoint_quantizer.h"
#include "lib/model/checkpoint_packer.h"
#include "lib/session/device.h"

namespace llmcore::core {

absl::Status QuantizeModel(const std::string& source, const std::string& destination,
                           const ModelOptions& options) {
  const WeightFormat format =
      options.weight_format == WeightFormat::kAuto ? WeightFormat::kInt4 : options.weight_format;
  const WorkControl control = {options.cancel.get(), options.progress};
  if (options.checkpoint_layout == "rows") {
    QuantizedTensorCallback on_tensor;
    if (options.log) {
      on_tensor = [&options](const QuantizedTensor& tensor) {
        options.log(LogLevel::kInfo, tensor.ToString());
      };
    }
    return QuantizeCheckpoint(source, destination, {format, options.threads}, control, on_tensor);
  }
  LLMCORE_ASSIGN_OR_RETURN(
      const std::unique_ptr<Backend> backend,
      CreateBackend(options.checkpoint_layout, options.threads, options.deterministic));
  PackedWeightCallback on_weight;
  if (options.log) {
    on_weight = [&options](const std::string& line) { options.log(LogLevel::kInfo, line); };
  }
  return PackCheckpoint(source, destination, format, backend.get(), control, on_weight);
}

}  // namespace llmcore::core
