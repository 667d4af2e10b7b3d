// Weights whose rows a checkpoint stores across each other (lib/io/zero_point_matrix.h): gathered
// and packed a slice at a time.
#ifndef LLMCORE_LIB_MODEL_GATHERED_WEIGHT_H_
#define LLMCORE_LIB_MODEL_GATHERED_WEIGHT_H_

#include <span>
#include <vector>

#include "lib/backend/backend.h"
#include "lib/base/cancel.h"
#include "lib/base/status.h"
#include "lib/model/visit_weights.h"
#include "lib/model/weight_source.h"

namespace llmcore::core {

// Whether one of them has no data.
bool MustBeGathered(std::span<const SourceMatrix> parts);

// As Backend::PackWeight with `sources`, which are what `source` found for `parts`. Beside the
// weight some 10 MB are held. Rows are gathered on the backend's threads.
absl::Status PackGathered(const WeightSource& source, const WeightShape& shape,
                          const std::vector<WeightPart>& parts,
                          const std::vector<SourceMatrix>& sources, Backend* backend,
                          void* destination, const WorkControl& control);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_MODEL_GATHERED_WEIGHT_H_
