// How an operation uses its scratch memory: what all threads share first (converted activations,
// records of attention), then one piece for each thread.
#ifndef LLMCORE_LIB_CPU_WORKSPACE_H_
#define LLMCORE_LIB_CPU_WORKSPACE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/strings/str_cat.h"
#include "lib/base/checked.h"
#include "lib/base/status.h"
#include "lib/cpu/kernels.h"
#include "lib/cpu/layout.h"

namespace llmcore::cpu {

// Most rows of one piece of work of a linear layer: 12 tiles. Their sums (18 KB), one block of
// their activations (10 KB) and one block of the weight (8 KB) fit into a first-level cache of 48
// KB; 48 and 96 rows were 1 and 3% slower (512 x 2048 x 8192 in int4, one Sapphire Rapids core).
inline constexpr int64_t kRowChunk = 12 * kTokenTile;

// Queries of one piece of work of attention, unless a group of heads is larger: each tile of keys
// that comes out of the second-level cache or from further away serves that many.
inline constexpr int64_t kAttentionQueries = 64;

// Bytes of `rows` quantized rows.
inline uint64_t ActivationBytes(int64_t rows, int64_t columns) {
  const auto blocks = static_cast<uint64_t>((columns + kBlock - 1) / kBlock);
  return core::RoundUp(static_cast<uint64_t>(rows) * blocks * kActivationBlockBytes, 64);
}

// Bytes of `rows` rows in bf16: as blocks, or as rows of f32 (RoundRowArgs).
inline uint64_t Bf16BlockBytes(int64_t rows, int64_t columns) {
  const auto blocks = static_cast<uint64_t>((columns + kBlock - 1) / kBlock);
  return core::RoundUp(static_cast<uint64_t>(rows) * blocks * kBf16BlockBytes, 64);
}
inline uint64_t Bf16RowBytes(int64_t rows, int64_t columns) {
  return core::RoundUp(static_cast<uint64_t>(rows) * static_cast<uint64_t>(columns) * 4, 64);
}

// A thread's piece in a linear layer: sums of two panels, and one block of a weight in f32.
inline constexpr uint64_t kLinearThreadBytes =
    (2 * kRowChunk * kPanelRows + kF32Block * kPanelRows) * sizeof(float);

inline uint64_t AttentionThreadBytes(int64_t queries, int64_t head_dim) {
  return core::RoundUp(
      static_cast<uint64_t>(AttentionScratchFloats(queries, head_dim)) * sizeof(float), 64);
}

// Records of one row's chunks of keys for `queries` heads, where threads share them out.
inline uint64_t AttentionRecordBytes(int64_t chunks, int64_t queries, int64_t head_dim) {
  return core::RoundUp(
      static_cast<uint64_t>(chunks * queries * AttentionRecordFloats(head_dim)) * sizeof(float),
      64);
}

// A workspace cut into `shared` bytes and `per_thread` bytes for each of `threads`.
class Workspace {
 public:
  static absl::StatusOr<Workspace> Cut(std::span<std::byte> memory, uint64_t shared,
                                       uint64_t per_thread, int threads) {
    const uint64_t needed = shared + per_thread * static_cast<uint64_t>(threads);
    if (memory.size() < needed) {
      return absl::InternalError(absl::StrCat("the workspace of a step has ", memory.size(),
                                              " bytes, this operation needs ", needed));
    }
    return Workspace(memory.data(), memory.data() + shared, per_thread);
  }

  unsigned char* shared() const { return reinterpret_cast<unsigned char*>(shared_); }
  float* thread(int number) const {
    return reinterpret_cast<float*>(threads_ + static_cast<uint64_t>(number) * per_thread_);
  }

 private:
  Workspace(std::byte* shared, std::byte* threads, uint64_t per_thread)
      : shared_(shared), threads_(threads), per_thread_(per_thread) {}

  std::byte* shared_;
  std::byte* threads_;
  uint64_t per_thread_;
};

}  // namespace llmcore::cpu

#endif  // LLMCORE_LIB_CPU_WORKSPACE_H_
