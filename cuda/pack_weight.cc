// PackWeight: rows are gathered in pinned memory, which the kernel reads where it is, and are
// quantized, permuted and checked on the device. Two buffers take turns: one is filled while the
// other is read.
#include <algorithm>
#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cuda/cuda_backend.h"
#include "cuda/kernels/pack.h"
#include "cuda/shapes.h"
#include "lib/backend/source_matrix.h"
#include "lib/base/checked.h"
#include "lib/tensor/int4.h"

namespace llmcore::cuda {
namespace {

using core::DType;
using core::SourceMatrix;
using core::WeightFormat;
using core::WeightKind;
using core::WeightShape;

// Of a launch, with what comes back: a fraction of a millisecond of a PCIe bus.
constexpr uint64_t kChunkBytes = uint64_t{8} << 20;
constexpr uint64_t kChunks = 2;
constexpr uint64_t kAlignment = 256;  // of the four parts of a chunk
constexpr int64_t kMostRows = 32768;  // of a launch; a grid's y has 65535

PackSource SourceOf(const SourceMatrix& part) {
  if (part.format == WeightFormat::kInt8) return PackSource::kInt8;
  if (part.format == WeightFormat::kInt4) return PackSource::kInt4;
  if (part.format == WeightFormat::kInt4Zeros) return PackSource::kInt4Zeros;
  return part.dtype == DType::kF32    ? PackSource::kF32
         : part.dtype == DType::kBf16 ? PackSource::kBf16
                                      : PackSource::kF16;
}

// One of the two buffers: rows, their scales and zero points, and what the kernel says of them.
struct Chunk {
  std::byte* rows = nullptr;
  std::byte* scales = nullptr;
  std::byte* zeros = nullptr;
  unsigned char* bad = nullptr;
  // Of the launch that is under way; no rows when there is none.
  int64_t first_row = 0;  // over all parts
  int64_t count = 0;
};

class Packer {
 public:
  Packer(Device* device, const WeightShape& shape, std::span<const SourceMatrix> parts,
         void* destination)
      : device_(device), shape_(shape), parts_(parts), groups_(Groups(shape.columns)) {
    params_.columns = static_cast<int32_t>(shape.columns);
    params_.groups = static_cast<int32_t>(groups_);
    params_.storage = StorageOf(shape.format);
    params_.out = static_cast<unsigned char*>(destination);
  }

  // In `memory`, which kernels reach.
  absl::Status Run(std::span<std::byte> memory, const core::WorkControl& control) {
    uint64_t row_bytes = 1;
    for (const SourceMatrix& part : parts_) {
      row_bytes = std::max(row_bytes, core::SourceRowBytes(part));
      total_ += core::SourceRowBytes(part) * static_cast<uint64_t>(part.rows);
    }
    LLMCORE_RETURN_IF_ERROR(control.Report("pack", 0, total_));
    if (total_ == 0) return absl::OkStatus();
    LLMCORE_RETURN_IF_ERROR(CutChunks(memory, row_bytes));
    const absl::Status status = PackParts(control);
    // The buffers go away: what reads them has to be over, whatever happened.
    const absl::Status done = device_->Synchronize("packing a weight");
    LLMCORE_RETURN_IF_ERROR(status);
    LLMCORE_RETURN_IF_ERROR(done);
    LLMCORE_RETURN_IF_ERROR(InspectAll());
    return control.Report("pack", total_, total_);
  }

 private:
  // As many rows a chunk as fit, with all that belongs to them.
  absl::Status CutChunks(std::span<std::byte> memory, uint64_t row_bytes) {
    const uint64_t groups = static_cast<uint64_t>(groups_);
    const uint64_t count = (kChunkBytes - 4 * kAlignment) / (row_bytes + 4 * groups);
    if (count == 0) {
      return absl::UnimplementedError(absl::StrCat("weights with rows of ", row_bytes,
                                                   " bytes on CUDA: at most ", kChunkBytes));
    }
    rows_ = std::min({static_cast<int64_t>(count), kMostRows, shape_.rows});
    const uint64_t source = core::RoundUp(static_cast<uint64_t>(rows_) * row_bytes, kAlignment);
    const uint64_t scales = core::RoundUp(static_cast<uint64_t>(rows_) * groups * 2, kAlignment);
    const uint64_t zeros = core::RoundUp(static_cast<uint64_t>(rows_) * groups, kAlignment);
    std::byte* begin = memory.data();
    for (Chunk& chunk : chunks_) {
      chunk.rows = begin;
      chunk.scales = begin + source;
      chunk.zeros = chunk.scales + scales;
      chunk.bad = reinterpret_cast<unsigned char*>(chunk.zeros + zeros);
      begin += kChunkBytes;
    }
    return absl::OkStatus();
  }

  absl::Status PackParts(const core::WorkControl& control) {
    int64_t first_row = 0;
    for (size_t part = 0; part < parts_.size(); ++part) {
      const bool gated = shape_.kind == WeightKind::kGated;
      params_.first_tile = gated ? static_cast<int32_t>(part) : 0;
      params_.tile_step = gated ? 2 : 1;
      const int64_t destination = gated ? 0 : first_row;
      for (int64_t row = 0; row < parts_[part].rows; row += rows_) {
        const int64_t count = std::min(rows_, parts_[part].rows - row);
        LLMCORE_RETURN_IF_ERROR(Send(parts_[part], row, count, destination + row, first_row + row));
        LLMCORE_RETURN_IF_ERROR(control.Report("pack", sent_, total_));
      }
      first_row += parts_[part].rows;
      // Rows that fill up the last tile; the next part of a plain weight goes on in it.
      const bool last = gated || part + 1 == parts_.size();
      const int64_t end = destination + parts_[part].rows;
      if (last && end % kTileRows != 0) {
        LLMCORE_RETURN_IF_ERROR(FillUp(end, kTileRows - end % kTileRows));
      }
    }
    return absl::OkStatus();
  }

  // Rows [row, row + count) of a part to rows from `destination` on; `first_row` over all parts.
  absl::Status Send(const SourceMatrix& part, int64_t row, int64_t count, int64_t destination,
                    int64_t first_row) {
    Chunk& chunk = chunks_[turn_];
    if (chunk.count > 0) {
      LLMCORE_RETURN_IF_ERROR(device_->Synchronize("packing a weight"));
      LLMCORE_RETURN_IF_ERROR(InspectAll());
    }
    turn_ = (turn_ + 1) % chunks_.size();
    const uint64_t row_bytes = core::SourceRowBytes(part);
    const uint64_t bytes = row_bytes * static_cast<uint64_t>(count);
    std::memcpy(chunk.rows, part.data + row_bytes * static_cast<uint64_t>(row), bytes);
    const uint64_t groups = core::Int4ScaleCount(static_cast<uint64_t>(part.columns));
    const auto take = [&](const std::byte* from, uint64_t element, std::byte* to) {
      if (from == nullptr) return;
      std::memcpy(to, from + groups * element * static_cast<uint64_t>(row),
                  groups * element * static_cast<uint64_t>(count));
    };
    take(part.scales, 2, chunk.scales);
    take(part.zeros, 1, chunk.zeros);
    params_.source = SourceOf(part);
    params_.data = reinterpret_cast<const unsigned char*>(chunk.rows);
    params_.row_bytes = static_cast<int64_t>(row_bytes);
    params_.scales = reinterpret_cast<const uint16_t*>(chunk.scales);
    params_.zeros = reinterpret_cast<const unsigned char*>(chunk.zeros);
    params_.rows = static_cast<int32_t>(count);
    params_.first_row = destination;
    params_.bad = chunk.bad;
    LLMCORE_RETURN_IF_ERROR(Launch());
    chunk.first_row = first_row;
    chunk.count = count;
    sent_ += bytes;
    return absl::OkStatus();
  }

  absl::Status FillUp(int64_t destination, int64_t count) {
    PackKernelParams saved = params_;
    params_.source = PackSource::kZeros;
    params_.rows = static_cast<int32_t>(count);
    params_.first_row = destination;
    params_.bad = nullptr;
    const absl::Status status = Launch();
    params_ = saved;
    return status;
  }

  absl::Status Launch() {
    return device_->Check(LaunchPack(params_, device_->stream()), "packing a weight");
  }

  // From the older launch to the newer, so that the first unusable value is named.
  absl::Status InspectAll() {
    for (size_t i = 0; i < chunks_.size(); ++i) {
      LLMCORE_RETURN_IF_ERROR(Inspect(chunks_[(turn_ + i) % chunks_.size()]));
    }
    return absl::OkStatus();
  }

  // The first unusable value of a launch that is over, as an error.
  absl::Status Inspect(Chunk& chunk) {
    const int64_t count = std::exchange(chunk.count, 0) * groups_;
    const unsigned char* end = chunk.bad + count;
    const unsigned char* bad = std::find_if(chunk.bad, const_cast<unsigned char*>(end),
                                            [](unsigned char value) { return value != kNoneBad; });
    if (bad == end) return absl::OkStatus();
    const int64_t at = bad - chunk.bad;
    const int64_t row = chunk.first_row + at / groups_;
    const int64_t column = at % groups_ * kGroup + *bad;
    return core::UnusableValueError(shape_, parts_, row * shape_.columns + column);
  }

  Device* const device_;
  const WeightShape shape_;
  const std::span<const SourceMatrix> parts_;
  const int64_t groups_;
  PackKernelParams params_ = {};
  std::array<Chunk, kChunks> chunks_;
  size_t turn_ = 0;
  int64_t rows_ = 0;  // of a chunk
  uint64_t total_ = 0;
  uint64_t sent_ = 0;
};

}  // namespace

absl::Status CudaBackend::PackWeight(const WeightShape& shape, std::span<const SourceMatrix> parts,
                                     void* destination, const core::WorkControl& control) {
  LLMCORE_RETURN_IF_ERROR(device_->Enter());
  if (WeightBytes(shape) > uint64_t{1} << 62) {
    return absl::InvalidArgumentError("a weight to pack has an impossible shape");
  }
  LLMCORE_RETURN_IF_ERROR(core::CheckSourceParts(shape, parts));
  uploaded_.Forget();
  std::unique_ptr<core::DeviceMemory> own;
  std::span<std::byte> memory = packing_memory_;
  if (memory.size() < PackingHostBytes()) {
    LLMCORE_ASSIGN_OR_RETURN(own, AllocatePinned(device_, PackingHostBytes()));
    memory = {static_cast<std::byte*>(own->data()), own->size()};
  }
  return Packer(device_.get(), shape, parts, destination).Run(memory, control);
}

uint64_t CudaBackend::PackingHostBytes() const {
  return kChunks * kChunkBytes;
}

}  // namespace llmcore::cuda
