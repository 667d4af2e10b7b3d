// Element types of checkpoint tensors: all of the safetensors format, so that a file that holds any
// of them can be validated. Which of them can be a weight is IsWeightDType.
#ifndef LLMCORE_LIB_TENSOR_DTYPE_H_
#define LLMCORE_LIB_TENSOR_DTYPE_H_

#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace llmcore::core {

enum class DType : uint8_t {
  kF32,
  kBf16,
  kF16,
  kI8,
  kU8,
  kI32,
  kI64,
  kBool,
  kF64,
  kI16,
  kU16,
  kU32,
  kU64,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kF6E2M3,
  kF6E3M2,
  kF4,
  kC64,
};

// Bits of one element: 4 and 6 for the sub-byte types, else a multiple of 8.
int DTypeBits(DType dtype);

// Bytes of one element; 0 for the sub-byte types, which have no address of their own.
int DTypeSize(DType dtype);

// The name that safetensors headers use: "F32", "BF16", "F8_E4M3", ...
absl::string_view DTypeName(DType dtype);

// By the names above (exact case); nullopt for any other.
std::optional<DType> ParseDType(absl::string_view name);

// Whether a plain weight may be stored in it: F32, BF16, F16.
bool IsWeightDType(DType dtype);

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_TENSOR_DTYPE_H_
