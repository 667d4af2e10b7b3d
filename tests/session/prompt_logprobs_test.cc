// Log-probabilities of a prompt are those of its logits.
#include <cmath>
#include <numeric>
#include <vector>

#include "tests/session/support.h"

namespace llmcore::core {
namespace {

TEST(PromptLogprobsTest, AreThoseOfTheLogits) {
  for (const int32_t chunk : {7, 512}) {
    ModelOptions options;
    options.max_batch_tokens = chunk;
    const auto model = LoadModel(options);
    const auto vocabulary = static_cast<size_t>(model->config().vocab_size);
    const auto tokens = RandomTokens(90, 7);
    std::vector<float> rows;
    ASSERT_TRUE(SessionOf(model, tokens)->AllLogits(0, &rows).ok());
    const auto session = SessionOf(model, tokens);
    ASSERT_TRUE(session->Logits().ok());  // computed positions are no hindrance
    const auto result = session->LogprobsOfTokens(5);
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->logprobs.size(), tokens.size());
    ASSERT_EQ(result->top_count, 5u);
    EXPECT_TRUE(std::isnan(result->logprobs[0]));
    for (size_t i = 1; i < tokens.size(); ++i) {
      const auto expected = LogSoftmax(std::span(rows).subspan((i - 1) * vocabulary, vocabulary));
      EXPECT_NEAR(result->logprobs[i], expected[static_cast<size_t>(tokens[i])], 2e-6) << i;
      std::vector<size_t> order(vocabulary);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(),
                       [&](size_t a, size_t b) { return expected[a] > expected[b]; });
      for (size_t rank = 0; rank < 5; ++rank) {
        EXPECT_EQ(result->TopAt(i)[rank].id, static_cast<TokenId>(order[rank])) << i;
        EXPECT_NEAR(result->TopAt(i)[rank].logprob, expected[order[rank]], 2e-6);
      }
    }
    // The last logits were kept for what follows.
    const auto last = *session->Logits();
    EXPECT_TRUE(
        std::equal(last.begin(), last.end(), rows.end() - static_cast<ptrdiff_t>(vocabulary)));
  }
}

TEST(PromptLogprobsTest, AreOfTheTokensAsTheyStand) {
  const auto model = LoadModel();
  const auto one = SessionOf(model, {17});
  const auto alone = one->LogprobsOfTokens(3);
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ(alone->logprobs.size(), 1u);
  EXPECT_TRUE(alone->top.empty());
  const auto whole = SessionOf(model, {1, 2, 3})->LogprobsOfTokens(SamplingParams::kMaxLogprobs);
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(whole->top_count, static_cast<size_t>(model->config().vocab_size));
  EXPECT_TRUE(SessionOf(model, {1, 2, 3})->LogprobsOfTokens(0)->top.empty());
}

TEST(PromptLogprobsTest, FailuresLeaveTheSession) {
  ModelOptions options;
  options.max_context = 128;
  options.kv_cache_tokens = 128;
  const auto model = LoadModel(options);
  const auto session = SessionOf(model, RandomTokens(100, 1));
  for (const int32_t top : {-1, 1025}) {
    EXPECT_EQ(session->LogprobsOfTokens(top).status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ((*Session::Create(model))->LogprobsOfTokens(1).status().code(),
            absl::StatusCode::kFailedPrecondition);
  const auto occupant = SessionOf(model, RandomTokens(100, 2));
  ASSERT_TRUE(occupant->Logits().ok());
  EXPECT_TRUE(session->LogprobsOfTokens(1).ok()) << "the occupant gives its blocks up";
  session->Cancel();
  EXPECT_EQ(session->LogprobsOfTokens(1).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(TokensOf(*session), RandomTokens(100, 1));
  EXPECT_TRUE(session->LogprobsOfTokens(1).ok());
}

}  // namespace
}  // namespace llmcore::core
