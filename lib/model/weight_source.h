// Where the tensors of a model come from: a checkpoint, or a generator of random values.
#ifndef LLMCORE_LIB_MODEL_WEIGHT_SOURCE_H_
#define LLMCORE_LIB_MODEL_WEIGHT_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "lib/backend/backend.h"
#include "lib/base/checksum.h"
#include "lib/base/status.h"
#include "lib/config/model_config.h"
#include "lib/io/checkpoint.h"
#include "lib/io/zero_point_matrix.h"
#include "lib/tensor/format.h"

namespace llmcore::core {

// What follows PackedName in the name of a stored packed weight.
inline constexpr absl::string_view kPackedSuffix = ".packed";

class WeightSource {
 public:
  virtual ~WeightSource() = default;

  // The tensor `name` as [rows, columns] (a vector has one row): NOT_FOUND when there is none,
  // INVALID_ARGUMENT with both shapes when it has another. Valid as long as the source. Without
  // data when its rows have to be gathered, which FindZeroPoints is for.
  virtual absl::StatusOr<SourceMatrix> Find(absl::string_view name, int64_t rows,
                                            int64_t columns) const = 0;
  virtual absl::StatusOr<ZeroPointMatrix> FindZeroPoints(absl::string_view name, int64_t rows,
                                                         int64_t columns) const;
  // Where weights are stored packed: the name of their layout (Backend::WeightLayoutName), and the
  // `bytes` bytes of one under its PackedName. They lie in memory that lives as long as what the
  // source was made of, aligned to 64: NOT_FOUND, or INVALID_ARGUMENT with the tensor. Find then
  // finds vectors only.
  virtual std::string packed_layout() const { return ""; }
  virtual absl::StatusOr<std::span<const std::byte>> FindPacked(absl::string_view name,
                                                                uint64_t bytes) const;
  // Says that the first `bytes` of the tensor were read for the last time.
  virtual void Release(absl::string_view name, uint64_t bytes) const = 0;
  // All names, to find those that no part of the model takes.
  virtual std::vector<std::string> Names() const = 0;
  // Adds what tells this source from others: names, shapes, and a few bytes of each tensor.
  virtual void AddSample(Checksum* checksum) const = 0;
  // The format that keeps the weights as they are stored. With kInt4Zeros some may be stored
  // otherwise: FormatOfWeight (visit_weights.h).
  virtual WeightFormat stored_format() const = 0;
};

// `checkpoint` outlives the source. A weight that a quantizer stored is found under its plain name:
// our own (lib/io/quantized_checkpoint.md), or that of AWQ and GPTQ checkpoints
// (lib/io/zero_point_matrix.h).
std::unique_ptr<WeightSource> CheckpointWeights(const Checkpoint* checkpoint,
                                                const ModelConfig& config);

// Random bf16 values of about the spread of trained weights, the same at every call. Takes address
// space, but next to no memory: all tensors repeat one block.
absl::StatusOr<std::unique_ptr<WeightSource>> RandomWeights(uint64_t largest_tensor_elements);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_MODEL_WEIGHT_SOURCE_H_
