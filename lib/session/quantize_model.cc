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
  const auto log = [&options](const std::string& line) {
    if (options.log) options.log(LogLevel::kInfo, line);
  };
  if (options.checkpoint_layout == "rows") {
    return QuantizeCheckpoint(source, destination, {format, options.threads}, control,
                              [&log](const QuantizedTensor& tensor) { log(tensor.ToString()); });
  }
  LLMCORE_ASSIGN_OR_RETURN(const std::unique_ptr<Backend> backend,
                           CreateBackend(options.checkpoint_layout, options.threads));
  return PackCheckpoint(source, destination, format, backend.get(), control, log);
}

}  // namespace llmcore::core
