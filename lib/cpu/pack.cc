// PackWeight: checkpoint rows to panels (layout.h). A piece of work is one panel: stretches of its
// 64 rows are read one after the other, a block of 128 columns at a time brought to the format's
// values and written to the row's lanes. Nothing larger than a block is held, so a weight is
// streamed from its mapping to its panels.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "lib/backend/source_matrix.h"
#include "lib/base/checked.h"
#include "lib/cpu/cpu_backend.h"
#include "lib/cpu/panels.h"
#include "lib/tensor/float16.h"
#include "lib/tensor/int4.h"
#include "lib/tensor/int8.h"

namespace llmcore::cpu {
namespace {

using core::DType;
using core::SourceMatrix;
using core::WeightFormat;
using core::WeightKind;
using core::WeightShape;

static_assert(kMostZeroPoint == core::kMostInt4Zero);

// Columns packed of one row before the next: the reads are long enough for the prefetcher, and what
// is written (at most 256 KB) stays in second-level cache until all 64 rows have been there.
constexpr int64_t kStretch = 8 * kBlock;

// Source bytes between two progress reports: some 10 ms of work on two cores.
constexpr uint64_t kBytesPerReport = uint64_t{8} << 20;

// ---- Reading -----------------------------------------------------------------------------------

// One row of one part.
struct SourceRow {
  const SourceMatrix* part = nullptr;  // null: a row of zeros that fills up the last panel
  int64_t row = 0;
};

uint16_t Load16(const std::byte* p) {
  uint16_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// Which block of a part that is.
uint64_t BlockIndex(const SourceRow& source, int64_t column) {
  const uint64_t blocks = core::Int4ScaleCount(static_cast<uint64_t>(source.part->columns));
  return static_cast<uint64_t>(source.row) * blocks + static_cast<uint64_t>(column / kBlock);
}

// Where the scale of a block is; any alignment.
const std::byte* ScaleAddress(const SourceRow& source, int64_t column) {
  return source.part->scales + BlockIndex(source, column) * 2;
}

uint16_t SourceScale(const SourceRow& source, int64_t column) {
  return Load16(ScaleAddress(source, column));
}

// Of int4 with zero points; else 0.
int SourceZero(const SourceRow& source, int64_t column) {
  if (source.part->format != WeightFormat::kInt4Zeros) return 0;
  return std::to_integer<int>(source.part->zeros[BlockIndex(source, column)]);
}

// Whether the scale of a block, and its zero point, can be used.
bool IsUsableBlock(const SourceRow& source, int64_t column) {
  const uint16_t scale = SourceScale(source, column);
  return source.part->format == WeightFormat::kInt4Zeros
             ? (scale & 0x7C00u) != 0x7C00u && SourceZero(source, column) <= core::kMostInt4Zero
             : (scale & 0x7F80u) != 0x7F80u;
}

// Codes of an already quantized block; zero beyond n.
void ReadCodes(const SourceRow& source, int64_t column, int64_t n, int8_t* codes) {
  const std::byte* row =
      source.part->data + static_cast<uint64_t>(source.row) * core::SourceRowBytes(*source.part);
  std::memset(codes, 0, kBlock);
  if (source.part->format == WeightFormat::kInt8) {
    std::memcpy(codes, row + column, static_cast<size_t>(n));
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const int byte = std::to_integer<int>(row[(column + i) / 2]);
    const int nibble = i % 2 == 0 ? byte >> 4 : byte & 15;
    codes[i] = static_cast<int8_t>(
        source.part->format == WeightFormat::kInt4Zeros ? nibble : (nibble ^ 8) - 8);
  }
}

// The values of a block, exact in f32; zero beyond n.
void ReadValues(const SourceRow& source, int64_t column, int64_t n, float* values) {
  std::fill(values, values + kBlock, 0.0f);
  if (source.part == nullptr) return;
  const SourceMatrix& part = *source.part;
  if (IsQuantized(part.format)) {
    int8_t codes[kBlock];
    ReadCodes(source, column, n, codes);
    const uint16_t scale = SourceScale(source, column);
    const int zero = SourceZero(source, column);
    for (int64_t i = 0; i < n; ++i) {
      values[i] = part.format == WeightFormat::kInt8
                      ? static_cast<float>(codes[i]) * core::Bf16ToF32(scale)
                  : part.format == WeightFormat::kInt4
                      ? core::Bf16ToF32(core::DequantizeInt4Value(codes[i], scale))
                      : core::DequantizeInt4Zeros(codes[i], zero, scale);
    }
    return;
  }
  const std::byte* data = part.data +
                          static_cast<uint64_t>(source.row) * core::SourceRowBytes(part) +
                          column * core::DTypeSize(part.dtype);
  if (part.dtype == DType::kF32) {
    std::memcpy(values, data, static_cast<size_t>(n) * 4);
    return;
  }
  uint16_t bits[kBlock];
  std::memcpy(bits, data, static_cast<size_t>(n) * 2);
  if (part.dtype == DType::kBf16) {
    for (int64_t i = 0; i < n; ++i) values[i] = core::Bf16ToF32(bits[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) values[i] = core::F16ToF32(bits[i]);
  }
}

// ---- Writing -----------------------------------------------------------------------------------

constexpr int64_t kNoneBad = -1;

// Index of the first value that is NaN or infinite; kNoneBad when there is none.
int64_t FirstNonFinite(const float* values, int64_t n) {
  uint32_t bad = 0;
  for (int64_t i = 0; i < n; ++i) {
    const auto bits = std::bit_cast<uint32_t>(values[i]);
    bad |= static_cast<uint32_t>((bits & 0x7F800000u) == 0x7F800000u);
  }
  if (bad == 0) return kNoneBad;
  return std::find_if(values, values + n, [](float v) { return !std::isfinite(v); }) - values;
}

// To 16 bits a value; the index of the first that becomes infinite.
template <typename Convert>
int64_t ToHalves(const float* values, int64_t n, uint16_t exponent, Convert convert,
                 uint16_t* halves) {
  int64_t bad = kNoneBad;
  for (int64_t i = n - 1; i >= 0; --i) {
    halves[i] = convert(values[i]);
    if ((halves[i] & exponent) == exponent) bad = i;
  }
  return bad;
}

int64_t ToBf16(const float* values, int64_t n, uint16_t* halves) {
  return ToHalves(values, n, 0x7F80, core::F32ToBf16, halves);
}

// One row's block of a plain format into its lane of the panel.
int64_t WritePlain(PanelFormat format, const float* values, int64_t column, int64_t n, int64_t lane,
                   unsigned char* panel) {
  if (format == PanelFormat::kF32) {
    float* out = reinterpret_cast<float*>(panel) + column * kPanelRows + lane;
    for (int64_t i = 0; i < n; ++i) out[i * kPanelRows] = values[i];
    return kNoneBad;
  }
  auto* out = reinterpret_cast<uint16_t*>(panel) + column * kPanelRows;
  uint16_t halves[kBlock] = {};
  if (format == PanelFormat::kF16) {
    const int64_t bad = ToHalves(values, n, 0x7C00, core::F32ToF16, halves);
    for (int64_t i = 0; i < n; ++i) out[i * kPanelRows + lane] = halves[i];
    return bad;
  }
  const int64_t bad = ToBf16(values, n, halves);
  for (int64_t i = 0; i < (n + 1) / 2 * 2; i += 2) {
    std::memcpy(out + i * kPanelRows + lane * 2, halves + i, 4);
  }
  return bad;
}

// Codes (zero beyond the row's end), scale and zero point of one row's block into its lane.
void WriteCodes(PanelFormat format, const int8_t* codes, uint16_t scale, int zero, int64_t lane,
                unsigned char* block) {
  std::memcpy(block + lane * 2, &scale, 2);
  unsigned char* out = block + kScaleBytes + lane * 4;
  if (format == PanelFormat::kInt8) {
    for (int64_t i = 0; i < kBlock; i += 4, out += kPanelRows * 4) {
      for (int64_t j = 0; j < 4; ++j) out[j] = static_cast<unsigned char>(codes[i + j] + 128);
    }
    return;
  }
  int offset = 8;
  if (format == PanelFormat::kInt4Zeros) {
    offset = 0;
    block[kScaleBytes + lane] = static_cast<unsigned char>(zero);
    out += kPanelRows;
  }
  for (int64_t i = 0; i < kBlock; i += 8, out += kPanelRows * 4) {
    for (int64_t j = 0; j < 4; ++j) {
      out[j] =
          static_cast<unsigned char>((codes[i + j] + offset) | (codes[i + j + 4] + offset) << 4);
    }
  }
}

int64_t WriteQuantized(PanelFormat format, const float* values, int64_t n, int64_t lane,
                       unsigned char* block) {
  uint16_t halves[kBlock];
  const int64_t bad = ToBf16(values, n, halves);
  if (bad != kNoneBad) return bad;
  int8_t codes[kBlock] = {};
  const uint16_t scale = format == PanelFormat::kInt8 ? core::QuantizeInt8Block(halves, n, codes)
                                                      : core::QuantizeInt4Block(halves, n, codes);
  WriteCodes(format, codes, scale, 0, lane, block);
  return kNoneBad;
}

// Of a format of codes.
int64_t BlockBytes(PanelFormat format) {
  return PanelBytes(format, kBlock);
}

// ---- A panel -----------------------------------------------------------------------------------

class Packer {
 public:
  Packer(const KernelTable& kernels, const WeightShape& shape, std::span<const SourceMatrix> parts,
         void* destination)
      : kernels_(kernels),
        shape_(shape),
        parts_(parts),
        format_(PanelFormatOf(shape.format)),
        quantized_(IsQuantized(shape.format)),
        panel_bytes_(PanelBytes(format_, shape.columns)),
        panels_(static_cast<unsigned char*>(destination)) {}

  // Leaves the least index (row * columns + column) of a bad value in `bad_`.
  void PackPanel(int64_t panel) {
    SourceRow rows[kPanelRows];
    for (int64_t lane = 0; lane < kPanelRows; ++lane) rows[lane] = FindRow(panel, lane);
    int64_t begin[kPanelRows / kRepackRows];
    for (int64_t lane = 0; lane < kPanelRows; lane += kRepackRows) {
      begin[lane / kRepackRows] = RepackRows(rows + lane, panel, lane);
    }
    for (int64_t column = 0; column < shape_.columns; column += kStretch) {
      const int64_t end = std::min(column + kStretch, shape_.columns);
      for (int64_t lane = 0; lane < kPanelRows; ++lane) {
        PackStretch(rows[lane], panel, lane, std::max(column, begin[lane / kRepackRows]), end);
      }
    }
  }

  absl::Status status() const {
    const int64_t bad = bad_.load(std::memory_order_relaxed);
    if (bad == kNone) return absl::OkStatus();
    return core::UnusableValueError(shape_, parts_, bad);
  }

 private:
  static constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

  // Whether the row's codes are kept as they are stored.
  bool Repacks(const SourceRow& row) const {
    return row.part != nullptr && row.part->format == shape_.format && quantized_;
  }

  SourceRow FindRow(int64_t panel, int64_t lane) const {
    if (shape_.kind == WeightKind::kGated) {
      const SourceMatrix& part = parts_[static_cast<size_t>(panel % 2)];
      const int64_t row = panel / 2 * kPanelRows + lane;
      return row < part.rows ? SourceRow{&part, row} : SourceRow{};
    }
    int64_t row = panel * kPanelRows + lane;
    for (const SourceMatrix& part : parts_) {
      if (row < part.rows) return {&part, row};
      row -= part.rows;
    }
    return {};
  }

  void PackStretch(const SourceRow& row, int64_t panel, int64_t lane, int64_t column, int64_t end) {
    for (; column < end; column += kBlock) {
      const int64_t n = std::min(kBlock, end - column);
      const int64_t bad = PackBlock(row, panel, lane, column, n);
      if (bad != kNoneBad) NoteBad(row, column + bad);
    }
  }

  // The whole blocks of 16 rows whose codes are stored already, with the kernels; returns the
  // column after them, 0 where the other path must look (and say which block cannot be used).
  int64_t RepackRows(const SourceRow* rows, int64_t panel, int64_t lane) const {
    RepackArgs args = {.codes = {},
                       .scales = {},
                       .zeros = {},
                       .blocks = shape_.columns / kBlock,
                       .lane = lane,
                       .block = panels_ + panel * panel_bytes_};
    for (int64_t i = 0; i < kRepackRows; ++i) {
      if (!Repacks(rows[i])) return 0;
      const SourceMatrix& part = *rows[i].part;
      args.codes[i] = reinterpret_cast<const unsigned char*>(
          part.data + static_cast<uint64_t>(rows[i].row) * core::SourceRowBytes(part));
      args.scales[i] = reinterpret_cast<const unsigned char*>(ScaleAddress(rows[i], 0));
      if (format_ == PanelFormat::kInt4Zeros) {
        args.zeros[i] = reinterpret_cast<const unsigned char*>(part.zeros + BlockIndex(rows[i], 0));
      }
    }
    const auto repack = format_ == PanelFormat::kInt8   ? kernels_.repack_int8
                        : format_ == PanelFormat::kInt4 ? kernels_.repack_int4
                                                        : kernels_.repack_int4_zeros;
    return repack(args) ? args.blocks * kBlock : 0;
  }

  // Plain values to int8 or int4 with the kernels; false where the other path must look.
  bool Quantize(const SourceRow& row, int64_t lane, int64_t column, int64_t n,
                unsigned char* block) const {
    if (row.part == nullptr || row.part->format != WeightFormat::kAuto) return false;
    const SourceMatrix& part = *row.part;
    const PackBlockArgs args = {
        .data = part.data + static_cast<uint64_t>(row.row) * core::SourceRowBytes(part) +
                column * core::DTypeSize(part.dtype),
        .source = part.dtype == DType::kF32    ? PackSource::kF32
                  : part.dtype == DType::kBf16 ? PackSource::kBf16
                                               : PackSource::kF16,
        .n = n,
        .lane = lane,
        .block = block};
    return format_ == PanelFormat::kInt8 ? kernels_.pack_int8(args) : kernels_.pack_int4(args);
  }

  int64_t PackBlock(const SourceRow& row, int64_t panel, int64_t lane, int64_t column, int64_t n) {
    unsigned char* out = panels_ + panel * panel_bytes_;
    unsigned char* block = quantized_ ? out + column / kBlock * BlockBytes(format_) : nullptr;
    if (quantized_ && Quantize(row, lane, column, n, block)) return kNoneBad;
    if (row.part != nullptr && IsQuantized(row.part->format) && !IsUsableBlock(row, column)) {
      return 0;
    }
    if (Repacks(row)) {
      int8_t codes[kBlock];
      ReadCodes(row, column, n, codes);
      WriteCodes(format_, codes, SourceScale(row, column), SourceZero(row, column), lane, block);
      return kNoneBad;
    }
    if (format_ == PanelFormat::kInt4Zeros) {  // a row that fills up
      const int8_t codes[kBlock] = {};
      WriteCodes(format_, codes, 0, 0, lane, block);
      return kNoneBad;
    }
    float values[kBlock];
    ReadValues(row, column, n, values);
    const int64_t bad = FirstNonFinite(values, n);
    if (bad != kNoneBad) return bad;
    return quantized_ ? WriteQuantized(format_, values, n, lane, block)
                      : WritePlain(format_, values, column, n, lane, out);
  }

  void NoteBad(const SourceRow& source, int64_t column) {
    int64_t row = source.row;
    for (const SourceMatrix* part = parts_.data(); part != source.part; ++part) row += part->rows;
    const int64_t index = row * shape_.columns + column;
    int64_t least = bad_.load(std::memory_order_relaxed);
    while (index < least && !bad_.compare_exchange_weak(least, index, std::memory_order_relaxed)) {
    }
  }

  const KernelTable& kernels_;
  const WeightShape shape_;
  const std::span<const SourceMatrix> parts_;
  const PanelFormat format_;
  const bool quantized_;
  const int64_t panel_bytes_;
  unsigned char* const panels_;
  std::atomic<int64_t> bad_{kNone};
};

}  // namespace

// Codes of any value are in range (a nibble, a byte), so only scales are looked at.
absl::Status CpuBackend::CheckPackedWeight(const WeightShape& shape,
                                           std::span<const std::byte> bytes,
                                           const core::WorkControl& control) {
  const PanelFormat format = PanelFormatOf(shape.format);
  if (WeightLayoutName(shape.format).empty() || bytes.size() != WeightBytes(shape)) {
    return absl::InvalidArgumentError(absl::StrCat(
        bytes.size(), " bytes are not a packed weight of ", shape.rows, " x ", shape.columns));
  }
  const int64_t block_bytes = BlockBytes(format);
  const auto blocks = static_cast<int64_t>(bytes.size()) / block_bytes;
  const auto turn = static_cast<int64_t>(kBytesPerReport) / block_bytes;
  constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  std::atomic<int64_t> bad = kNone;
  for (int64_t first = 0; first < blocks; first += turn) {
    LLMCORE_RETURN_IF_ERROR(
        control.Report("check", static_cast<uint64_t>(first * block_bytes), bytes.size()));
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (int64_t block = first + begin; block < first + end; ++block) {
        uint16_t scales[kPanelRows];
        std::memcpy(scales, bytes.data() + block * block_bytes, sizeof scales);
        bool finite = true;
        for (const uint16_t scale : scales) finite &= (scale & 0x7F80u) != 0x7F80u;
        if (!finite) bad.store(block, std::memory_order_relaxed);
      }
    };
    // A piece is small enough to be read from a disk within the time of a cancellation.
    LLMCORE_RETURN_IF_ERROR(
        pool_->ParallelFor(std::min(turn, blocks - first), /*chunk=*/64, control.cancel, body));
    const int64_t found = bad.load(std::memory_order_relaxed);
    if (found != kNone) {
      return absl::InvalidArgumentError(
          absl::StrCat("a scale at byte ", found * block_bytes, " of it is NaN or infinite"));
    }
  }
  return control.Report("check", bytes.size(), bytes.size());
}

absl::Status CpuBackend::PackWeight(const WeightShape& shape, std::span<const SourceMatrix> parts,
                                    void* destination, const core::WorkControl& control) {
  if (WeightBytes(shape) > uint64_t{1} << 62) {
    return absl::InvalidArgumentError("a weight to pack has an impossible shape");
  }
  LLMCORE_RETURN_IF_ERROR(core::CheckSourceParts(shape, parts));
  uint64_t total = 0;
  for (const SourceMatrix& part : parts)
    total += core::SourceRowBytes(part) * static_cast<uint64_t>(part.rows);
  if (total == 0) return control.Report("pack", 0, 0);

  Packer packer(kernels_, shape, parts, destination);
  const bool gated = shape.kind == WeightKind::kGated;
  const int64_t panels = gated ? 2 * PanelCount(shape.rows / 2) : PanelCount(shape.rows);
  const uint64_t bytes_per_panel = core::CeilDivide(total, static_cast<uint64_t>(panels));
  const auto turn = static_cast<int64_t>(std::max<uint64_t>(1, kBytesPerReport / bytes_per_panel));
  for (int64_t first = 0; first < panels; first += turn) {
    LLMCORE_RETURN_IF_ERROR(control.Report(
        "pack", std::min(total, static_cast<uint64_t>(first) * bytes_per_panel), total));
    const int64_t count = std::min(turn, panels - first);
    LLMCORE_RETURN_IF_ERROR(
        pool_->ParallelFor(count, 1, control.cancel, [&](int64_t begin, int64_t end, int) {
          for (int64_t panel = begin; panel < end; ++panel) packer.PackPanel(first + panel);
        }));
    LLMCORE_RETURN_IF_ERROR(packer.status());
  }
  return control.Report("pack", total, total);
}

}  // namespace llmcore::cpu
