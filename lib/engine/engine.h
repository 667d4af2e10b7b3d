// The allocation of one model on its device, and the steps of all its sequences.
#ifndef LLMCORE_LIB_ENGINE_ENGINE_H_
#define LLMCORE_LIB_ENGINE_ENGINE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "lib/backend/backend.h"
#include "lib/base/cancel.h"
#include "lib/base/status.h"
#include "lib/engine/batcher.h"
#include "lib/engine/request.h"
#include "lib/engine/schedule.h"
#include "lib/engine/turnstile.h"
#include "lib/kv/kv_sequence.h"
#include "lib/memory/memory_plan.h"
#include "lib/model/decoder.h"
#include "lib/model/weight_source.h"

namespace llmcore::core {

// Thread rule: every function from any thread, a sequence from one at a time. Sequences that want
// something at the same time share steps; what one computes does not depend on the others.
class Engine {
 public:
  // Allocates what `plan` says and loads the weights into it.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(
      const ModelConfig& config, const MemoryPlan& plan, const WeightSource& weights,
      std::unique_ptr<Backend> backend, const WorkControl& control,
      Scheduler scheduler = Scheduler::kBackground);

  // Of the empty tenant; does not outlive the engine.
  KvSequence NewSequence() const;

  // Computes positions [sequence->length(), end) of `tokens` in steps of at most max_batch_tokens,
  // and gives `sink` the logits of the positions from `first_logits` on, in order. A failed step
  // changes nothing; the steps before it stay. CANCELLED soon after `cancel` (which may be NULL) is
  // set, whatever the step is at.
  absl::Status Extend(KvSequence* sequence, std::span<const int32_t> tokens, int64_t end,
                      int64_t first_logits, const CancelToken* cancel, LogitsSink sink);
  // The two halves of Extend, for a caller with several sequences: what it submits before it waits
  // shares steps. A request whose Submit succeeded is waited for, whatever becomes of the others.
  // RESOURCE_EXHAUSTED: the whole KV cache is too small. Where other sequences hold it, the request
  // waits until they have given up enough, as lib/kv/preemption.h says.
  absl::Status Submit(Request* request);
  absl::Status Wait(Request* request, const CancelToken* cancel) {
    return batcher_->Wait(request, cancel);
  }
  // Waiting without blocking: whether the request is done, or was to be cancelled. Its status is
  // then to be read.
  bool Poll(Request* request, const CancelToken* cancel) { return batcher_->Poll(request, cancel); }
  // Takes back a request that was submitted and is not waited for. What its steps so far computed
  // stays.
  void Withdraw(Request* request) { batcher_->Withdraw(request); }

  // Runs one step in the calling thread. False, at once, when there is nothing that one could do.
  // FAILED_PRECONDITION unless the scheduler is manual.
  absl::StatusOr<bool> Step();

  // Bytes of the KV blocks of one block id, layer by layer, for saved sessions.
  uint64_t saved_block_bytes() const;
  absl::Status ReadBlock(BlockId block, std::span<std::byte> bytes);
  // The same of KvSequence::swapped_blocks.
  void ReadSwappedBlock(BlockId place, std::span<std::byte> bytes);
  // Keeps a sequence as it is between two steps, so that its blocks can be read.
  [[nodiscard]] KvPin Pin(KvSequence* sequence);
  // Fills `sequence`, which is empty, with `length` positions whose blocks `next` gives in order.
  absl::Status FillSequence(
      KvSequence* sequence, int64_t length,
      absl::FunctionRef<absl::StatusOr<std::span<const std::byte>>(size_t index)> next);

  // Traces the steps that begin from now on, from zero, or stops to. A trace that was stopped stays
  // readable.
  void SetTrace(bool enabled) { batcher_->SetTrace(enabled); }
  std::string TraceJson() const { return batcher_->TraceJson(); }

  const MemoryPlan& plan() const { return plan_; }
  int32_t vocabulary_size() const { return vocabulary_size_; }
  bool draws() const { return plan_.draws_on_device; }  // Request::draw
  // Cached ones included.
  int32_t free_kv_blocks() const { return sequences_->pool().free_blocks(); }
  PrefixCacheStatistics prefix_cache() const;
  SwapStatistics swap() const { return sequences_->swap_statistics(); }
  PoolSnapshot SnapshotPool() const { return sequences_->pool().Snapshot(); }
  size_t waiting() const { return batcher_->waiting(); }  // requests that no step has taken yet
  // Batcher::CheckInvariants.
  absl::Status CheckInvariants() const { return batcher_->CheckInvariants(); }
  std::string KvLayoutName() const;
  std::string BackendDescription() const { return backend_->Description(); }

 private:
  Engine() = default;

  MemoryPlan plan_;
  int32_t vocabulary_size_ = 0;
  Scheduler scheduler_ = Scheduler::kBackground;
  std::unique_ptr<Backend> backend_;
  // The whole allocation, in the order of MemoryCategory; destroyed before the backend.
  std::vector<std::unique_ptr<DeviceMemory>> memory_;
  std::byte* swap_ = nullptr;  // [swap_blocks] in memory_, or NULL
  std::unique_ptr<Decoder> decoder_;
  std::shared_ptr<KvSequences> sequences_;
  Turnstile turnstile_;               // held while a step uses the backend and the buffers
  std::unique_ptr<Batcher> batcher_;  // last: its thread uses all of the above
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_ENGINE_ENGINE_H_
