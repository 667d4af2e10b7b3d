#include "lib/memory/memory_plan.h"

#include <gtest/gtest.h>

#include "lib/base/json.h"

namespace llmcore::core {
namespace {

TEST(MemoryPlanTest, JsonSaysWhatThePlanSays) {
  MemoryPlan plan;
  for (int i = 0; i < kMemoryCategories; ++i) plan.bytes[i] = uint64_t{1} << (40 + i);
  plan.device = "cpu";
  plan.kv_blocks = 7;
  plan.kv_block_tokens = 32;
  const auto json = ParseJson(plan.ToJson());
  ASSERT_TRUE(json.ok()) << json.status() << plan.ToJson();
  const JsonObject& object = **json->AsObject();
  EXPECT_EQ(object.GetInt("total_bytes").value(), int64_t{63} << 40);
  EXPECT_EQ((*object.GetObject("bytes"))->GetInt("kv_cache").value(), int64_t{1} << 41);
  EXPECT_EQ((*object.GetObject("bytes"))->GetInt("swap").value(), int64_t{1} << 45);
  EXPECT_EQ(object.GetInt("kv_cache_tokens").value(), 224);
  EXPECT_EQ(object.GetString("device").value(), "cpu");
}

}  // namespace
}  // namespace llmcore::core
