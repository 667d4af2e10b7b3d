// The walk over the weights of a decoder: which tensors of a checkpoint each is made of, in the
// order in which they lie in memory. What checks, measures, loads or packs a model is a visitor of
// it.
#ifndef LLMCORE_LIB_MODEL_VISIT_WEIGHTS_H_
#define LLMCORE_LIB_MODEL_VISIT_WEIGHTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "lib/backend/backend.h"
#include "lib/base/status.h"
#include "lib/config/model_config.h"

namespace llmcore::core {

struct DecoderWeights;
class WeightSource;

// A tensor of the checkpoint that becomes part of a weight.
struct WeightPart {
  std::string name;
  int64_t rows;
};

class WeightVisitor {
 public:
  virtual ~WeightVisitor() = default;
  // A packed weight of `parts`, each [part.rows, columns].
  virtual absl::Status Packed(WeightKind kind, int64_t columns,
                              const std::vector<WeightPart>& parts, PackedWeight* weight) = 0;
  // A vector of `parts`, each [part.rows], one after the other.
  virtual absl::Status Vector(const std::vector<WeightPart>& parts, const float** vector) = 0;
};

// Names every weight of the model: the tensor names of the Llama, Mistral, Qwen2 and Qwen3 code of
// Hugging Face transformers.
absl::Status VisitWeights(const ModelConfig& config, WeightVisitor& visitor,
                          DecoderWeights* weights);

WeightShape ShapeOf(WeightFormat format, WeightKind kind, int64_t columns,
                    const std::vector<WeightPart>& parts);

// The format that a weight is held in when the model's is `format`: the same, but where that is
// kInt4Zeros. What the quantizer left as it was is then held as it is stored, and what is made of
// parts of several kinds in f32, which holds the values of all. `source` may be NULL with any other
// format.
absl::StatusOr<WeightFormat> FormatOfWeight(WeightFormat format, const WeightSource* source,
                                            int64_t columns, const std::vector<WeightPart>& parts);

// Rows of a part.
struct PartRows {
  size_t part = 0;
  int64_t first = 0;
  int64_t rows = 0;
};
// Rows [first, first + rows) of a weight, or of each half of a gated one: those of each part that
// has some.
std::vector<PartRows> SliceParts(WeightKind kind, const std::vector<WeightPart>& parts,
                                 int64_t first, int64_t rows);

// What a weight is called in a packed checkpoint (lib/io/quantized_checkpoint.md): the names of its
// parts with a "+" between them.
std::string PackedName(const std::vector<WeightPart>& parts);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_MODEL_VISIT_WEIGHTS_H_
