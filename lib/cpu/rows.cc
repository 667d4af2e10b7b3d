// Embed, Norm and GatherRows: rows are split over the threads.
#include <cstring>

#include "lib/cpu/cpu_backend.h"
#include "lib/cpu/panels.h"
#include "lib/tensor/float16.h"
#include "lib/tensor/int4.h"

namespace llmcore::cpu {
namespace {

// Values of one row: enough work to be worth a turn.
constexpr int64_t kValuesPerTurn = 16384;

int64_t RowsPerTurn(int64_t columns) {
  return std::max<int64_t>(1, kValuesPerTurn / std::max<int64_t>(1, columns));
}

uint16_t Load16(const unsigned char* p) {
  uint16_t value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

// Row `row` of a panel, dequantized (layout.h).
void UnpackRow(PanelFormat format, const unsigned char* panel, int64_t row, int64_t columns,
               float* out) {
  switch (format) {
    case PanelFormat::kF32:
      for (int64_t k = 0; k < columns; ++k) {
        std::memcpy(out + k, panel + (k * kPanelRows + row) * 4, 4);
      }
      return;
    case PanelFormat::kF16:
      for (int64_t k = 0; k < columns; ++k) {
        out[k] = core::F16ToF32(Load16(panel + (k * kPanelRows + row) * 2));
      }
      return;
    case PanelFormat::kBf16:
      for (int64_t k = 0; k < columns; ++k) {
        out[k] = core::Bf16ToF32(Load16(panel + ((k / 2 * kPanelRows + row) * 2 + k % 2) * 2));
      }
      return;
    case PanelFormat::kInt8:
      for (int64_t k = 0; k < columns; ++k) {
        const unsigned char* block = panel + k / kBlock * kInt8BlockBytes;
        const float scale = core::Bf16ToF32(Load16(block + row * 2));
        const int64_t quad = k % kBlock / 4;
        const int code = block[kScaleBytes + (quad * kPanelRows + row) * 4 + k % 4] - 128;
        out[k] = static_cast<float>(code) * scale;
      }
      return;
    case PanelFormat::kInt4:
      for (int64_t k = 0; k < columns; ++k) {
        const unsigned char* block = panel + k / kBlock * kInt4BlockBytes;
        const int64_t octet = k % kBlock / 8;
        const int byte = block[kScaleBytes + (octet * kPanelRows + row) * 4 + k % 4];
        const int code = (k % 8 < 4 ? byte & 15 : byte >> 4) - 8;
        out[k] = core::Bf16ToF32(core::DequantizeInt4Value(code, Load16(block + row * 2)));
      }
      return;
    case PanelFormat::kInt4Zeros:
      for (int64_t k = 0; k < columns; ++k) {
        const unsigned char* block = panel + k / kBlock * kInt4ZerosBlockBytes;
        const unsigned char* zeros = block + kScaleBytes;
        const int64_t octet = k % kBlock / 8;
        const int byte = zeros[kPanelRows + (octet * kPanelRows + row) * 4 + k % 4];
        const int code = k % 8 < 4 ? byte & 15 : byte >> 4;
        out[k] = core::DequantizeInt4Zeros(code, zeros[row], Load16(block + row * 2));
      }
      return;
  }
}

}  // namespace

absl::Status CpuBackend::Embed(const core::StepContext& context, const core::EmbedParams& p) {
  const PanelFormat format = PanelFormatOf(p.table.shape.format);
  const int64_t panel_bytes = PanelBytes(format, p.out.columns);
  const auto* panels = static_cast<const unsigned char*>(p.table.data);
  return pool_->ParallelFor(static_cast<int64_t>(p.tokens.size()), RowsPerTurn(p.out.columns),
                            context.cancel, [&](int64_t begin, int64_t end, int) {
                              for (int64_t row = begin; row < end; ++row) {
                                const int64_t token = p.tokens[static_cast<size_t>(row)];
                                UnpackRow(format, panels + token / kPanelRows * panel_bytes,
                                          token % kPanelRows, p.out.columns,
                                          p.out.data + row * p.out.columns);
                              }
                            });
}

absl::Status CpuBackend::Norm(const core::StepContext& context, const core::NormParams& p) {
  return pool_->ParallelFor(p.in.rows, RowsPerTurn(p.in.columns), context.cancel,
                            [&](int64_t begin, int64_t end, int) {
                              for (int64_t row = begin; row < end; ++row) {
                                kernels_.norm({.in = p.in.data + row * p.in.columns,
                                               .weight = p.weight,
                                               .columns = p.in.columns,
                                               .epsilon = p.epsilon,
                                               .out = p.out.data + row * p.in.columns});
                              }
                            });
}

absl::Status CpuBackend::GatherRows(const core::StepContext& context,
                                    const core::GatherRowsParams& p) {
  const auto bytes = static_cast<size_t>(p.in.columns) * sizeof(float);
  if (bytes == 0) return absl::OkStatus();
  return pool_->ParallelFor(static_cast<int64_t>(p.rows.size()), RowsPerTurn(p.in.columns),
                            context.cancel, [&](int64_t begin, int64_t end, int) {
                              for (int64_t row = begin; row < end; ++row) {
                                const int64_t from = p.rows[static_cast<size_t>(row)];
                                std::memcpy(p.out.data + row * p.in.columns,
                                            p.in.data + from * p.in.columns, bytes);
                              }
                            });
}

}  // namespace llmcore::cpu
