#include "lib/tensor/dtype.h"

#include <cstddef>
#include <iterator>

namespace llmcore::core {
namespace {

struct DTypeInfo {
  DType dtype;
  absl::string_view name;
  int bits;
};

// In the order of the enum, so that a value is its index.
constexpr DTypeInfo kInfo[] = {
    {DType::kF32, "F32", 32},
    {DType::kBf16, "BF16", 16},
    {DType::kF16, "F16", 16},
    {DType::kI8, "I8", 8},
    {DType::kU8, "U8", 8},
    {DType::kI32, "I32", 32},
    {DType::kI64, "I64", 64},
    {DType::kBool, "BOOL", 8},
    {DType::kF64, "F64", 64},
    {DType::kI16, "I16", 16},
    {DType::kU16, "U16", 16},
    {DType::kU32, "U32", 32},
    {DType::kU64, "U64", 64},
    {DType::kF8E4M3, "F8_E4M3", 8},
    {DType::kF8E5M2, "F8_E5M2", 8},
    {DType::kF8E8M0, "F8_E8M0", 8},
    {DType::kF8E4M3Fnuz, "F8_E4M3FNUZ", 8},
    {DType::kF8E5M2Fnuz, "F8_E5M2FNUZ", 8},
    {DType::kF6E2M3, "F6_E2M3", 6},
    {DType::kF6E3M2, "F6_E3M2", 6},
    {DType::kF4, "F4", 4},
    {DType::kC64, "C64", 64},
};

constexpr bool InOrder() {
  for (size_t i = 0; i < std::size(kInfo); ++i) {
    if (static_cast<size_t>(kInfo[i].dtype) != i) return false;
  }
  return true;
}
static_assert(InOrder());

const DTypeInfo& InfoOf(DType dtype) {
  return kInfo[static_cast<size_t>(dtype)];
}

}  // namespace

int DTypeBits(DType dtype) {
  return InfoOf(dtype).bits;
}

int DTypeSize(DType dtype) {
  const int bits = DTypeBits(dtype);
  return bits % 8 == 0 ? bits / 8 : 0;
}

absl::string_view DTypeName(DType dtype) {
  return InfoOf(dtype).name;
}

std::optional<DType> ParseDType(absl::string_view name) {
  for (const DTypeInfo& info : kInfo) {
    if (info.name == name) return info.dtype;
  }
  return std::nullopt;
}

bool IsWeightDType(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kBf16 || dtype == DType::kF16;
}

}  // namespace llmcore::core
