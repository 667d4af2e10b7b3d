#include "lib/model/gathered_weight.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "lib/backend/source_matrix.h"
#include "lib/base/checked.h"
#include "lib/tensor/int4.h"

namespace llmcore::core {
namespace {

// Codes of a slice.
constexpr uint64_t kSliceBytes = uint64_t{8} << 20;

class Gatherer {
 public:
  Gatherer(const std::vector<WeightPart>& parts, const std::vector<SourceMatrix>& sources,
           Backend* backend)
      : parts_(parts), sources_(sources), backend_(*backend), rows_(parts.size()) {}

  absl::Status Open(const WeightSource& source) {
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (sources_[i].data != nullptr) continue;
      LLMCORE_ASSIGN_OR_RETURN(
          rows_[i].matrix,
          source.FindZeroPoints(parts_[i].name, sources_[i].rows, sources_[i].columns));
    }
    return absl::OkStatus();
  }

  // What PackWeight is given of the rows of a slice; valid until the next call.
  absl::StatusOr<std::vector<SourceMatrix>> Gather(const std::vector<PartRows>& slice) {
    std::vector<SourceMatrix> pieces;
    std::vector<PartRows> stripes;
    for (const PartRows& rows : slice) {
      SourceMatrix& piece = pieces.emplace_back(sources_[rows.part]);
      piece.rows = rows.rows;
      const uint64_t row_bytes = SourceRowBytes(piece);
      if (piece.data != nullptr) {
        piece.data += static_cast<uint64_t>(rows.first) * row_bytes;
        continue;
      }
      Rows& to = rows_[rows.part];
      to.first = rows.first;
      Grow(static_cast<uint64_t>(rows.rows) * row_bytes, &to.codes);
      const uint64_t blocks = Int4ScaleCount(static_cast<uint64_t>(piece.columns));
      Grow(static_cast<uint64_t>(rows.rows) * blocks * 2, &to.scales);
      Grow(static_cast<uint64_t>(rows.rows) * blocks, &to.zeros);
      piece.data = to.codes.data();
      piece.scales = to.scales.data();
      piece.zeros = to.zeros.data();
      for (int64_t done = 0; done < rows.rows; done += ZeroPointMatrix::kTileRows) {
        stripes.push_back(
            {rows.part, rows.first + done, std::min(ZeroPointMatrix::kTileRows, rows.rows - done)});
      }
    }
    LLMCORE_RETURN_IF_ERROR(Read(stripes));
    return pieces;
  }

 private:
  // Of one part: none of those that lie row by row.
  struct Rows {
    std::optional<ZeroPointMatrix> matrix;
    int64_t first = 0;
    std::vector<std::byte> codes;
    std::vector<std::byte> scales;
    std::vector<std::byte> zeros;
  };

  static void Grow(uint64_t bytes, std::vector<std::byte>* buffer) {
    if (buffer->size() < bytes) buffer->resize(bytes);
  }

  absl::Status Read(const std::vector<PartRows>& stripes) {
    std::vector<absl::Status> results(stripes.size());
    const auto body = [&](int64_t index) {
      const PartRows& stripe = stripes[static_cast<size_t>(index)];
      Rows& to = rows_[stripe.part];
      const auto columns = static_cast<uint64_t>(sources_[stripe.part].columns);
      const auto row = static_cast<uint64_t>(stripe.first - to.first);
      const uint64_t block = row * Int4ScaleCount(columns);
      results[static_cast<size_t>(index)] = to.matrix->ReadRows(
          stripe.first, stripe.rows, to.codes.data() + row * Int4PackedBytes(columns),
          to.scales.data() + block * 2, to.zeros.data() + block);
    };
    LLMCORE_RETURN_IF_ERROR(backend_.ForEachOnHost(static_cast<int64_t>(stripes.size()), body));
    for (const absl::Status& result : results) LLMCORE_RETURN_IF_ERROR(result);
    return absl::OkStatus();
  }

  const std::vector<WeightPart>& parts_;
  const std::vector<SourceMatrix>& sources_;
  Backend& backend_;
  std::vector<Rows> rows_;  // [parts]
};

// Rows of a slice: as many of whole tiles as hold about kSliceBytes, in units of the backend.
int64_t SliceRows(const WeightShape& shape, int64_t rows, const Backend& backend) {
  const int64_t unit = backend.WeightSliceRows();
  if (unit == 0) return rows;
  const uint64_t halves = shape.kind == WeightKind::kGated ? 2 : 1;
  const uint64_t row_bytes = halves * Int4PackedBytes(static_cast<uint64_t>(shape.columns));
  const uint64_t step = RoundUp(ZeroPointMatrix::kTileRows, static_cast<uint64_t>(unit));
  return static_cast<int64_t>(std::max<uint64_t>(1, kSliceBytes / row_bytes / step) * step);
}

}  // namespace

bool MustBeGathered(std::span<const SourceMatrix> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [](const SourceMatrix& part) { return part.data == nullptr; });
}

absl::Status PackGathered(const WeightSource& source, const WeightShape& shape,
                          const std::vector<WeightPart>& parts,
                          const std::vector<SourceMatrix>& sources, Backend* backend,
                          void* destination, const WorkControl& control) {
  Gatherer gatherer(parts, sources, backend);
  LLMCORE_RETURN_IF_ERROR(gatherer.Open(source));
  uint64_t total = 0;
  for (const SourceMatrix& part : sources) {
    total += SourceRowBytes(part) * static_cast<uint64_t>(part.rows);
  }
  const int64_t rows = shape.kind == WeightKind::kGated ? shape.rows / 2 : shape.rows;
  const int64_t step = SliceRows(shape, rows, *backend);
  auto* out = static_cast<std::byte*>(destination);
  uint64_t done = 0;
  for (int64_t first = 0; first < rows; first += step) {
    LLMCORE_RETURN_IF_ERROR(control.Report("pack", done, total));
    LLMCORE_ASSIGN_OR_RETURN(
        const std::vector<SourceMatrix> pieces,
        gatherer.Gather(SliceParts(shape.kind, parts, first, std::min(step, rows - first))));
    WeightShape slice = shape;
    slice.rows = 0;
    uint64_t bytes = 0;
    for (const SourceMatrix& piece : pieces) {
      slice.rows += piece.rows;
      bytes += SourceRowBytes(piece) * static_cast<uint64_t>(piece.rows);
    }
    const WorkControl inner{control.cancel, [&](absl::string_view, uint64_t packed, uint64_t) {
                              return control.Report("pack", done + packed, total).ok();
                            }};
    const absl::Status status = backend->PackWeight(slice, pieces, out, inner);
    if (!status.ok()) return Annotate(status, absl::StrCat("rows from ", first, " on"));
    out += backend->PackedWeightBytes(slice);
    done += bytes;
  }
  return control.Report("pack", total, total);
}

}  // namespace llmcore::core
