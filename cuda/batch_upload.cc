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

int64_t LongestSequence(const core::Batch& batch) {
  int64_t longest = 0;
  for (size_t i = 0; i < batch.first_position.size(); ++i) {
    const int32_t count = batch.first_row[i + 1] - batch.first_row[i];
    if (count > 0) longest = std::max(longest, int64_t{batch.first_position[i]} + count);
  }
  return longest;
}

// Calls add(number) for each in the order of BatchView: first_row, first_position, first_tile,
// block_table.
template <typename Add>
void ForEachNumber(const core::Batch& batch, const BatchLayout& layout, int tile_rows, Add add) {
  const auto sequences = static_cast<size_t>(layout.sequences);
  for (size_t i = 0; i <= sequences; ++i) add(batch.first_row[i]);
  for (size_t i = 0; i < sequences; ++i) add(batch.first_position[i]);
  int32_t tiles = 0;
  for (size_t i = 0; i < sequences; ++i) {
    add(tiles);
    tiles += TileCount(batch, i, tile_rows);
  }
  add(tiles);
  // The last table may end with the last block of its sequence.
  for (size_t i = 0; i < sequences; ++i) {
    const size_t table = i * static_cast<size_t>(batch.block_table_stride);
    for (size_t b = table; b < table + static_cast<size_t>(layout.stride); ++b) {
      add(b < batch.block_table.size() ? batch.block_table[b] : 0);
    }
  }
}

std::array<uint64_t, 2> FingerprintOf(const core::Batch& batch, const BatchLayout& layout,
                                      int tile_rows) {
  Mixer mixer;
  for (const int32_t value : {layout.sequences, layout.stride, layout.splits, layout.mergers}) {
    mixer.Add(value);
  }
  ForEachNumber(batch, layout, tile_rows, [&](int32_t value) { mixer.Add(value); });
  return mixer.value();
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

BatchLayout::BatchLayout(const core::Batch& batch, const AttentionGrid& grid)
    : sequences(batch.sequences()), rows(batch.rows()), splits(SplitsOf(LongestSequence(batch))) {
  for (size_t i = 0; i < batch.first_position.size(); ++i) {
    tiles += TileCount(batch, i, grid.tile.rows);
  }
  mergers = grid.Mergers(rows, tiles);
  const int64_t blocks =
      (int64_t{splits} * kSplitPositions + grid.block_tokens - 1) / grid.block_tokens;
  stride = static_cast<int32_t>(std::min(blocks, int64_t{batch.block_table_stride}));
}

uint64_t BatchLayout::bytes() const {
  const uint64_t count = 3 * static_cast<uint64_t>(sequences) + 2 +
                         static_cast<uint64_t>(sequences) * static_cast<uint64_t>(stride) +
                         static_cast<uint64_t>(mergers);
  return core::RoundUp(count * sizeof(int32_t), 64);
}

BatchView BatchLayout::ViewAt(int32_t* numbers) const {
  BatchView view = {};
  view.first_row = numbers;
  view.first_position = view.first_row + sequences + 1;
  view.first_tile = view.first_position + sequences;
  view.block_table = view.first_tile + sequences + 1;
  view.sequences = sequences;
  view.stride = stride;
  view.rows = rows;
  view.tiles = tiles;
  view.splits = splits;
  view.done = numbers + 3 * int64_t{sequences} + 2 + int64_t{sequences} * stride;
  return view;
}

void WriteBatch(const core::Batch& batch, const AttentionGrid& grid, const BatchLayout& layout,
                int32_t* out) {
  ForEachNumber(batch, layout, grid.tile.rows, [&](int32_t value) { *out++ = value; });
  std::fill_n(out, layout.mergers, 0);
}

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
  const BatchLayout layout(batch, grid);
  if (layout.bytes() > workspace.size()) {
    return absl::InternalError(
        absl::StrCat("a batch of ", layout.bytes(), " bytes in a workspace of ", workspace.size()));
  }
  auto* numbers = reinterpret_cast<int32_t*>(workspace.data());
  const BatchView view = layout.ViewAt(numbers);
  const Fingerprint fingerprint = FingerprintOf(batch, layout, grid.tile.rows);
  if (place_ == workspace.data() && fingerprint_ == fingerprint) return view;
  if (recording_) return NotRecorded();
  place_ = nullptr;
  Sender sender(device, numbers);
  ForEachNumber(batch, layout, grid.tile.rows, [&](int32_t value) { sender.Add(value); });
  LLMCORE_RETURN_IF_ERROR(sender.Finish(layout.mergers));
  place_ = workspace.data();
  fingerprint_ = fingerprint;
  bytes_ = layout.bytes();
  return view;
}

void BatchUpload::BeginRecord(const std::byte* place, uint64_t bytes, const core::Batch& batch,
                              const AttentionGrid& grid, std::span<const RecordedNumbers> others) {
  place_ = place;
  fingerprint_ = FingerprintOf(batch, BatchLayout(batch, grid), grid.tile.rows);
  bytes_ = bytes;
  recording_ = true;
  others_ = others;
}

void BatchUpload::Forget() {
  place_ = nullptr;
  recording_ = false;
  others_ = {};
}

absl::StatusOr<const int32_t*> BatchUpload::Recorded(std::span<const int32_t> numbers) const {
  if (!recording_) return nullptr;
  for (const RecordedNumbers& other : others_) {
    if (other.numbers.data() == numbers.data() && other.numbers.size() == numbers.size()) {
      return other.on_device;
    }
  }
  return NotRecorded();
}

absl::Status BatchUpload::NotRecorded() {
  return absl::InternalError("a step that is recorded uses numbers that are not the step's");
}

}  // namespace llmcore::cuda
