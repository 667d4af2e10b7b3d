// Matrices of published AWQ and GPTQ checkpoints: codes of 4 bits with a zero point and a scale for
// each group of inputs. A matrix [outputs, inputs] is stored the other way round, in tensors that
// begin with the name of its module:
//
//                AWQ (AutoAWQ, "gemm")                GPTQ (AutoGPTQ, GPTQModel)
//   .qweight     I32 [inputs, outputs / 8]            I32 [inputs / 8, outputs]
//   .qzeros      I32 [groups, outputs / 8]            I32 [groups, outputs / 8]
//   .scales      F16 [groups, outputs]                F16 [groups, outputs]
//   .g_idx                                            I32 [inputs]: the group of each
//
// A word holds eight codes of 4 bits, the lowest bits first: in GPTQ those of eight inputs, and the
// zero points of eight outputs, in their order; in AWQ those of the outputs 0, 2, 4, 6, 1, 3, 5, 7.
// A value is (code - zero) * scale; the first format of GPTQ stores zero - 1, where 15 means 16.
//
// Scales are also read from BF16 and F32, where f16 holds each of them.
#ifndef LLMCORE_LIB_IO_ZERO_POINT_MATRIX_H_
#define LLMCORE_LIB_IO_ZERO_POINT_MATRIX_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "lib/base/status.h"
#include "lib/config/model_config.h"
#include "lib/io/checkpoint.h"

namespace llmcore::core {

// Valid as long as the checkpoint. Thread-safe.
class ZeroPointMatrix {
 public:
  // Rows are best read in multiples of so many.
  static constexpr int64_t kTileRows = 128;

  // Of the tensors of a module; the last need not be there.
  static constexpr absl::string_view kSuffixes[] = {".qweight", ".qzeros", ".scales", ".g_idx"};

  // Whether the checkpoint has a module's codes.
  static bool IsIn(const Checkpoint& checkpoint, absl::string_view module);
  // Whether it is a tensor of a module, which `name` then is cut to.
  static bool ConsumeSuffix(absl::string_view* name);

  // Checks types and shapes, and reads .g_idx, where it is: a group must be inputs that follow each
  // other (UNIMPLEMENTED). Missing tensors are NOT_FOUND, others INVALID_ARGUMENT.
  static absl::StatusOr<ZeroPointMatrix> Open(const Checkpoint& checkpoint,
                                              absl::string_view module,
                                              const StoredQuantization& stored, int64_t rows,
                                              int64_t columns);

  // Rows [first, first + count), both multiples of 8, in the layout of a SourceMatrix in kInt4Zeros
  // (lib/tensor/int4.h): codes [count, Int4PackedBytes(columns)], and [count, Int4ScaleCount(
  // columns)] scales and zero points. INVALID_ARGUMENT with tensor and position for a scale that is
  // not finite or no value of f16.
  absl::Status ReadRows(int64_t first, int64_t count, std::byte* codes, std::byte* scales,
                        std::byte* zeros) const;

 private:
  ZeroPointMatrix() = default;

  absl::Status CheckGroupIndex(const TensorView& tensor) const;
  void ReadTile(int64_t first, int64_t count, int64_t column, unsigned char* tile) const;
  absl::Status ReadGroup(int64_t first, int64_t count, int64_t group, uint16_t* scales,
                         uint8_t* zeros) const;

  StoredQuantization::Method method_ = StoredQuantization::Method::kAwq;
  int32_t zero_offset_ = 0;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
  int64_t group_ = 0;  // columns
  const TensorView* codes_ = nullptr;
  const TensorView* zeros_ = nullptr;
  const TensorView* scales_ = nullptr;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_IO_ZERO_POINT_MATRIX_H_
