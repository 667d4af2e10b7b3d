// The model directory that quantizing makes, but for the weights: configuration, tokenizer and what
// else goes along (lib/io/quantized_checkpoint.md).
#ifndef LLMCORE_LIB_IO_QUANTIZED_DIRECTORY_H_
#define LLMCORE_LIB_IO_QUANTIZED_DIRECTORY_H_

#include <string>
#include <utility>
#include <vector>

#include "lib/base/file.h"
#include "lib/base/status.h"
#include "lib/config/model_config.h"
#include "lib/io/checkpoint.h"

namespace llmcore::core {

// Appears whole on Commit, or not at all.
class QuantizedDirectory {
 public:
  // `source` is a model directory, or the name of one in the Hugging Face cache, and not quantized
  // yet (INVALID_ARGUMENT). `destination` must not exist, or be an empty directory
  // (ALREADY_EXISTS). Everything but the weights is written here.
  static absl::StatusOr<QuantizedDirectory> Create(const std::string& source,
                                                   const std::string& destination,
                                                   StoredQuantization quantization);

  const ModelConfig& config() const { return config_; }               // of the source
  const Checkpoint& checkpoint() const { return checkpoint_; }        // likewise
  std::string weights_path() const;                                   // where the weights are to go
  std::vector<std::pair<std::string, std::string>> metadata() const;  // of that file

  absl::Status Commit() { return writer_.Commit(); }

 private:
  QuantizedDirectory(ModelConfig config, StoredQuantization quantization, Checkpoint checkpoint,
                     AtomicDirectoryWriter writer)
      : config_(std::move(config)),
        quantization_(std::move(quantization)),
        checkpoint_(std::move(checkpoint)),
        writer_(std::move(writer)) {}

  ModelConfig config_;
  StoredQuantization quantization_;
  Checkpoint checkpoint_;
  AtomicDirectoryWriter writer_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_IO_QUANTIZED_DIRECTORY_H_
