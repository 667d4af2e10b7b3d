// Linear and LinearGated: pieces of up to 72 rows x one panel (or a gate and an up panel), handed
// to whichever thread is free. Piece u of a call is panel u % panels of row chunk u / panels: a
// chunk of rows stays in cache while the panels stream past it.
#include <algorithm>
#include <cstdint>

#include "lib/cpu/cpu_backend.h"
#include "lib/cpu/panels.h"
#include "lib/cpu/workspace.h"

namespace llmcore::cpu {
namespace {

using core::ActivationFormat;
using core::LinearGatedParams;
using core::LinearParams;
using core::Matrix;
using core::PackedWeight;
using core::StepContext;

// How a product is computed.
enum class Arithmetic {
  kF32,        // activations as they are
  kInt8,       // quantized
  kBf16,       // rounded, pairs multiplied as bf16
  kBf16InF32,  // rounded, multiplied as f32
};

Arithmetic ArithmeticOf(const KernelTable& kernels, const PackedWeight& weight,
                        ActivationFormat activations) {
  const PanelFormat format = PanelFormatOf(weight.shape.format);
  if (activations == ActivationFormat::kInt8 && IsQuantized(weight.shape.format)) {
    return Arithmetic::kInt8;
  }
  if (activations == ActivationFormat::kBf16 && format == PanelFormat::kBf16) {
    return kernels.linear_bf16 != nullptr ? Arithmetic::kBf16 : Arithmetic::kBf16InF32;
  }
  return Arithmetic::kF32;
}

// Bytes of converted activations.
uint64_t ConvertedBytes(Arithmetic arithmetic, const Matrix& in) {
  switch (arithmetic) {
    case Arithmetic::kF32:
      return 0;
    case Arithmetic::kInt8:
      return ActivationBytes(in.rows, in.columns);
    case Arithmetic::kBf16:
      return Bf16BlockBytes(in.rows, in.columns);
    case Arithmetic::kBf16InF32:
      return Bf16RowBytes(in.rows, in.columns);
  }
  return 0;
}

// One weight and its activations, as pieces need them.
struct Product {
  Product(const KernelTable& table, const PackedWeight& weight, Arithmetic how,
          const Matrix& matrix, const unsigned char* converted_rows, bool spread)
      : kernels(table),
        in(matrix),
        converted(converted_rows),
        spread_nibbles(spread),
        format(PanelFormatOf(weight.shape.format)),
        panels(static_cast<const unsigned char*>(weight.data)),
        panel_bytes(PanelBytes(format, matrix.columns)),
        arithmetic(how) {}

  // sums[r][o] for `rows` rows from `row` on and the outputs of a panel.
  void Compute(int64_t panel, int64_t row, int64_t rows, float* sums, float* scratch) const {
    const unsigned char* weights = panels + panel * panel_bytes;
    switch (arithmetic) {
      case Arithmetic::kF32:
        return ComputeF32(weights, in.data, row, rows, sums, scratch);
      case Arithmetic::kBf16InF32:
        return ComputeF32(weights, reinterpret_cast<const float*>(converted), row, rows, sums,
                          scratch);
      case Arithmetic::kInt8:
        return ComputeInt8(weights, row, rows, sums, scratch);
      case Arithmetic::kBf16:
        return kernels.linear_bf16({.panel = weights,
                                    .columns = in.columns,
                                    .activations = converted + row * kBf16BlockBytes,
                                    .block_stride = in.rows * kBf16BlockBytes,
                                    .rows = rows,
                                    .out = sums});
    }
  }

  void ComputeF32(const unsigned char* weights, const float* activations, int64_t row, int64_t rows,
                  float* sums, float* scratch) const {
    kernels.linear_f32[static_cast<int>(format)]({.panel = weights,
                                                  .columns = in.columns,
                                                  .in = activations + row * in.columns,
                                                  .in_stride = in.columns,
                                                  .rows = rows,
                                                  .out = sums,
                                                  .scratch = scratch});
  }

  void ComputeInt8(const unsigned char* weights, int64_t row, int64_t rows, float* sums,
                   float* scratch) const {
    const int64_t blocks = StoredColumns(format, in.columns) / kBlock;
    const LinearInt8Args args = {
        .panel = weights,
        .blocks = blocks,
        .activations = converted + row * kActivationBlockBytes,
        .block_stride = in.rows * kActivationBlockBytes,
        .rows = rows,
        .out = sums,
        .scratch = spread_nibbles ? reinterpret_cast<unsigned char*>(scratch) : nullptr};
    if (format == PanelFormat::kInt8) {
      kernels.linear_int8(args);
    } else if (format == PanelFormat::kInt4Zeros) {
      kernels.linear_int4_zeros(args);
    } else {
      kernels.linear_int4(args);
    }
  }

  const KernelTable& kernels;
  Matrix in;
  const unsigned char* converted;
  bool spread_nibbles;
  PanelFormat format;
  const unsigned char* panels;
  int64_t panel_bytes;
  Arithmetic arithmetic;
};

Activation KernelActivation(core::GateActivation activation) {
  switch (activation) {
    case core::GateActivation::kSilu:
      return Activation::kSilu;
    case core::GateActivation::kGeluTanh:
      return Activation::kGeluTanh;
    case core::GateActivation::kGelu:
      return Activation::kGelu;
  }
  return Activation::kSilu;
}

// How the rows of a call are cut: as few chunks as kRowChunk allows, of equal size, in whole tiles.
int64_t RowsPerChunk(int64_t rows) {
  const int64_t chunks = (rows + kRowChunk - 1) / kRowChunk;
  const int64_t tiles = (rows + kTokenTile - 1) / kTokenTile;
  return (tiles + chunks - 1) / chunks * kTokenTile;
}

// Pieces taken at once: about eight turns a thread, so that a slow core can be helped out, and few
// enough that the counter is no bottleneck; at most 64M multiplications (a few milliseconds of the
// slowest kernel), since the cancel token is looked at between turns.
int64_t PiecesPerTurn(int64_t pieces, int threads, int64_t rows, int64_t columns) {
  constexpr int64_t kMostProducts = int64_t{1} << 26;
  const int64_t products = std::min(rows, kRowChunk) * kPanelRows * std::max<int64_t>(1, columns);
  const int64_t most = std::min(pieces / (int64_t{8} * threads), kMostProducts / products);
  return std::max<int64_t>(1, most);
}

// Values of some microseconds of work, and no fewer than 6 rows, whose records share pages.
int64_t ConvertedRowsPerTurn(int64_t columns) {
  constexpr int64_t kValuesPerTurn = 32768;
  return std::max<int64_t>(6, kValuesPerTurn / std::max<int64_t>(1, columns));
}

}  // namespace

absl::Status CpuBackend::QuantizeActivations(const StepContext& context, const Matrix& in,
                                             unsigned char* out) {
  return pool_->ParallelFor(
      in.rows, ConvertedRowsPerTurn(in.columns), context.cancel,
      [&](int64_t begin, int64_t end, int) {
        for (int64_t row = begin; row < end; ++row) {
          kernels_.quantize_row({.in = in.data + row * in.columns,
                                 .columns = in.columns,
                                 .out = out + row * kActivationBlockBytes,
                                 .block_stride = in.rows * kActivationBlockBytes});
        }
      });
}

absl::Status CpuBackend::RoundActivations(const StepContext& context, const Matrix& in,
                                          unsigned char* out) {
  const bool blocks = kernels_.linear_bf16 != nullptr;
  const int64_t row_bytes = blocks ? kBf16BlockBytes : in.columns * int64_t{sizeof(float)};
  return pool_->ParallelFor(in.rows, ConvertedRowsPerTurn(in.columns), context.cancel,
                            [&](int64_t begin, int64_t end, int) {
                              for (int64_t row = begin; row < end; ++row) {
                                kernels_.round_row({.in = in.data + row * in.columns,
                                                    .columns = in.columns,
                                                    .out = out + row * row_bytes,
                                                    .block_stride = in.rows * kBf16BlockBytes});
                              }
                            });
}

absl::Status CpuBackend::Linear(const StepContext& context, const LinearParams& p) {
  const int64_t rows = p.in.rows;
  const int64_t outputs = p.out.columns;
  if (rows == 0 || outputs == 0) return absl::OkStatus();
  const Arithmetic arithmetic = ArithmeticOf(kernels_, p.weight, p.activation_format);
  LLMCORE_ASSIGN_OR_RETURN(const Workspace workspace,
                           Workspace::Cut(context.workspace, ConvertedBytes(arithmetic, p.in),
                                          kLinearThreadBytes, pool_->threads()));
  if (arithmetic == Arithmetic::kInt8) {
    LLMCORE_RETURN_IF_ERROR(QuantizeActivations(context, p.in, workspace.shared()));
  } else if (arithmetic != Arithmetic::kF32) {
    LLMCORE_RETURN_IF_ERROR(RoundActivations(context, p.in, workspace.shared()));
  }
  const Product product(kernels_, p.weight, arithmetic, p.in, workspace.shared(), spread_nibbles_);
  const int64_t panels = PanelCount(outputs);
  const int64_t chunk = RowsPerChunk(rows);
  const int64_t pieces = panels * ((rows + chunk - 1) / chunk);
  return pool_->ParallelFor(
      pieces, PiecesPerTurn(pieces, pool_->threads(), rows, p.in.columns), context.cancel,
      [&](int64_t begin, int64_t end, int thread) {
        float* sums = workspace.thread(thread);
        float* scratch = sums + 2 * kRowChunk * kPanelRows;
        for (int64_t piece = begin; piece < end; ++piece) {
          const int64_t panel = piece % panels;
          const int64_t row = piece / panels * chunk;
          const int64_t count = std::min(chunk, rows - row);
          product.Compute(panel, row, count, sums, scratch);
          const int64_t first = panel * kPanelRows;
          const int64_t offset = row * outputs + first;
          kernels_.store({.sums = sums,
                          .rows = count,
                          .outputs = std::min(kPanelRows, outputs - first),
                          .bias = p.bias != nullptr ? p.bias + first : nullptr,
                          .residual = p.residual != nullptr ? p.residual + offset : nullptr,
                          .out = p.out.data + offset,
                          .stride = outputs});
        }
      });
}

absl::Status CpuBackend::LinearGated(const StepContext& context, const LinearGatedParams& p) {
  const int64_t rows = p.in.rows;
  const int64_t outputs = p.out.columns;
  if (rows == 0 || outputs == 0) return absl::OkStatus();
  const Arithmetic arithmetic = ArithmeticOf(kernels_, p.weight, p.activation_format);
  LLMCORE_ASSIGN_OR_RETURN(const Workspace workspace,
                           Workspace::Cut(context.workspace, ConvertedBytes(arithmetic, p.in),
                                          kLinearThreadBytes, pool_->threads()));
  if (arithmetic == Arithmetic::kInt8) {
    LLMCORE_RETURN_IF_ERROR(QuantizeActivations(context, p.in, workspace.shared()));
  } else if (arithmetic != Arithmetic::kF32) {
    LLMCORE_RETURN_IF_ERROR(RoundActivations(context, p.in, workspace.shared()));
  }
  const Product product(kernels_, p.weight, arithmetic, p.in, workspace.shared(), spread_nibbles_);
  const int64_t pairs = PanelCount(outputs);
  const int64_t chunk = RowsPerChunk(rows);
  const int64_t pieces = pairs * ((rows + chunk - 1) / chunk);
  return pool_->ParallelFor(
      pieces, PiecesPerTurn(pieces, pool_->threads(), rows, p.in.columns), context.cancel,
      [&](int64_t begin, int64_t end, int thread) {
        float* gate = workspace.thread(thread);
        float* up = gate + kRowChunk * kPanelRows;
        float* scratch = up + kRowChunk * kPanelRows;
        for (int64_t piece = begin; piece < end; ++piece) {
          const int64_t pair = piece % pairs;
          const int64_t row = piece / pairs * chunk;
          const int64_t count = std::min(chunk, rows - row);
          product.Compute(2 * pair, row, count, gate, scratch);
          product.Compute(2 * pair + 1, row, count, up, scratch);
          const int64_t first = pair * kPanelRows;
          kernels_.store_gated({.gate = gate,
                                .up = up,
                                .rows = count,
                                .outputs = std::min(kPanelRows, outputs - first),
                                .gate_bias = p.gate_bias != nullptr ? p.gate_bias + first : nullptr,
                                .up_bias = p.up_bias != nullptr ? p.up_bias + first : nullptr,
                                .activation = KernelActivation(p.activation),
                                .out = p.out.data + row * outputs + first,
                                .stride = outputs});
        }
      });
}

}  // namespace llmcore::cpu
