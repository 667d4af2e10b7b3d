// What PackWeight of every backend asks of its sources.
#ifndef LLMCORE_LIB_BACKEND_SOURCE_MATRIX_H_
#define LLMCORE_LIB_BACKEND_SOURCE_MATRIX_H_

#include <cstdint>
#include <span>

#include "lib/backend/backend.h"
#include "lib/base/status.h"

namespace llmcore::core {

// Bytes from one row of a source to the next.
uint64_t SourceRowBytes(const SourceMatrix& part);

// INVALID_ARGUMENT unless the parts make up the rows and columns of the weight, each of a type that
// a weight can be made from.
absl::Status CheckSourceParts(const WeightShape& shape, std::span<const SourceMatrix> parts);

// INVALID_ARGUMENT for the value at `index` (row * columns + column over the rows of all parts),
// which is NaN or infinite or becomes so in the format.
absl::Status UnusableValueError(const WeightShape& shape, std::span<const SourceMatrix> parts,
                                int64_t index);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BACKEND_SOURCE_MATRIX_H_
