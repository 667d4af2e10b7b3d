// What a device must offer: memory, packed weights and the operation table of a decoder. The
// decoder (lib/model) is written once over this interface; lib/ops checks shapes before a call
// reaches it.
//
// Rules for implementations:
//  1. No operation allocates. Scratch memory is what WorkspaceBytes promised, given at creation of
//  a
//     step (StepContext::workspace).
//  2. The bits of a row do not depend on the other rows of a call, on how a sequence was cut into
//     calls, nor on the number of threads: work is split over output columns, heads and rows, and
//     every sum runs over its terms in one fixed order. A backend that was created to be faster
//     than that may have exceptions (CudaBackendOptions).
//  3. Pointers are of the backend's memory. Matrices are row-major and dense. Counts of 0 are
//  valid.
//  4. Residual stream, norms and softmax are accumulated in f32.
//  5. An operation that sees StepContext::cancel set may return CANCELLED early; its outputs are
//  then
//     undefined and the step is dropped.
#ifndef LLMCORE_LIB_BACKEND_BACKEND_H_
#define LLMCORE_LIB_BACKEND_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "lib/backend/draw.h"
#include "lib/backend/step_trace.h"
#include "lib/base/cancel.h"
#include "lib/base/status.h"
#include "lib/tensor/dtype.h"
#include "lib/tensor/format.h"

namespace llmcore::core {

// A zeroed range of device memory, returned to the device at its end.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  void* data() const { return data_; }
  uint64_t size() const { return size_; }

 protected:
  void* data_ = nullptr;  // aligned to 64 bytes at least
  uint64_t size_ = 0;
};

// Activations: [rows, columns] f32.
struct Matrix {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;
};

// Rows of one linear weight as a checkpoint stores them: [rows, columns] of `dtype`, row-major, or
// already quantized: codes in `data` and a scale for each block of 128 columns in `scales`, bf16
// when `format` is kInt8 or kInt4 (lib/io/quantized_checkpoint.md); when it is kInt4Zeros, f16, and
// a zero point for each in `zeros` (lib/tensor/int4.h).
struct SourceMatrix {
  const std::byte* data = nullptr;  // host memory, any alignment
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t columns = 0;
  WeightFormat format = WeightFormat::kAuto;  // kAuto: plain values of `dtype`
  const std::byte* scales = nullptr;          // [rows, blocks], any alignment
  const std::byte* zeros = nullptr;           // [rows, blocks] u8
};

// How the rows of a packed weight are ordered: kPlain puts the parts one after the other;
// kGated has two parts of equal shape, gate and up, laid out for LinearGated.
enum class WeightKind : uint8_t { kPlain, kGated };

struct WeightShape {
  WeightFormat format = WeightFormat::kF32;  // never kAuto; kInt4Zeros: all parts are that already
  WeightKind kind = WeightKind::kPlain;
  int64_t rows = 0;     // of all parts together: outputs, or 2 * outputs when gated
  int64_t columns = 0;  // inputs
};

// A weight in the backend's own layout.
struct PackedWeight {
  WeightShape shape;
  const void* data = nullptr;  // PackedWeightBytes(shape) bytes, aligned to 64
};

// The KV cache of all layers: blocks of `block_tokens` positions. Layout inside a block is the
// backend's; BlockBytes says how large one block of one layer is.
struct KvShape {
  KvFormat format = KvFormat::kF32;  // never kAuto
  int32_t layers = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t block_tokens = 0;  // a multiple of 16
};

struct KvCache {
  KvShape shape;
  void* data = nullptr;  // [layers][blocks] of KvBlockBytes(shape) each
  int32_t blocks = 0;
};

// A ragged batch: the rows of a step are runs of consecutive positions, one run a sequence.
// All arrays are host memory that lives as long as the step.
struct Batch {
  std::span<const int32_t> first_row;       // [sequences + 1], increasing; last = rows of the step
  std::span<const int32_t> first_position;  // [sequences], position of the run's first row
  std::span<const int32_t> block_table;     // [sequences, block_table_stride] ids of KV blocks
  int32_t block_table_stride = 0;

  int32_t sequences() const { return static_cast<int32_t>(first_position.size()); }
  int32_t rows() const { return first_row.empty() ? 0 : first_row.back(); }
};

enum class GateActivation : uint8_t { kSilu, kGeluTanh, kGelu };

struct EmbedParams {
  PackedWeight table;               // [vocabulary, hidden]
  std::span<const int32_t> tokens;  // [rows], each inside the vocabulary
  Matrix out;                       // [rows, hidden]
};

// RMSNorm (Zhang and Sennrich 2019, eq. 4): out = in / sqrt(mean(in^2) + epsilon) * weight.
struct NormParams {
  Matrix in;            // [rows, columns]
  const float* weight;  // [columns]
  float epsilon;
  Matrix out;  // like in; may be the same memory
};

// The RMSNorm of a product's input rows, where the backend does both in one (Backend::FusesNorm).
struct InputNorm {
  const float* weight = nullptr;  // [inputs]; NULL: rows are taken as they are
  float epsilon = 0;
};

// out = norm(in) * weight^T (+ bias) (+ residual).
struct LinearParams {
  Matrix in;                        // [rows, inputs]
  PackedWeight weight;              // kPlain, [outputs, inputs]
  const float* bias = nullptr;      // [outputs] or NULL
  const float* residual = nullptr;  // [rows, outputs] or NULL; may be out.data
  ActivationFormat activation_format = ActivationFormat::kF32;  // never kAuto
  Matrix out;                                                   // [rows, outputs]
  InputNorm norm = {};
};

// out = activation(x * gate^T + gate_bias) * (x * up^T + up_bias), x = norm(in)  (Shazeer 2020,
// eq. 6).
struct LinearGatedParams {
  Matrix in;                         // [rows, inputs]
  PackedWeight weight;               // kGated, [2 * outputs, inputs]
  const float* gate_bias = nullptr;  // [outputs] or NULL
  const float* up_bias = nullptr;    // [outputs] or NULL
  GateActivation activation = GateActivation::kSilu;
  ActivationFormat activation_format = ActivationFormat::kF32;
  Matrix out;  // [rows, outputs]
  InputNorm norm = {};
};

// Rotates q and k in halves (RoFormer eq. 34, in the layout of the Llama model code: element i
// pairs with i + head_dim / 2), after an optional RMSNorm of each head, then writes k and v to the
// cache.
struct RopeAppendParams {
  Matrix qkv;  // [rows, (heads + 2 * kv_heads) * head_dim]; q is updated in place
  int32_t heads = 0;
  const float* q_norm = nullptr;  // [head_dim] or NULL
  const float* k_norm = nullptr;  // [head_dim] or NULL
  float norm_epsilon = 0;
  const float* cos_sin = nullptr;  // [rows, head_dim]: cos of each pair, then sin of each pair
  KvCache cache;
  int32_t layer = 0;
  Batch batch;
};

// Causal attention of each row over the positions of its sequence up to its own, those of the step
// included: out = softmax(scale * q k^T) v, query head h with key head h / (heads / kv_heads).
struct AttentionParams {
  Matrix qkv;  // as RopeAppend left it; only the q columns are read
  int32_t heads = 0;
  float scale = 0;
  int32_t window = 0;  // > 0: only the last `window` positions, its own included
  KvCache cache;
  int32_t layer = 0;
  Batch batch;
  Matrix out;  // [rows, heads * head_dim]
};

struct GatherRowsParams {
  Matrix in;                      // [rows, columns]
  std::span<const int32_t> rows;  // rows of `in` that are wanted, in order
  Matrix out;                     // [rows.size(), columns]
};

struct CopyBlocksParams {
  KvCache cache;
  std::span<const int32_t> from;  // block ids, copied in every layer
  std::span<const int32_t> to;    // likewise, disjoint from `from`
};

// Blocks that go to memory of the host, or come back, one after the other.
struct SwapBlocksParams {
  enum class Direction : uint8_t { kOut, kIn };
  Direction direction = Direction::kOut;
  KvCache cache;
  std::span<const int32_t> blocks;  // block ids, in every layer; of kIn all different
  std::span<const int32_t> places;  // where in `host` each of them is, or is to be
  std::byte* host = nullptr;        // of AllocateHost: [host_places][layers] of KvBlockBytes each
  int32_t host_places = 0;
};

// Draws a token from each row, to the bit as lib/sampling does on the host.
struct SampleParams {
  Matrix logits;           // [rows, vocabulary]
  const TokenDraw* draws;  // [rows], AllocateHost's memory, like `tokens`
  DrawnToken* tokens;      // [rows]
};

// What the largest step may hold; from it WorkspaceBytes follows.
struct StepLimits {
  int32_t rows = 0;         // tokens of a step
  int64_t max_columns = 0;  // inputs of the widest linear
  int32_t heads = 0;
  int32_t head_dim = 0;
  int32_t max_context = 0;                                       // positions of a sequence
  ActivationFormat activation_format = ActivationFormat::kAuto;  // kAuto: any of them
};

// What a step of a decoder is made from. Memory of the host that lives as long as the step.
struct StepInput {
  std::span<const int32_t> tokens;  // [rows]
  Batch batch;
  // Rows whose logits are wanted, and rows that tokens are drawn from, each as its draw says.
  std::span<const int32_t> logit_rows;
  std::span<const int32_t> drawn_rows;
  std::span<const TokenDraw> draws;  // [drawn_rows.size()]
};

// Given to every operation of a step.
struct StepContext {
  std::span<std::byte> workspace;       // WorkspaceBytes(limits) bytes, aligned to 64
  const CancelToken* cancel = nullptr;  // polled at least every 10 ms
  StepTrace* trace = nullptr;           // filled by lib/ops; NULL: not traced
};

// Runs the steps of one decoder, and knows them again: what a step launches on a device depends on
// its shape alone, so that one which came before needs a single launch. Does not outlive its
// backend; runs one step at a time, like the operations.
class StepRecorder {
 public:
  virtual ~StepRecorder() = default;

  // Runs the step that `operations` consists of, or what was recorded of an earlier one of the same
  // shape: `operations` is then not called, and what it checks not checked. So steps of one
  // recorder with as many rows, sequences, logit rows and drawn rows have the same operations on
  // the same memory, in which anything may stand, and take all other numbers from the spans of
  // `input` themselves, not from copies. May allocate when it records.
  virtual absl::Status Run(const StepContext& context, const StepInput& input,
                           absl::FunctionRef<absl::Status()> operations) = 0;
};

// Thread rule: the const functions may be called from any thread; the operations and PackWeight of
// one backend run one at a time (the caller sees to it), each on all of the backend's threads.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual absl::string_view name() const = 0;   // "cpu", "cuda"
  virtual std::string Description() const = 0;  // "cpu (avx512-vnni, 2 threads)"
  virtual absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(uint64_t bytes) = 0;
  // Memory that the host reads and writes and that operations reach too: of rotary angles, logits
  // and draws. What an operation wrote there is to be read after Synchronize.
  virtual absl::StatusOr<std::unique_ptr<DeviceMemory>> AllocateHost(uint64_t bytes) {
    return Allocate(bytes);
  }
  // Bytes that the device could still give; 0 where its memory is the host's.
  virtual uint64_t FreeMemory() { return 0; }

  // Operations may return before they ran; this waits for all of them, and returns what went wrong
  // in any.
  virtual absl::Status Synchronize() { return absl::OkStatus(); }

  // Moves bytes between the host and the backend's memory. These two are for backends whose memory
  // is the host's; others override them.
  virtual absl::Status CopyToDevice(void* destination, std::span<const std::byte> source);
  virtual absl::Status CopyToHost(std::span<std::byte> destination, const void* source);

  // Whether Linear and LinearGated take an InputNorm: a device on which a launch costs more than
  // doing the norm again in every block of a product. Their `out` is then not their `in`.
  virtual bool FusesNorm() const { return false; }

  // Whether Sample is there for rows of so many logits. Where it is not, logits go to the host.
  virtual bool Samples(int64_t /*vocabulary*/) const { return false; }

  // Layouts. Pure functions of their arguments: the memory plan is made from them.
  virtual uint64_t PackedWeightBytes(const WeightShape& shape) const = 0;
  virtual uint64_t KvBlockBytes(const KvShape& shape) const = 0;
  virtual uint64_t WorkspaceBytes(const StepLimits& limits) const = 0;
  // Names the layout of KV blocks ("cpu-f32-v1"): saved blocks are only taken back where it is
  // equal.
  virtual std::string KvLayoutName(const KvShape& shape) const = 0;

  // Names the layout of packed weights in a quantized format ("cpu-int4-v1"). A backend that names
  // one can use weights where a mapped checkpoint stores them, in read-only memory of the host;
  // stored weights are only taken where the name is equal. Empty, the default: there is none.
  virtual std::string WeightLayoutName(WeightFormat format) const;
  // Rows (of each half, when gated) that are packed without regard to those after them: slices of a
  // multiple of so many rows, one after the other, are the bytes of the whole weight.
  virtual int64_t WeightSliceRows() const { return 0; }
  // Looks at stored bytes of a packed weight as far as PackWeight would have refused what they were
  // made from. Progress is reported in bytes.
  virtual absl::Status CheckPackedWeight(const WeightShape& shape, std::span<const std::byte> bytes,
                                         const WorkControl& control);

  // A recorder for the steps of a decoder with so many query heads, which works in `memory`:
  // StepRecordBytes(limits) bytes of AllocateHost's, which outlive it, like all that its operations
  // use. NULL, the default: operations are cheap to begin.
  virtual std::unique_ptr<StepRecorder> CreateStepRecorder(int32_t /*heads*/,
                                                           const KvShape& /*shape*/,
                                                           std::span<std::byte> /*memory*/) {
    return nullptr;
  }
  virtual uint64_t StepRecordBytes(const StepLimits& /*limits*/) const { return 0; }

  // Converts checkpoint rows into `destination` (PackedWeightBytes(shape) bytes). Quantizes as
  // numerics demands; NaN or infinity is INVALID_ARGUMENT with the row and column. Progress is
  // reported in source bytes of this call.
  virtual absl::Status PackWeight(const WeightShape& shape, std::span<const SourceMatrix> parts,
                                  void* destination, const WorkControl& control) = 0;

  // Bytes of AllocateHost's memory that PackWeight works in. Whoever loads a model lends them,
  // since they are in its plan, and takes them back by lending none; without them PackWeight
  // allocates.
  virtual uint64_t PackingHostBytes() const { return 0; }
  virtual void LendPackingMemory(std::span<std::byte> /*memory*/) {}

  virtual absl::Status Embed(const StepContext& context, const EmbedParams& params) = 0;
  virtual absl::Status Norm(const StepContext& context, const NormParams& params) = 0;
  virtual absl::Status Linear(const StepContext& context, const LinearParams& params) = 0;
  virtual absl::Status LinearGated(const StepContext& context, const LinearGatedParams& params) = 0;
  virtual absl::Status RopeAppend(const StepContext& context, const RopeAppendParams& params) = 0;
  virtual absl::Status Attention(const StepContext& context, const AttentionParams& params) = 0;
  virtual absl::Status GatherRows(const StepContext& context, const GatherRowsParams& params) = 0;
  virtual absl::Status CopyBlocks(const StepContext& context, const CopyBlocksParams& params) = 0;
  // Not cut short by StepContext::cancel. Here by CopyToHost and CopyToDevice, layer by layer;
  // devices that wait for each of those override it.
  virtual absl::Status SwapBlocks(const StepContext& context, const SwapBlocksParams& params);

  virtual absl::Status Sample(const StepContext& context, const SampleParams& params);

  // Calls `body` with each of 0 to count - 1, once, on threads of the host, and returns when all
  // calls did: what a step does with its logits. Like an operation, one at a time. An exception out
  // of `body` becomes an error. Here the calls follow each other; backends with threads override
  // it.
  virtual absl::Status ForEachOnHost(int64_t count, absl::FunctionRef<void(int64_t index)> body);
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_BACKEND_BACKEND_H_
