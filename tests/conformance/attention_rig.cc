#include "tests/conformance/attention_rig.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>

namespace llmcore::conformance {

using reference::Table;

std::string Describe(const AttentionShape& shape) {
  std::ostringstream text;
  text << "head_dim " << shape.head_dim << ", heads " << shape.heads << "/" << shape.kv_heads
       << ", window " << shape.window << ", block_tokens " << shape.block_tokens
       << (shape.head_norms ? ", head norms" : "");
  return text.str();
}

TokenStream MakeStream(const AttentionShape& shape, size_t tokens, Random* random) {
  TokenStream stream;
  stream.qkv = RandomTable(tokens, (shape.heads + 2 * shape.kv_heads) * shape.head_dim, 1, random);
  stream.cos_sin = Table(tokens, shape.head_dim);
  const size_t half = shape.head_dim / 2;
  for (size_t position = 0; position < tokens; ++position) {
    for (size_t pair = 0; pair < half; ++pair) {
      const double angle =
          static_cast<double>(position) *
          std::pow(10000.0, -static_cast<double>(pair) / static_cast<double>(half));
      stream.cos_sin.at(position, pair) = static_cast<double>(static_cast<float>(std::cos(angle)));
      stream.cos_sin.at(position, half + pair) =
          static_cast<double>(static_cast<float>(std::sin(angle)));
    }
  }
  return stream;
}

namespace {

// What a cache of the format keeps of one head.
std::function<std::vector<double>(const std::vector<double>&)> StoreOf(core::KvFormat format) {
  const auto each = [](double (*round)(double)) {
    return [round](const std::vector<double>& head) {
      std::vector<double> stored;
      for (const double value : head) stored.push_back(round(value));
      return stored;
    };
  };
  const auto codes = [](int largest) {
    return [largest](const std::vector<double>& head) {
      return reference::DequantizeHead(reference::QuantizeHead(head, largest));
    };
  };
  switch (format) {
    case core::KvFormat::kBf16:
      return each(reference::RoundToBf16);
    case core::KvFormat::kF16:
      return each(reference::RoundToF16);
    case core::KvFormat::kInt8:
      return codes(255);
    case core::KvFormat::kInt4:
      return codes(15);
    default:
      return [](const std::vector<double>& head) { return head; };
  }
}

}  // namespace

AttentionRig::AttentionRig(Harness* harness, const AttentionShape& shape, core::KvFormat format,
                           size_t blocks)
    : harness_(harness), shape_(shape) {
  Random random(static_cast<uint32_t>(blocks + shape.head_dim));
  cache_.shape = {format, static_cast<int32_t>(kLayers), static_cast<int32_t>(shape.kv_heads),
                  static_cast<int32_t>(shape.head_dim), static_cast<int32_t>(shape.block_tokens)};
  cache_.blocks = static_cast<int32_t>(blocks);
  cache_.data = harness->Allocate(kLayers * blocks * harness->backend().KvBlockBytes(cache_.shape));
  reference_ = {
      kLayers, blocks, shape.block_tokens, shape.kv_heads, shape.head_dim, StoreOf(format), {}, {}};
  reference_.Clear();
  free_blocks_.resize(blocks);
  std::iota(free_blocks_.begin(), free_blocks_.end(), 0);
  std::shuffle(free_blocks_.begin(), free_blocks_.end(), random);
  if (shape.head_norms) {
    q_norm_ = RandomVector(shape.head_dim, 1, 0.2, &random);
    k_norm_ = RandomVector(shape.head_dim, 1, 0.2, &random);
    device_q_norm_ = harness->Upload(q_norm_);
    device_k_norm_ = harness->Upload(k_norm_);
  }
  scale_ = 1 / std::sqrt(static_cast<float>(shape.head_dim));
}

int32_t AttentionRig::TakeBlock() {
  if (free_blocks_.empty()) {
    ADD_FAILURE() << "the test needs more blocks";
    return 0;
  }
  const int32_t block = free_blocks_.back();
  free_blocks_.pop_back();
  return block;
}

RigSequence AttentionRig::Start(const TokenStream& stream, Random* random) {
  RigSequence sequence{&stream, 0, {}};
  const size_t count = (stream.qkv.rows + shape_.block_tokens - 1) / shape_.block_tokens;
  for (size_t i = 0; i < count; ++i) sequence.blocks.push_back(TakeBlock());
  std::shuffle(sequence.blocks.begin(), sequence.blocks.end(), *random);
  return sequence;
}

AttentionRig::StepResult AttentionRig::Step(const std::vector<RigRun>& runs, bool with_reference) {
  std::vector<int32_t> first_row = {0};
  std::vector<int32_t> first_position;
  size_t stride = 1;
  for (const RigRun& run : runs) {
    first_row.push_back(first_row.back() + static_cast<int32_t>(run.count));
    first_position.push_back(static_cast<int32_t>(run.sequence->position));
    stride = std::max(stride, run.sequence->blocks.size() + 1);
  }
  const auto rows = static_cast<size_t>(first_row.back());
  // Entries behind a sequence's last block are never valid.
  std::vector<int32_t> block_table(runs.size() * stride, -1);
  Table qkv(rows, (shape_.heads + 2 * shape_.kv_heads) * shape_.head_dim);
  Table cos_sin(rows, shape_.head_dim);
  std::vector<reference::SequenceRun> reference_runs;
  for (size_t i = 0; i < runs.size(); ++i) {
    RigSequence& sequence = *runs[i].sequence;
    const auto row = static_cast<size_t>(first_row[i]);
    const size_t needed =
        (sequence.position + runs[i].count + shape_.block_tokens - 1) / shape_.block_tokens;
    std::copy_n(sequence.blocks.begin(), needed,
                block_table.begin() + static_cast<ptrdiff_t>(i * stride));
    for (const auto& [from, to] :
         {std::pair(&sequence.stream->qkv, &qkv), std::pair(&sequence.stream->cos_sin, &cos_sin)}) {
      std::copy_n(from->values.begin() + static_cast<ptrdiff_t>(sequence.position * from->columns),
                  runs[i].count * from->columns,
                  to->values.begin() + static_cast<ptrdiff_t>(row * to->columns));
    }
    reference_runs.push_back({row, runs[i].count, sequence.position, sequence.blocks});
    sequence.position += runs[i].count;
  }
  core::Batch batch;
  batch.first_row = first_row;
  batch.first_position = first_position;
  batch.block_table = block_table;
  batch.block_table_stride = static_cast<int32_t>(stride);

  StepResult result;
  RunBackend(qkv, cos_sin, batch, &result);
  if (!with_reference) return result;
  reference::RopeAppend(shape_.heads, q_norm_, k_norm_, static_cast<double>(epsilon_), cos_sin,
                        kLayer, reference_runs, &qkv, &reference_);
  result.expected_out = reference::Attention(qkv, shape_.heads, static_cast<double>(scale_),
                                             shape_.window, kLayer, reference_runs, reference_);
  const size_t q_columns = shape_.heads * shape_.head_dim;
  result.expected_q = Table(rows, q_columns);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t i = 0; i < q_columns; ++i) result.expected_q.at(row, i) = qkv.at(row, i);
  }
  return result;
}

void AttentionRig::RunBackend(const Table& qkv, const Table& cos_sin, const core::Batch& batch,
                              StepResult* result) {
  core::RopeAppendParams append;
  append.qkv = harness_->Upload(qkv);
  append.heads = static_cast<int32_t>(shape_.heads);
  append.q_norm = device_q_norm_;
  append.k_norm = device_k_norm_;
  append.norm_epsilon = epsilon_;
  append.cos_sin = harness_->Upload(cos_sin.values);
  append.cache = cache_;
  append.layer = static_cast<int32_t>(kLayer);
  append.batch = batch;
  const absl::Status appended = harness_->backend().RopeAppend(harness_->Context(), append);
  ASSERT_TRUE(appended.ok()) << appended;

  core::AttentionParams params;
  params.qkv = append.qkv;
  params.heads = append.heads;
  params.scale = scale_;
  params.window = static_cast<int32_t>(shape_.window);
  params.cache = cache_;
  params.layer = append.layer;
  params.batch = batch;
  const size_t q_columns = shape_.heads * shape_.head_dim;
  params.out = harness_->NewMatrix(qkv.rows, q_columns);
  const absl::Status attended = harness_->backend().Attention(harness_->Context(), params);
  ASSERT_TRUE(attended.ok()) << attended;
  result->out = harness_->Read(params.out);
  const std::vector<float> after = harness_->Read(append.qkv);
  for (size_t row = 0; row < qkv.rows; ++row) {
    const auto begin = after.begin() + static_cast<ptrdiff_t>(row * qkv.columns);
    result->q.insert(result->q.end(), begin, begin + static_cast<ptrdiff_t>(q_columns));
  }
}

void AttentionRig::Copy(const std::vector<int32_t>& from, const std::vector<int32_t>& to) {
  core::CopyBlocksParams params;
  params.cache = cache_;
  params.from = from;
  params.to = to;
  const absl::Status copied = harness_->backend().CopyBlocks(harness_->Context(), params);
  ASSERT_TRUE(copied.ok()) << copied;
  reference::CopyBlocks(from, to, &reference_);
}

void AttentionRig::CopyThroughHost(const std::vector<int32_t>& from,
                                   const std::vector<int32_t>& to) {
  core::Backend& backend = harness_->backend();
  core::SwapBlocksParams params;
  params.cache = cache_;
  params.host_places = static_cast<int32_t>(from.size()) + 2;
  const uint64_t place_bytes = backend.KvBlockBytes(cache_.shape) * kLayers;
  const auto host = backend.AllocateHost(place_bytes * static_cast<uint64_t>(params.host_places));
  ASSERT_TRUE(host.ok()) << host.status();
  params.host = static_cast<std::byte*>((*host)->data());
  std::vector<int32_t> places(from.size());  // not the first, nor in order, nor the last
  for (size_t i = 0; i < places.size(); ++i) places[i] = static_cast<int32_t>(places.size() - i);
  params.places = places;
  params.direction = core::SwapBlocksParams::Direction::kOut;
  params.blocks = from;
  absl::Status copied = backend.SwapBlocks(harness_->Context(), params);
  ASSERT_TRUE(copied.ok()) << copied;
  ASSERT_TRUE(backend.Synchronize().ok());
  const std::span<const std::byte> last(
      params.host + place_bytes * static_cast<uint64_t>(params.host_places - 1), place_bytes);
  for (const std::byte byte : last) ASSERT_EQ(byte, std::byte{0});
  params.direction = core::SwapBlocksParams::Direction::kIn;
  params.blocks = to;
  copied = backend.SwapBlocks(harness_->Context(), params);
  ASSERT_TRUE(copied.ok()) << copied;
  ASSERT_TRUE(backend.Synchronize().ok());  // before `host` goes
  reference::CopyBlocks(from, to, &reference_);
}

}  // namespace llmcore::conformance
