#include "lib/engine/engine.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/engine/plan_memory.h"
#include "lib/ops/ops.h"

namespace llmcore::core {
namespace {

// Gives back what a step reserved unless it is committed, whichever way the step is left.
class Reservation {
 public:
  explicit Reservation(KvSequence* sequence) : sequence_(sequence) {}
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation() {
    if (sequence_ != nullptr) sequence_->Rollback();
  }
  void Commit(int64_t end) { std::exchange(sequence_, nullptr)->Commit(end); }

 private:
  KvSequence* sequence_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const ModelConfig& config,
                                                       const MemoryPlan& plan,
                                                       const WeightSource& weights,
                                                       std::unique_ptr<Backend> backend,
                                                       const WorkControl& control) {
  std::unique_ptr<Engine> engine(new Engine);
  engine->plan_ = plan;
  engine->vocabulary_size_ = config.vocab_size;
  engine->backend_ = std::move(backend);
  Backend& device = *engine->backend_;
  for (int category = 0; category < kMemoryCategories; ++category) {
    const bool weights_of = category == static_cast<int>(MemoryCategory::kWeights);
    absl::StatusOr<std::unique_ptr<DeviceMemory>> memory =
        device.Allocate(plan.bytes[category] - (weights_of ? plan.mapped_bytes : 0));
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
      Decoder::TakeBuffers(config, {plan.max_batch_tokens, plan.max_context}, &activations, &host));
  LLMCORE_ASSIGN_OR_RETURN(
      DecoderWeights decoder_weights,
      LoadWeights(config, plan.weight_format, weights, &device, &weight_arena, control));
  const KvShape kv_shape = KvShapeOf(config, plan.kv_format);
  const KvCache cache{kv_shape, memory_of(MemoryCategory::kKvCache).data(), plan.kv_blocks};
  const DeviceMemory& workspace = memory_of(MemoryCategory::kWorkspace);
  engine->workspace_ = {static_cast<std::byte*>(workspace.data()), workspace.size()};
  engine->decoder_ = std::make_unique<Decoder>(config, plan.activation_format,
                                               std::move(decoder_weights), buffers, cache);
  engine->pool_ = std::make_shared<BlockPool>(
      plan.kv_blocks, device.KvBlockBytes(kv_shape) * static_cast<uint64_t>(config.num_layers));
  return engine;
}

KvSequence Engine::NewSequence() const {
  return KvSequence(pool_, plan_.kv_block_tokens);
}

absl::Status Engine::Extend(KvSequence* sequence, std::span<const int32_t> tokens, int64_t end,
                            int64_t first_logits, const CancelToken* cancel, LogitsSink sink) {
  if (end > static_cast<int64_t>(tokens.size()) || end > plan_.max_context) {
    return absl::InternalError("a step past the end of its sequence");
  }
  while (sequence->length() < end) {
    const int64_t first = sequence->length();
    int64_t step_end = std::min<int64_t>(end, first + plan_.max_batch_tokens);
    if (step_end > first_logits) {
      // A step gives a limited number of logits: end before the rows that want them, or with as
      // many as it can give.
      const int64_t from = std::max(first, first_logits);
      step_end = std::min<int64_t>(step_end, from + Decoder::kLogitRows);
    }
    LLMCORE_RETURN_IF_ERROR(Step(sequence, tokens, step_end, first_logits, cancel, sink));
  }
  return absl::OkStatus();
}

absl::Status Engine::Step(KvSequence* sequence, std::span<const int32_t> tokens, int64_t end,
                          int64_t first_logits, const CancelToken* cancel, LogitsSink sink) {
  LLMCORE_ASSIGN_OR_RETURN(const Turnstile::Pass pass, turnstile_.Enter(cancel));
  if (cancel != nullptr && cancel->cancelled()) return CancelledError("computing a step");
  const int64_t first = sequence->length();
  Reservation reservation(sequence);
  BlockCopy copy;
  LLMCORE_RETURN_IF_ERROR(sequence->Reserve(end, &copy));
  const StepContext context{workspace_, cancel, tracing_ ? &trace_ : nullptr};
  const TracedStep traced(context.trace, end - first);

  const auto count = static_cast<int32_t>(end - first);
  const std::array<int32_t, 2> first_row = {0, count};
  const std::array<int32_t, 1> first_position = {static_cast<int32_t>(first)};
  std::array<int32_t, Decoder::kLogitRows> logit_rows;
  size_t wanted = 0;
  for (int64_t position = std::max(first, first_logits); position < end; ++position) {
    logit_rows[wanted++] = static_cast<int32_t>(position - first);
  }
  StepInput input;
  input.tokens = tokens.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
  input.batch.first_row = first_row;
  input.batch.first_position = first_position;
  input.batch.block_table = sequence->blocks();
  input.batch.block_table_stride = static_cast<int32_t>(sequence->blocks().size());
  input.logit_rows = std::span(logit_rows).first(wanted);

  if (copy.from >= 0) {
    const std::array<int32_t, 1> from = {copy.from};
    const std::array<int32_t, 1> to = {copy.to};
    LLMCORE_RETURN_IF_ERROR(CopyBlocks(*backend_, context, {decoder_->cache(), from, to}));
  }
  LLMCORE_ASSIGN_OR_RETURN(const std::span<const float> logits,
                           decoder_->Forward(*backend_, context, input));
  const auto vocabulary = static_cast<size_t>(vocabulary_size_);
  for (size_t i = 0; i < wanted; ++i) {
    sink(first + logit_rows[i], logits.subspan(i * vocabulary, vocabulary));
  }
  reservation.Commit(end);
  return absl::OkStatus();
}

void Engine::SetTrace(bool enabled) {
  if (enabled) trace_.Reset();
  tracing_ = enabled;
}

uint64_t Engine::saved_block_bytes() const {
  const KvShape& shape = decoder_->cache().shape;
  return backend_->KvBlockBytes(shape) * static_cast<uint64_t>(shape.layers);
}

absl::Status Engine::ReadBlock(BlockId block, std::span<std::byte> bytes) {
  const KvCache& cache = decoder_->cache();
  const uint64_t block_bytes = backend_->KvBlockBytes(cache.shape);
  LLMCORE_ASSIGN_OR_RETURN(const Turnstile::Pass pass, turnstile_.Enter(nullptr));
  for (uint64_t layer = 0; layer < static_cast<uint64_t>(cache.shape.layers); ++layer) {
    const uint64_t index =
        layer * static_cast<uint64_t>(cache.blocks) + static_cast<uint64_t>(block);
    LLMCORE_RETURN_IF_ERROR(
        backend_->CopyToHost(bytes.subspan(layer * block_bytes, block_bytes),
                             static_cast<const std::byte*>(cache.data) + index * block_bytes));
  }
  return absl::OkStatus();
}

absl::Status Engine::FillSequence(
    KvSequence* sequence, int64_t length,
    absl::FunctionRef<absl::StatusOr<std::span<const std::byte>>(size_t index)> next) {
  const KvCache& cache = decoder_->cache();
  const uint64_t block_bytes = backend_->KvBlockBytes(cache.shape);
  Reservation reservation(sequence);
  BlockCopy copy;
  LLMCORE_RETURN_IF_ERROR(sequence->Reserve(length, &copy));
  for (size_t i = 0; i < sequence->blocks().size(); ++i) {
    LLMCORE_ASSIGN_OR_RETURN(const std::span<const std::byte> bytes, next(i));
    LLMCORE_ASSIGN_OR_RETURN(const Turnstile::Pass pass, turnstile_.Enter(nullptr));
    const auto block = static_cast<uint64_t>(sequence->blocks()[i]);
    for (uint64_t layer = 0; layer < static_cast<uint64_t>(cache.shape.layers); ++layer) {
      const uint64_t index = layer * static_cast<uint64_t>(cache.blocks) + block;
      LLMCORE_RETURN_IF_ERROR(
          backend_->CopyToDevice(static_cast<std::byte*>(cache.data) + index * block_bytes,
                                 bytes.subspan(layer * block_bytes, block_bytes)));
    }
  }
  reservation.Commit(length);
  return absl::OkStatus();
}

std::string Engine::KvLayoutName() const {
  return backend_->KvLayoutName(decoder_->cache().shape);
}

}  // namespace llmcore::core
