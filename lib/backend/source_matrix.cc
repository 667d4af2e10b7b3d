#include "lib/backend/source_matrix.h"

#include "absl/strings/str_cat.h"
#include "lib/tensor/int4.h"

namespace llmcore::core {

uint64_t SourceRowBytes(const SourceMatrix& part) {
  const auto columns = static_cast<uint64_t>(part.columns);
  switch (part.format) {
    case WeightFormat::kInt8:
      return columns;
    case WeightFormat::kInt4:
    case WeightFormat::kInt4Zeros:
      return Int4PackedBytes(columns);
    default:
      return columns * static_cast<uint64_t>(DTypeSize(part.dtype));
  }
}

absl::Status CheckSourceParts(const WeightShape& shape, std::span<const SourceMatrix> parts) {
  if (shape.format == WeightFormat::kAuto) {
    return absl::InvalidArgumentError("a weight to pack has no format");
  }
  int64_t rows = 0;
  for (const SourceMatrix& part : parts) {
    if (part.columns != shape.columns || part.rows < 0 || part.rows > shape.rows - rows) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a part of ", part.rows, " x ", part.columns, " does not fit into a weight of ",
          shape.rows, " x ", shape.columns, " after ", rows, " rows"));
    }
    const bool has_zeros = part.format == WeightFormat::kInt4Zeros;
    if (IsQuantized(part.format)
            ? part.scales == nullptr || (has_zeros && part.zeros == nullptr)
            : part.format != WeightFormat::kAuto || !IsWeightDType(part.dtype)) {
      return absl::InvalidArgumentError(
          absl::StrCat("a weight cannot be made from ", DTypeName(part.dtype), " values"));
    }
    if (shape.format == WeightFormat::kInt4Zeros && !has_zeros) {
      return absl::InvalidArgumentError("a weight with zero points is made from such parts only");
    }
    rows += part.rows;
  }
  const bool halves = parts.size() == 2 && parts[0].rows == parts[1].rows;
  if (rows != shape.rows || (shape.kind == WeightKind::kGated && !halves)) {
    return absl::InvalidArgumentError(
        absl::StrCat("parts of ", rows, " rows in all do not make a weight of ", shape.rows));
  }
  return absl::OkStatus();
}

absl::Status UnusableValueError(const WeightShape& shape, std::span<const SourceMatrix> parts,
                                int64_t index) {
  int64_t row = index / shape.columns;
  size_t part = 0;
  while (row >= parts[part].rows) row -= parts[part++].rows;
  return absl::InvalidArgumentError(absl::StrCat(
      "the value at row ", row, ", column ", index % shape.columns,
      parts.size() > 1 ? absl::StrCat(" of part ", part) : std::string(),
      " is NaN or infinite, or too large for ", WeightFormatName(shape.format),
      parts[part].format == WeightFormat::kInt4Zeros ? ", or has a zero point above 16" : ""));
}

}  // namespace llmcore::core
