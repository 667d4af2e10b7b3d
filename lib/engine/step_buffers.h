// The input of a step in host memory: ids, runs, block tables. Taken once, for the largest step.
#ifndef LLMCORE_LIB_ENGINE_STEP_BUFFERS_H_
#define LLMCORE_LIB_ENGINE_STEP_BUFFERS_H_

#include <cstdint>
#include <span>

#include "lib/base/checked.h"
#include "lib/base/status.h"
#include "lib/kv/kv_sequence.h"
#include "lib/memory/arena.h"
#include "lib/memory/memory_plan.h"
#include "lib/model/decoder.h"

namespace llmcore::core {

class StepBuffers {
 public:
  StepBuffers() = default;

  // Cuts the buffers for steps of `plan` from `host`.
  static absl::StatusOr<StepBuffers> Take(const MemoryPlan& plan, Arena* host) {
    StepBuffers buffers;
    buffers.table_stride_ = static_cast<int32_t>(CeilDivide(
        static_cast<uint64_t>(plan.max_context), static_cast<uint64_t>(plan.kv_block_tokens)));
    const auto rows = static_cast<uint64_t>(plan.max_batch_tokens);
    const auto sequences = static_cast<uint64_t>(plan.max_batch_sequences);
    const auto stride = static_cast<uint64_t>(buffers.table_stride_);
    LLMCORE_ASSIGN_OR_RETURN(buffers.tokens_, host->TakeArray<int32_t>(rows));
    LLMCORE_ASSIGN_OR_RETURN(buffers.first_row_, host->TakeArray<int32_t>(sequences + 1));
    LLMCORE_ASSIGN_OR_RETURN(buffers.first_position_, host->TakeArray<int32_t>(sequences));
    LLMCORE_ASSIGN_OR_RETURN(buffers.block_table_, host->TakeArray<BlockId>(sequences * stride));
    LLMCORE_ASSIGN_OR_RETURN(buffers.logit_rows_, host->TakeArray<int32_t>(sequences));
    LLMCORE_ASSIGN_OR_RETURN(buffers.copy_from_, host->TakeArray<BlockId>(sequences));
    LLMCORE_ASSIGN_OR_RETURN(buffers.copy_to_, host->TakeArray<BlockId>(sequences));
    // What comes back takes blocks of its own, so that there are no more than the cache has.
    const auto swapped = static_cast<uint64_t>(plan.swap_blocks > 0 ? plan.kv_blocks : 0);
    LLMCORE_ASSIGN_OR_RETURN(buffers.swap_in_places_, host->TakeArray<BlockId>(swapped));
    LLMCORE_ASSIGN_OR_RETURN(buffers.swap_in_blocks_, host->TakeArray<BlockId>(swapped));
    if (plan.draws_on_device) {
      LLMCORE_ASSIGN_OR_RETURN(buffers.drawn_rows_, host->TakeArray<int32_t>(sequences));
      LLMCORE_ASSIGN_OR_RETURN(buffers.draws_, host->TakeArray<TokenDraw>(sequences));
    }
    return buffers;
  }

  void Clear() {
    sequences_ = 0;
    logits_ = 0;
    draws_count_ = 0;
    copies_ = 0;
    swapped_in_ = 0;
    first_row_[0] = 0;
  }

  // The block table of the run that AddRun adds next.
  std::span<BlockId> next_table() {
    return {block_table_ + sequences_ * static_cast<size_t>(table_stride_),
            static_cast<size_t>(table_stride_)};
  }

  // Blocks of that table that come from places in the host's memory.
  void AddSwapIn(std::span<const BlockId> places, std::span<const BlockId> blocks) {
    std::copy(places.begin(), places.end(), swap_in_places_ + swapped_in_);
    std::copy(blocks.begin(), blocks.end(), swap_in_blocks_ + swapped_in_);
    swapped_in_ += blocks.size();
  }

  // Adds positions first, first + 1, ... with these tokens, whose blocks are in next_table; of the
  // last `logit_rows` the logits are wanted.
  void AddRun(std::span<const int32_t> tokens, int64_t first, int32_t logit_rows, BlockCopy copy) {
    const int32_t row = first_row_[sequences_];
    const auto count = static_cast<int32_t>(tokens.size());
    std::copy(tokens.begin(), tokens.end(), tokens_ + row);
    first_position_[sequences_] = static_cast<int32_t>(first);
    first_row_[++sequences_] = row + count;
    for (int32_t i = count - logit_rows; i < count; ++i) logit_rows_[logits_++] = row + i;
    if (copy.from >= 0) {
      copy_from_[copies_] = copy.from;
      copy_to_[copies_++] = copy.to;
    }
  }

  // Draws a token from the last row of the run that was added last. With
  // MemoryPlan::draws_on_device only.
  void AddDraw(const TokenDraw& draw) {
    drawn_rows_[draws_count_] = rows() - 1;
    draws_[draws_count_++] = draw;
  }

  int32_t rows() const { return first_row_[sequences_]; }
  StepInput input() const {
    StepInput input;
    input.tokens = {tokens_, static_cast<size_t>(rows())};
    input.batch.first_row = {first_row_, sequences_ + 1};
    input.batch.first_position = {first_position_, sequences_};
    input.batch.block_table = {block_table_, sequences_ * static_cast<size_t>(table_stride_)};
    input.batch.block_table_stride = table_stride_;
    input.logit_rows = {logit_rows_, logits_};
    input.drawn_rows = {drawn_rows_, draws_count_};
    input.draws = {draws_, draws_count_};
    return input;
  }
  std::span<const BlockId> copy_from() const { return {copy_from_, copies_}; }
  std::span<const BlockId> copy_to() const { return {copy_to_, copies_}; }
  std::span<const BlockId> swap_in_places() const { return {swap_in_places_, swapped_in_}; }
  std::span<const BlockId> swap_in_blocks() const { return {swap_in_blocks_, swapped_in_}; }

 private:
  int32_t* tokens_ = nullptr;          // [max_batch_tokens]
  int32_t* first_row_ = nullptr;       // [max_batch_sequences + 1]
  int32_t* first_position_ = nullptr;  // [max_batch_sequences]
  BlockId* block_table_ = nullptr;     // [max_batch_sequences, table_stride_]
  int32_t* logit_rows_ = nullptr;      // [max_batch_sequences]
  int32_t* drawn_rows_ = nullptr;      // [max_batch_sequences]
  TokenDraw* draws_ = nullptr;         // [max_batch_sequences]
  BlockId* copy_from_ = nullptr;       // [max_batch_sequences]
  BlockId* copy_to_ = nullptr;         // [max_batch_sequences]
  BlockId* swap_in_places_ = nullptr;  // [kv_blocks], where there is swap memory
  BlockId* swap_in_blocks_ = nullptr;  // likewise
  int32_t table_stride_ = 0;           // blocks of max_context positions
  size_t sequences_ = 0;
  size_t logits_ = 0;
  size_t draws_count_ = 0;
  size_t copies_ = 0;
  size_t swapped_in_ = 0;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_ENGINE_STEP_BUFFERS_H_
