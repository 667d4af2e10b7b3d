#include "cuda/batch_upload.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cuda/kernels/rows.h"
#include "lib/base/checked.h"

namespace llmcore::cuda {
namespace {

constexpr uint64_t kLeastBlockTokens = 16;

// 128 bits of all numbers in order: two chains of multiply and rotate with different constants, so
// that two batches of a program's life do not meet. Nobody gains from making them meet.
class Mixer {
 public:
  void Add(int32_t value) {
    const auto v = static_cast<uint32_t>(value);
    low_ = Turn(low_ ^ v) * 0x9E3779B97F4A7C15;
    high_ = Turn(high_ + v) * 0xC2B2AE3D27D4EB4F;
  }
  std::array<uint64_t, 2> value() const { return {low_, high_}; }

 private:
  static uint64_t Turn(uint64_t v) { return v << 27 | v >> 37; }
  uint64_t low_ = 0x243F6A8885A308D3;
  uint64_t high_ = 0x13198A2E03707344;
};

int32_t TileCount(const core::Batch& batch, size_t sequence, int tile_rows) {
  return (batch.first_row[sequence + 1] - batch.first_row[sequence] + tile_rows - 1) / tile_rows;
}

// Calls add(number) for each in the order of BatchView: first_row, first_position, first_tile,
// block_table.
template <typename Add>
void ForEachNumber(const core::Batch& batch, int tile_rows, Add add) {
  const auto sequences = static_cast<size_t>(batch.sequences());
  for (size_t i = 0; i <= sequences; ++i) add(batch.first_row[i]);
  for (size_t i = 0; i < sequences; ++i) add(batch.first_position[i]);
  int32_t tiles = 0;
  for (size_t i = 0; i < sequences; ++i) {
    add(tiles);
    tiles += TileCount(batch, i, tile_rows);
  }
  add(tiles);
  const size_t entries = sequences * static_cast<size_t>(batch.block_table_stride);
  for (size_t i = 0; i < std::min(entries, batch.block_table.size()); ++i) {
    add(batch.block_table[i]);
  }
}

// Cuts a stream of numbers into launches.
class Sender {
 public:
  Sender(Device* device, int32_t* out) : device_(device) { params_.out = out; }

  void Add(int32_t value) {
    params_.values.values[params_.count++] = value;
    if (params_.count == kIndicesALaunch) Flush();
  }
  // Ends with that many zeros.
  absl::Status Finish(int32_t zeros) {
    params_.zeros = zeros;
    Flush();
    return device_->Check(error_, "sending a batch");
  }

 private:
  void Flush() {
    if (params_.count + params_.zeros > 0 && error_ == cudaSuccess) {
      error_ = LaunchUpload(params_, device_->stream());
    }
    params_.out += params_.count;
    params_.count = 0;
  }

  Device* device_;
  UploadKernelParams params_ = {};
  cudaError_t error_ = cudaSuccess;
};

}  // namespace

uint64_t BatchUpload::Bytes(const core::StepLimits& limits) {
  // A row a sequence at worst; its table may have one entry more than its blocks.
  const auto rows = static_cast<uint64_t>(limits.rows);
  const uint64_t table =
      core::CeilDivide(static_cast<uint64_t>(limits.max_context), kLeastBlockTokens) + 2;
  const uint64_t mergers =
      std::min(rows, uint64_t{kSplitRows}) * static_cast<uint64_t>(limits.heads);
  return core::RoundUp((3 * rows + 2 + rows * table + mergers) * sizeof(int32_t), 64) + 64;
}

absl::StatusOr<BatchView> BatchUpload::Send(Device* device, std::span<std::byte> workspace,
                                            const core::Batch& batch, const AttentionGrid& grid) {
  const auto sequences = static_cast<uint64_t>(batch.sequences());
  const uint64_t entries = sequences * static_cast<uint64_t>(batch.block_table_stride);
  const int tile_rows = grid.tile.rows;
  int32_t tiles = 0;
  for (size_t i = 0; i < sequences; ++i) tiles += TileCount(batch, i, tile_rows);
  const int32_t mergers = grid.Mergers(batch.rows(), tiles);
  const uint64_t numbers_count = 3 * sequences + 2 + entries + static_cast<uint64_t>(mergers);
  const uint64_t bytes = core::RoundUp(numbers_count * sizeof(int32_t), 64);
  if (bytes > workspace.size()) {
    return absl::InternalError(
        absl::StrCat("a batch of ", bytes, " bytes in a workspace of ", workspace.size()));
  }
  auto* numbers = reinterpret_cast<int32_t*>(workspace.data());
  BatchView view = {};
  view.first_row = numbers;
  view.first_position = view.first_row + sequences + 1;
  view.first_tile = view.first_position + sequences;
  view.block_table = view.first_tile + sequences + 1;
  view.sequences = batch.sequences();
  view.stride = batch.block_table_stride;
  view.rows = batch.rows();
  view.tiles = tiles;
  view.done = numbers + 3 * sequences + 2 + entries;

  Mixer mixer;
  mixer.Add(view.sequences);
  mixer.Add(view.stride);
  mixer.Add(mergers);
  ForEachNumber(batch, tile_rows, [&](int32_t value) { mixer.Add(value); });
  if (place_ == workspace.data() && fingerprint_ == mixer.value()) return view;
  place_ = nullptr;
  Sender sender(device, numbers);
  ForEachNumber(batch, tile_rows, [&](int32_t value) { sender.Add(value); });
  LLMCORE_RETURN_IF_ERROR(sender.Finish(mergers));
  place_ = workspace.data();
  fingerprint_ = mixer.value();
  bytes_ = bytes;
  return view;
}

}  // namespace llmcore::cuda
