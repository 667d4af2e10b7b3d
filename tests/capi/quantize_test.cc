#include <cstring>
#include <filesystem>
#include <limits>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

// bf16 of a float that is one.
uint16_t Bf16(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  EXPECT_EQ(bits & 0xffff, 0u) << value;
  return static_cast<uint16_t>(bits >> 16);
}

TEST(QuantizeTest, ABlockOfCodesComesBackExactly) {
  // absmax 7 gives scale 1, so that whole numbers of -7..7 are codes.
  const std::vector<uint16_t> values = {Bf16(7), Bf16(-7), Bf16(0), Bf16(3), Bf16(-1)};
  uint8_t packed[3] = {};
  uint16_t scales[1] = {};
  ASSERT_TRUE(Works(llmcore_quantize_int4(values.data(), values.size(), packed, scales)));
  EXPECT_EQ(scales[0], Bf16(1));
  EXPECT_EQ(packed[0], 0x79);
  EXPECT_EQ(packed[1], 0x03);
  EXPECT_EQ(packed[2], 0xf0);
  std::vector<uint16_t> back(values.size());
  ASSERT_TRUE(Works(llmcore_dequantize_int4(packed, scales, values.size(), back.data())));
  EXPECT_EQ(back, values);
}

TEST(QuantizeTest, BlocksOf128HaveAScaleEach) {
  std::vector<uint16_t> values(129, Bf16(7));
  values[128] = Bf16(14);
  std::vector<uint8_t> packed(65);
  std::vector<uint16_t> scales(2);
  ASSERT_TRUE(
      Works(llmcore_quantize_int4(values.data(), values.size(), packed.data(), scales.data())));
  EXPECT_EQ(scales[0], Bf16(1));
  EXPECT_EQ(scales[1], Bf16(2));
  EXPECT_EQ(packed[64], 0x70);
}

TEST(QuantizeTest, ValuesThatAreNotFiniteAreNamed) {
  uint16_t values[3] = {Bf16(1), Bf16(1), Bf16(std::numeric_limits<float>::infinity())};
  uint8_t packed[2];
  uint16_t scales[1];
  EXPECT_TRUE(
      Fails(llmcore_quantize_int4(values, 3, packed, scales), LLMCORE_INVALID_ARGUMENT, "2"));
  values[1] = 0x7fc0;  // NaN
  EXPECT_TRUE(
      Fails(llmcore_quantize_int4(values, 3, packed, scales), LLMCORE_INVALID_ARGUMENT, "1"));
}

TEST(QuantizeTest, NullIsTakenWithoutValuesOnly) {
  uint16_t values[1] = {Bf16(1)};
  uint8_t packed[1];
  uint16_t scales[1];
  EXPECT_TRUE(Works(llmcore_quantize_int4(nullptr, 0, nullptr, nullptr)));
  EXPECT_TRUE(Works(llmcore_dequantize_int4(nullptr, nullptr, 0, nullptr)));
  constexpr uint32_t kInvalid = LLMCORE_INVALID_ARGUMENT;
  EXPECT_TRUE(Fails(llmcore_quantize_int4(nullptr, 1, packed, scales), kInvalid, "values_bf16"));
  EXPECT_TRUE(Fails(llmcore_quantize_int4(values, 1, nullptr, scales), kInvalid, "out_packed"));
  EXPECT_TRUE(Fails(llmcore_quantize_int4(values, 1, packed, nullptr), kInvalid, "out_scales"));
  EXPECT_TRUE(Fails(llmcore_dequantize_int4(nullptr, scales, 1, values), kInvalid, "packed"));
  EXPECT_TRUE(Fails(llmcore_dequantize_int4(packed, nullptr, 1, values), kInvalid, "scales"));
  EXPECT_TRUE(Fails(llmcore_dequantize_int4(packed, scales, 1, nullptr), kInvalid, "out_values"));
  EXPECT_TRUE(Fails(llmcore_quantize_int4(values, UINT64_MAX, packed, scales), kInvalid, "count"));
}

llmcore_error* QuantizeTo(const std::string& directory, const llmcore_model_options* options) {
  return llmcore_quantize_checkpoint(kModelPath, strlen(kModelPath), directory.data(),
                                     directory.size(), options);
}

std::vector<float> LogitsOf(const llmcore_model* model) {
  const Session session = NewSession(model);
  const llmcore_token ids[] = {506, 509, 49, 46, 49};
  EXPECT_TRUE(Works(llmcore_session_append_tokens(session.get(), ids, 5)));
  const float* values = nullptr;
  size_t count = 0;
  EXPECT_TRUE(Works(llmcore_session_logits(session.get(), &values, &count)));
  return std::vector<float>(values, values + count);
}

TEST(QuantizeTest, ACheckpointLoadsToTheLogitsOfTheOneQuantizedAtLoad) {
  const std::string directory = testing::TempDir() + "llmcore_capi_quantize_test";
  std::filesystem::remove_all(directory);
  int lines = 0;
  for (const std::string_view format : {"int4", "int8"}) {
    const Options options = NewOptions();
    ASSERT_TRUE(Works(
        llmcore_model_options_set_weight_format(options.get(), format.data(), format.size())));
    ASSERT_TRUE(Works(llmcore_model_options_set_log_callback(
        options.get(),
        [](void* user, uint32_t, const char*, size_t) {
          ++*static_cast<int*>(user);
          return true;
        },
        &lines, nullptr)));
    ASSERT_TRUE(Works(QuantizeTo(directory, options.get())));
    EXPECT_GT(lines, 0) << "a line a tensor";
    EXPECT_TRUE(Fails(QuantizeTo(directory, options.get()), LLMCORE_ALREADY_EXISTS));
    const std::vector<float> expected = LogitsOf(LoadModel(options.get()).get());
    EXPECT_EQ(LogitsOf(LoadModel(nullptr, directory).get()), expected);
    std::filesystem::remove_all(directory);
    ASSERT_TRUE(Works(llmcore_model_options_set_checkpoint_layout(options.get(), "cpu", 3)));
    ASSERT_TRUE(Works(QuantizeTo(directory, options.get())));
    EXPECT_EQ(LogitsOf(LoadModel(nullptr, directory).get()), expected);
    std::filesystem::remove_all(directory);
  }
}

TEST(QuantizeTest, ACheckpointThatIsCancelledLeavesNothing) {
  const std::string directory = testing::TempDir() + "llmcore_capi_quantize_cancelled";
  std::filesystem::remove_all(directory);
  const Options options = NewOptions();
  ASSERT_TRUE(Works(llmcore_model_options_set_progress_callback(
      options.get(), [](void*, const char*, size_t, uint64_t, uint64_t) { return false; }, nullptr,
      nullptr)));
  EXPECT_TRUE(Fails(QuantizeTo(directory, options.get()), LLMCORE_CANCELLED));
  EXPECT_FALSE(std::filesystem::exists(directory));
  EXPECT_TRUE(Fails(QuantizeTo("", nullptr), LLMCORE_INVALID_ARGUMENT, "dst is empty"));
  ASSERT_TRUE(Works(llmcore_model_options_set_checkpoint_layout(options.get(), "cpu", 3)));
  EXPECT_TRUE(Fails(QuantizeTo(directory, options.get()), LLMCORE_CANCELLED));
  EXPECT_FALSE(std::filesystem::exists(directory));
  EXPECT_TRUE(Fails(llmcore_model_options_set_checkpoint_layout(options.get(), "gpu", 3),
                    LLMCORE_INVALID_ARGUMENT, "\"gpu\""));
  ASSERT_TRUE(Works(llmcore_model_options_set_weight_format(options.get(), "f16", 3)));
  EXPECT_TRUE(Fails(QuantizeTo(directory, options.get()), LLMCORE_INVALID_ARGUMENT, "f16"));
}

}  // namespace
}  // namespace llmcore::capi_test
