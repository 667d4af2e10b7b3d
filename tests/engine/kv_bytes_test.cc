// What a format of the KV cache costs in the plan, to the bit.
#include <gtest/gtest.h>

#include <string>

#include "lib/engine/plan_memory.h"
#include "lib/session/device.h"
#include "lib/session/synthetic_shapes.h"

namespace llmcore::core {
namespace {

struct KvCase {
  std::string shape;
  KvFormat format;
  double bits;  // of a key or value element
};

class KvBytesTest : public testing::TestWithParam<KvCase> {};

// A quantized token has an f16 scale and an f16 zero for the keys of each head, and the same for
// the values: 32 bits over head_dim elements. That is a quarter of a bit with heads of 128, and
// half a bit with heads of 64. Nothing else is added: sizes that fill whole lanes need no padding.
TEST_P(KvBytesTest, ThePlanHasExactlyTheBitsOfTheFormat) {
  const KvCase& param = GetParam();
  const auto backend = CreateBackend("cpu", 1, /*deterministic=*/true);
  ASSERT_TRUE(backend.ok()) << backend.status();
  const ModelConfig config = *SyntheticConfig(param.shape);
  MemoryRequest request;
  request.kv_format = param.format;
  request.kv_cache_tokens = 8192;
  const auto plan = PlanMemory(config, request, **backend, /*enforce_budget=*/false);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->kv_cache_tokens(), 8192);
  const double elements = 8192.0 * config.num_layers * 2 * config.num_kv_heads * config.head_dim;
  EXPECT_EQ(static_cast<double>(plan->bytes[static_cast<int>(MemoryCategory::kKvCache)]) * 8,
            elements * param.bits);
}

INSTANTIATE_TEST_SUITE_P(Shapes, KvBytesTest,
                         testing::Values(KvCase{"llama-3-8b", KvFormat::kBf16, 16},  // heads of 128
                                         KvCase{"llama-3-8b", KvFormat::kInt8, 8.25},   //
                                         KvCase{"llama-3-8b", KvFormat::kInt4, 4.25},   //
                                         KvCase{"qwen2.5-32b", KvFormat::kInt8, 8.25},  //
                                         KvCase{"qwen2.5-32b", KvFormat::kInt4, 4.25},  //
                                         KvCase{"llama-3.2-1b", KvFormat::kF32, 32},  // heads of 64
                                         KvCase{"llama-3.2-1b", KvFormat::kInt8, 8.5},    //
                                         KvCase{"llama-3.2-1b", KvFormat::kInt4, 4.5}));  //

}  // namespace
}  // namespace llmcore::core
