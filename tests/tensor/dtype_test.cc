#include "lib/tensor/dtype.h"

#include <gtest/gtest.h>

namespace llmcore::core {
namespace {

TEST(DTypeTest, NamesAndSizesAreThoseOfSafetensors) {
  const struct {
    const char* name;
    int bits;
  } cases[] = {{"F64", 64},        {"F32", 32},       {"F16", 16},    {"BF16", 16},
               {"I64", 64},        {"I32", 32},       {"I16", 16},    {"I8", 8},
               {"U64", 64},        {"U32", 32},       {"U16", 16},    {"U8", 8},
               {"BOOL", 8},        {"F8_E4M3", 8},    {"F8_E5M2", 8}, {"F8_E8M0", 8},
               {"F6_E2M3", 6},     {"F6_E3M2", 6},    {"F4", 4},      {"C64", 64},
               {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}};
  for (const auto& c : cases) {
    const auto dtype = ParseDType(c.name);
    ASSERT_TRUE(dtype.has_value()) << c.name;
    EXPECT_EQ(DTypeName(*dtype), c.name);
    EXPECT_EQ(DTypeBits(*dtype), c.bits) << c.name;
    EXPECT_EQ(DTypeSize(*dtype), c.bits % 8 == 0 ? c.bits / 8 : 0) << c.name;
  }
}

TEST(DTypeTest, OtherNamesAreNotGuessed) {
  for (const char* name : {"", "f32", "F32 ", "FP32", "bfloat16", "F", "I4"}) {
    EXPECT_FALSE(ParseDType(name).has_value()) << name;
  }
}

TEST(DTypeTest, WeightsAreTheThreeFloatTypes) {
  EXPECT_TRUE(IsWeightDType(DType::kF32));
  EXPECT_TRUE(IsWeightDType(DType::kBf16));
  EXPECT_TRUE(IsWeightDType(DType::kF16));
  EXPECT_FALSE(IsWeightDType(DType::kF64));
  EXPECT_FALSE(IsWeightDType(DType::kF8E4M3));
  EXPECT_FALSE(IsWeightDType(DType::kU8));
}

}  // namespace
}  // namespace llmcore::core
