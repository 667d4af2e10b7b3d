// Sizes and addresses of packed weights (layout.h).
#ifndef LLMCORE_LIB_CPU_PANELS_H_
#define LLMCORE_LIB_CPU_PANELS_H_

#include <cstdint>
#include <limits>

#include "lib/backend/backend.h"
#include "lib/base/checked.h"
#include "lib/cpu/kernels.h"
#include "lib/cpu/layout.h"

namespace llmcore::cpu {

inline PanelFormat PanelFormatOf(core::WeightFormat format) {
  switch (format) {
    case core::WeightFormat::kBf16:
      return PanelFormat::kBf16;
    case core::WeightFormat::kF16:
      return PanelFormat::kF16;
    case core::WeightFormat::kInt8:
      return PanelFormat::kInt8;
    case core::WeightFormat::kInt4:
      return PanelFormat::kInt4;
    case core::WeightFormat::kInt4Zeros:
      return PanelFormat::kInt4Zeros;
    case core::WeightFormat::kAuto:
    case core::WeightFormat::kF32:
      break;
  }
  return PanelFormat::kF32;
}

// Columns as stored: a block, or a pair in bf16, is never cut.
inline int64_t StoredColumns(PanelFormat format, int64_t columns) {
  switch (format) {
    case PanelFormat::kBf16:
      return (columns + 1) / 2 * 2;
    case PanelFormat::kInt8:
    case PanelFormat::kInt4:
    case PanelFormat::kInt4Zeros:
      return (columns + kBlock - 1) / kBlock * kBlock;
    case PanelFormat::kF32:
    case PanelFormat::kF16:
      break;
  }
  return columns;
}

// Bytes of one panel; columns is below 2^48.
inline int64_t PanelBytes(PanelFormat format, int64_t columns) {
  const int64_t stored = StoredColumns(format, columns);
  switch (format) {
    case PanelFormat::kF32:
      return stored * kPanelRows * 4;
    case PanelFormat::kBf16:
    case PanelFormat::kF16:
      return stored * kPanelRows * 2;
    case PanelFormat::kInt8:
      return stored / kBlock * kInt8BlockBytes;
    case PanelFormat::kInt4:
      return stored / kBlock * kInt4BlockBytes;
    case PanelFormat::kInt4Zeros:
      return stored / kBlock * kInt4ZerosBlockBytes;
  }
  return 0;
}

// Panels of a plain weight of `rows` outputs, or of one half of a gated one.
inline int64_t PanelCount(int64_t rows) {
  return (rows + kPanelRows - 1) / kPanelRows;
}

// All panels of a weight; the largest uint64_t where that does not fit.
inline uint64_t WeightBytes(const core::WeightShape& shape) {
  constexpr uint64_t kTooLarge = std::numeric_limits<uint64_t>::max();
  constexpr int64_t kMost = int64_t{1} << 48;
  if (shape.rows < 0 || shape.columns < 0 || shape.rows > kMost || shape.columns > kMost) {
    return kTooLarge;
  }
  const bool gated = shape.kind == core::WeightKind::kGated;
  const int64_t panels = gated ? 2 * PanelCount(shape.rows / 2) : PanelCount(shape.rows);
  const int64_t panel_bytes = PanelBytes(PanelFormatOf(shape.format), shape.columns);
  return core::CheckedMultiply(static_cast<uint64_t>(panels), static_cast<uint64_t>(panel_bytes))
      .value_or(kTooLarge);
}

}  // namespace llmcore::cpu

#endif  // LLMCORE_LIB_CPU_PANELS_H_
