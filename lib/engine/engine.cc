#include "lib/engine/engine.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/engine/plan_memory.h"

namespace llmcore::core {

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(
    const ModelConfig& config, const MemoryPlan& plan, const WeightSource& weights,
    std::unique_ptr<Backend> backend, const WorkControl& control, Scheduler scheduler) {
  std::unique_ptr<Engine> engine(new Engine);
  engine->plan_ = plan;
  engine->scheduler_ = scheduler;
  engine->vocabulary_size_ = config.vocab_size;
  engine->backend_ = std::move(backend);
  Backend& device = *engine->backend_;
  for (int category = 0; category < kMemoryCategories; ++category) {
    const bool weights_of = category == static_cast<int>(MemoryCategory::kWeights);
    const bool on_host = category == static_cast<int>(MemoryCategory::kHost) ||
                         category == static_cast<int>(MemoryCategory::kSwap);
    if (category == static_cast<int>(MemoryCategory::kSwap) && plan.swap_blocks == 0) continue;
    const uint64_t bytes = plan.bytes[category] - (weights_of ? plan.mapped_bytes : 0);
    absl::StatusOr<std::unique_ptr<DeviceMemory>> memory =
        on_host ? device.AllocateHost(bytes) : device.Allocate(bytes);
    if (!memory.ok()) return memory.status();
    engine->memory_.push_back(*std::move(memory));
  }
  const auto memory_of = [&engine](MemoryCategory category) -> const DeviceMemory& {
    return *engine->memory_[static_cast<size_t>(category)];
  };
  const auto arena_of = [&memory_of](MemoryCategory category) {
    return Arena(memory_of(category).data(), memory_of(category).size());
  };
  Arena weight_arena = arena_of(MemoryCategory::kWeights);
  Arena activations = arena_of(MemoryCategory::kActivations);
  Arena host = arena_of(MemoryCategory::kHost);
  LLMCORE_ASSIGN_OR_RETURN(
      const DecoderBuffers buffers,
      Decoder::TakeBuffers(config, DecoderLimitsOf(plan), &activations, &host));
  LLMCORE_ASSIGN_OR_RETURN(const StepBuffers step_buffers, StepBuffers::Take(plan, &host));
  LLMCORE_ASSIGN_OR_RETURN(const std::span<std::byte> record_memory,
                           TakeStepRecord(config, plan, device, &host));
  // What the host keeps for a step is free until there is one.
  const DeviceMemory& host_memory = memory_of(MemoryCategory::kHost);
  device.LendPackingMemory({static_cast<std::byte*>(host_memory.data()), host_memory.size()});
  LLMCORE_ASSIGN_OR_RETURN(
      DecoderWeights decoder_weights,
      LoadWeights(config, plan.weight_format, weights, &device, &weight_arena, control));
  device.LendPackingMemory({});
  const KvShape kv_shape = KvShapeOf(config, plan.kv_format);
  const KvCache cache{kv_shape, memory_of(MemoryCategory::kKvCache).data(), plan.kv_blocks};
  const DeviceMemory& workspace = memory_of(MemoryCategory::kWorkspace);
  engine->decoder_ = std::make_unique<Decoder>(
      config, plan.activation_format, std::move(decoder_weights), buffers, cache,
      device.CreateStepRecorder(config.num_heads, kv_shape, record_memory));
  const BlockPoolShape pool = BlockPoolShapeOf(plan);
  LLMCORE_ASSIGN_OR_RETURN(void* const pool_memory, host.Take(static_cast<uint64_t>(pool.blocks) *
                                                              BlockPool::HostBytesPerBlock(pool)));
  SwapMemory swap_memory;
  std::unique_ptr<BlockPool> swap_pool;
  bool swap_is_full = true;
  if (plan.swap_blocks > 0) {
    Arena swap = arena_of(MemoryCategory::kSwap);
    LLMCORE_ASSIGN_OR_RETURN(swap_memory, SwapMemory::Take(plan, &swap));
    swap_pool = std::make_unique<BlockPool>(SwapPoolShapeOf(plan), swap_memory.pool);
    swap_is_full = swap.full();
  }
  engine->swap_ = swap_memory.blocks;
  engine->sequences_ = std::make_shared<KvSequences>(std::make_shared<BlockPool>(pool, pool_memory),
                                                     plan.kv_block_tokens, std::move(swap_pool));
  const bool host_is_full = host.full() || host_memory.size() == device.PackingHostBytes();
  if (!weight_arena.full() || !activations.full() || !host_is_full || !swap_is_full) {
    return absl::InternalError("the plan has bytes that loading does not need");
  }
  engine->batcher_ = std::make_unique<Batcher>(
      engine->plan_, scheduler,
      Batcher::Device{&device,
                      engine->decoder_.get(),
                      engine->sequences_.get(),
                      &engine->turnstile_,
                      {static_cast<std::byte*>(workspace.data()), workspace.size()},
                      step_buffers,
                      config.vocab_size,
                      engine->swap_});
  LLMCORE_RETURN_IF_ERROR(engine->batcher_->Start());
  return engine;
}

KvSequence Engine::NewSequence() const {
  return KvSequence(sequences_);
}

absl::Status Engine::Extend(KvSequence* sequence, std::span<const int32_t> tokens, int64_t end,
                            int64_t first_logits, const CancelToken* cancel, LogitsSink sink) {
  if (cancel != nullptr && cancel->cancelled()) return CancelledError("computing a step");
  Request request(sequence, tokens, end, first_logits, sink);
  LLMCORE_RETURN_IF_ERROR(Submit(&request));
  return Wait(&request, cancel);
}

absl::Status Engine::Submit(Request* request) {
  const std::span<const int32_t> tokens = request->tokens;
  if (request->end > static_cast<int64_t>(tokens.size()) || request->end > plan_.max_context) {
    return absl::InternalError("a step past the end of its sequence");
  }
  if (request->draw.has_value() && (!draws() || request->first_logits != request->end - 1)) {
    return absl::InternalError("a draw that the device does not do");
  }
  const auto blocks = static_cast<uint64_t>(plan_.kv_blocks);
  const uint64_t wanted = request->sequence->BlocksFor(request->end);
  if (wanted > blocks) {
    return ResourceExhaustedError(absl::StrCat("a sequence of ", request->end, " tokens takes ",
                                               wanted, " blocks of the KV cache, which has ",
                                               blocks, " (kv_cache_tokens makes it larger)"),
                                  (wanted - blocks) * saved_block_bytes());
  }
  // Checked here, since a step that found it would fail for all its members.
  for (int64_t position = request->sequence->length(); position < request->end; ++position) {
    const int32_t token = tokens[static_cast<size_t>(position)];
    if (token < 0 || token >= vocabulary_size_) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", token, " is outside the vocabulary of ", vocabulary_size_));
    }
  }
  return batcher_->Submit(request);
}

absl::StatusOr<bool> Engine::Step() {
  if (scheduler_ != Scheduler::kManual) {
    return absl::FailedPreconditionError(
        "the model steps by itself: only one that is loaded with the scheduler \"manual\" is "
        "stepped");
  }
  return batcher_->Step();
}

uint64_t Engine::saved_block_bytes() const {
  const KvShape& shape = decoder_->cache().shape;
  return backend_->KvBlockBytes(shape) * static_cast<uint64_t>(shape.layers);
}

absl::Status Engine::ReadBlock(BlockId block, std::span<std::byte> bytes) {
  const KvCache& cache = decoder_->cache();
  const uint64_t block_bytes = backend_->KvBlockBytes(cache.shape);
  const Turnstile::Pass pass = turnstile_.Enter();
  for (uint64_t layer = 0; layer < static_cast<uint64_t>(cache.shape.layers); ++layer) {
    const uint64_t index =
        layer * static_cast<uint64_t>(cache.blocks) + static_cast<uint64_t>(block);
    LLMCORE_RETURN_IF_ERROR(
        backend_->CopyToHost(bytes.subspan(layer * block_bytes, block_bytes),
                             static_cast<const std::byte*>(cache.data) + index * block_bytes));
  }
  return absl::OkStatus();
}

void Engine::ReadSwappedBlock(BlockId place, std::span<std::byte> bytes) {
  const Turnstile::Pass pass = turnstile_.Enter();
  std::memcpy(bytes.data(), swap_ + static_cast<uint64_t>(place) * bytes.size(), bytes.size());
}

KvPin Engine::Pin(KvSequence* sequence) {
  // A step may still be copying blocks that it took from the sequence to the host.
  const Turnstile::Pass pass = turnstile_.Enter();
  return KvPin(sequence);
}

absl::Status Engine::FillSequence(
    KvSequence* sequence, int64_t length,
    absl::FunctionRef<absl::StatusOr<std::span<const std::byte>>(size_t index)> next) {
  const KvCache& cache = decoder_->cache();
  const uint64_t block_bytes = backend_->KvBlockBytes(cache.shape);
  if (length <= 0) return absl::OkStatus();
  sequence->PrepareTable(length);
  std::vector<BlockId> table(sequence->BlocksFor(length));
  LLMCORE_ASSIGN_OR_RETURN(KvReservation reservation, sequence->Reserve(length, table));
  for (size_t i = 0; i < table.size(); ++i) {
    LLMCORE_ASSIGN_OR_RETURN(const std::span<const std::byte> bytes, next(i));
    const Turnstile::Pass pass = turnstile_.Enter();
    const auto block = static_cast<uint64_t>(table[i]);
    for (uint64_t layer = 0; layer < static_cast<uint64_t>(cache.shape.layers); ++layer) {
      const uint64_t index = layer * static_cast<uint64_t>(cache.blocks) + block;
      LLMCORE_RETURN_IF_ERROR(
          backend_->CopyToDevice(static_cast<std::byte*>(cache.data) + index * block_bytes,
                                 bytes.subspan(layer * block_bytes, block_bytes)));
    }
  }
  sequence->Commit(std::move(reservation));
  sequence->KeepToItself();  // whoever made the file could make others read what it says
  return absl::OkStatus();
}

PrefixCacheStatistics Engine::prefix_cache() const {
  PrefixCacheStatistics statistics = sequences_->pool().statistics();
  statistics.computed_tokens = batcher_->prompt_tokens();
  return statistics;
}

std::string Engine::KvLayoutName() const {
  return backend_->KvLayoutName(decoder_->cache().shape);
}

}  // namespace llmcore::core
