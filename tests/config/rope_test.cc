#include "lib/config/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "lib/base/json.h"

namespace llmcore::core {
namespace {

ModelConfig ConfigOf(const std::string& fields) {
  const auto json = ParseJson(R"({"model_type":"llama","hidden_size":64,"num_attention_heads":4,)"
                              R"("intermediate_size":64,"num_hidden_layers":1,"vocab_size":32,)" +
                              fields + "}");
  EXPECT_TRUE(json.ok()) << json.status();
  auto config = ParseModelConfig(*json->if_object());
  EXPECT_TRUE(config.ok()) << config.status();
  return *std::move(config);
}

// Expected are the numbers of Hugging Face transformers 5.23 with PyTorch 2.15 on a CPU. Their pow
// is exact to one unit in the last place, ours to half a unit.
void ExpectFrequencies(const ModelConfig& config, int64_t length, float scale,
                       const std::vector<float>& expected) {
  const RopeFrequencies rope = RopeInverseFrequencies(config, length);
  EXPECT_FLOAT_EQ(rope.attention_scale, scale);
  ASSERT_EQ(rope.inverse.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(rope.inverse[i], expected[i], 2.5e-7f * expected[i]) << "pair " << i;
  }
}

TEST(RopeTest, Default) {
  ExpectFrequencies(ConfigOf(R"("rope_theta":10000.0)"), 0, 1,
                    {1.0f, 0.316227764f, 0.100000001f, 0.0316227786f, 0.00999999978f,
                     0.00316227786f, 0.00100000005f, 0.000316227786f});
}

TEST(RopeTest, Linear) {
  ExpectFrequencies(ConfigOf(R"("rope_scaling":{"type":"linear","factor":2.5})"), 0, 1,
                    {0.400000006f, 0.1264911f, 0.0399999991f, 0.0126491114f, 0.00399999972f,
                     0.00126491114f, 0.000400000019f, 0.000126491112f});
}

TEST(RopeTest, DynamicGrowsWithTheSequenceBeyondTheTrainedLength) {
  const ModelConfig config = ConfigOf(R"("rope_scaling":{"type":"dynamic","factor":2.0})");
  ASSERT_EQ(config.max_position_embeddings, 2048);
  for (const int64_t length : {0, 100, 2048}) {
    ExpectFrequencies(config, length, 1,
                      {1.0f, 0.316227764f, 0.100000001f, 0.0316227786f, 0.00999999978f,
                       0.00316227786f, 0.00100000005f, 0.000316227786f});
  }
  ExpectFrequencies(config, 8000, 1,
                    {1.0f, 0.240412042f, 0.057797946f, 0.0138953235f, 0.00334060285f,
                     0.000803121133f, 0.000193079992f, 4.64187542e-05f});
}

TEST(RopeTest, Llama3) {
  ExpectFrequencies(
      ConfigOf(R"("head_dim":32,"rope_theta":500000.0,"max_position_embeddings":131072,)"
               R"("rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,)"
               R"("high_freq_factor":4.0,"original_max_position_embeddings":8192})"),
      0, 1,
      {1.0f, 0.440366626f, 0.193922758f, 0.0853971019f, 0.0376060307f, 0.0165604409f,
       0.00729266508f, 0.00321144611f, 0.000524846022f, 7.78465546e-05f, 3.42810235e-05f,
       1.50962178e-05f, 6.64786967e-06f, 2.92749974e-06f, 1.28917316e-06f, 5.6770881e-07f});
}

TEST(RopeTest, Yarn) {
  const std::vector<float> expected = {1.0f,
                                       0.421696514f,
                                       0.177827939f,
                                       0.0749894157f,
                                       0.0316227786f,
                                       0.0133352149f,
                                       0.00477990136f,
                                       0.00165996165f,
                                       0.000549999997f,
                                       0.000168678584f,
                                       4.44569851e-05f,
                                       1.87473561e-05f,
                                       7.90569356e-06f,
                                       3.33380353e-06f,
                                       1.40585337e-06f,
                                       5.92843435e-07f};
  const std::string shape =
      R"("head_dim":32,"rope_theta":1000000.0,"max_position_embeddings":131072,)";
  ExpectFrequencies(ConfigOf(shape + R"("rope_scaling":{"type":"yarn","factor":4.0,)"
                                     R"("original_max_position_embeddings":32768})"),
                    0, 1.13862943649292f, expected);
  // Without a factor it is the ratio of the two lengths.
  ExpectFrequencies(ConfigOf(shape + R"("rope_parameters":{"rope_type":"yarn",)"
                                     R"("original_max_position_embeddings":32768})"),
                    0, 1.13862943649292f, expected);
}

TEST(RopeTest, YarnWithScalesOfItsOwn) {
  ExpectFrequencies(
      ConfigOf(R"("max_position_embeddings":163840,"rope_scaling":{"type":"yarn","factor":40.0,)"
               R"("original_max_position_embeddings":4096,"mscale":1.0,"mscale_all_dim":0.8,)"
               R"("beta_fast":24,"beta_slow":2})"),
      0, 1.0569663047790527f,
      {1.0f, 0.316227764f, 0.100000001f, 0.0239147246f, 0.00512499968f, 0.000849862176f,
       2.49999994e-05f, 7.90569447e-06f});
}

TEST(RopeTest, YarnWithoutTruncation) {
  ExpectFrequencies(
      ConfigOf(R"("head_dim":32,"rope_theta":150000.0,"max_position_embeddings":131072,)"
               R"("rope_scaling":{"rope_type":"yarn","factor":32.0,"attention_factor":1.25,)"
               R"("original_max_position_embeddings":4096,"truncate":false})"),
      0, 1.25f,
      {1.0f, 0.47478205f, 0.225418001f, 0.107024416f, 0.0508132726f, 0.0193350017f, 0.00679495931f,
       0.00209379266f, 0.000456483918f, 3.83088118e-05f, 1.8188337e-05f, 8.63549576e-06f,
       4.09997847e-06f, 1.94659629e-06f, 9.24208962e-07f, 4.38797855e-07f});
}

TEST(RopeTest, AllFrequenciesAreFiniteAtTheLimits) {
  for (const char* theta : {"1.001", "1e15"}) {
    for (const char* scaling :
         {R"({"rope_type":"dynamic","factor":1000000})",
          R"({"rope_type":"llama3","factor":1,"low_freq_factor":1e-9,"high_freq_factor":1e6})",
          R"({"rope_type":"yarn","factor":1000000,"original_max_position_embeddings":1})",
          R"({"rope_type":"yarn","factor":1,"beta_fast":1e-9,"beta_slow":1e-9})"}) {
      for (const char* head_dim : {"2", "4", "128"}) {
        const ModelConfig config =
            ConfigOf(std::string(R"("head_dim":)") + head_dim + R"(,"rope_theta":)" + theta +
                     R"(,"rope_scaling":)" + scaling);
        for (const float value : RopeInverseFrequencies(config, 1 << 27).inverse) {
          EXPECT_TRUE(std::isfinite(value) && value >= 0)
              << theta << " " << scaling << " " << head_dim << ": " << value;
        }
      }
    }
  }
}

}  // namespace
}  // namespace llmcore::core
