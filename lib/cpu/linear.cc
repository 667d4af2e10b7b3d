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

// One weight and its activations, as pieces need them.
struct Product {
  Product(const KernelTable& table, const PackedWeight& weight, ActivationFormat activations,
          const Matrix& matrix, const unsigned char* quantized_rows, bool spread)
      : kernels(table),
        in(matrix),
        quantized(quantized_rows),
        spread_nibbles(spread),
        format(PanelFormatOf(weight.shape.format)),
        panels(static_cast<const unsigned char*>(weight.data)),
        panel_bytes(PanelBytes(format, matrix.columns)),
        int8(TakesInt8(weight, activations)) {}

  static bool TakesInt8(const PackedWeight& weight, ActivationFormat activations) {
    const PanelFormat format = PanelFormatOf(weight.shape.format);
    return activations == ActivationFormat::kInt8 &&
           (format == PanelFormat::kInt8 || format == PanelFormat::kInt4);
  }

  // sums[r][o] for `rows` rows from `row` on and the outputs of a panel.
  void Compute(int64_t panel, int64_t row, int64_t rows, float* sums, float* scratch) const {
    const unsigned char* weights = panels + panel * panel_bytes;
    if (!int8) {
      kernels.linear_f32[static_cast<int>(format)]({.panel = weights,
                                                    .columns = in.columns,
                                                    .in = in.data + row * in.columns,
                                                    .in_stride = in.columns,
                                                    .rows = rows,
                                                    .out = sums,
                                                    .scratch = scratch});
      return;
    }
    const int64_t blocks = StoredColumns(format, in.columns) / kBlock;
    const LinearInt8Args args = {
        .panel = weights,
        .blocks = blocks,
        .activations = quantized + row * kActivationBlockBytes,
        .block_stride = in.rows * kActivationBlockBytes,
        .rows = rows,
        .out = sums,
        .scratch = spread_nibbles ? reinterpret_cast<unsigned char*>(scratch) : nullptr};
    if (format == PanelFormat::kInt8) {
      kernels.linear_int8(args);
    } else {
      kernels.linear_int4(args);
    }
  }

  const KernelTable& kernels;
  Matrix in;
  const unsigned char* quantized;
  bool spread_nibbles;
  PanelFormat format;
  const unsigned char* panels;
  int64_t panel_bytes;
  bool int8;
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
int64_t QuantizedRowsPerTurn(int64_t columns) {
  constexpr int64_t kValuesPerTurn = 32768;
  return std::max<int64_t>(6, kValuesPerTurn / std::max<int64_t>(1, columns));
}

}  // namespace

absl::Status CpuBackend::QuantizeActivations(const StepContext& context, const Matrix& in,
                                             unsigned char* out) {
  return pool_->ParallelFor(
      in.rows, QuantizedRowsPerTurn(in.columns), context.cancel,
      [&](int64_t begin, int64_t end, int) {
        for (int64_t row = begin; row < end; ++row) {
          kernels_.quantize_row({.in = in.data + row * in.columns,
                                 .columns = in.columns,
                                 .out = out + row * kActivationBlockBytes,
                                 .block_stride = in.rows * kActivationBlockBytes});
        }
      });
}

absl::Status CpuBackend::Linear(const StepContext& context, const LinearParams& p) {
  const int64_t rows = p.in.rows;
  const int64_t outputs = p.out.columns;
  if (rows == 0 || outputs == 0) return absl::OkStatus();
  const bool int8 = Product::TakesInt8(p.weight, p.activation_format);
  LLMCORE_ASSIGN_OR_RETURN(
      const Workspace workspace,
      Workspace::Cut(context.workspace, int8 ? ActivationBytes(rows, p.in.columns) : 0,
                     kLinearThreadBytes, pool_->threads()));
  if (int8) {
    LLMCORE_RETURN_IF_ERROR(QuantizeActivations(context, p.in, workspace.shared()));
  }
  const Product product(kernels_, p.weight, p.activation_format, p.in, workspace.shared(),
                        spread_nibbles_);
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
  const bool int8 = Product::TakesInt8(p.weight, p.activation_format);
  LLMCORE_ASSIGN_OR_RETURN(
      const Workspace workspace,
      Workspace::Cut(context.workspace, int8 ? ActivationBytes(rows, p.in.columns) : 0,
                     kLinearThreadBytes, pool_->threads()));
  if (int8) {
    LLMCORE_RETURN_IF_ERROR(QuantizeActivations(context, p.in, workspace.shared()));
  }
  const Product product(kernels_, p.weight, p.activation_format, p.in, workspace.shared(),
                        spread_nibbles_);
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
