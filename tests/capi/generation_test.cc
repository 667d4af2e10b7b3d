#include <cmath>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

// A case of examples/models/golden.json.
constexpr std::string_view kQuestion = "1.1+2.3=?";
constexpr std::string_view kAnswer = "1.1 + 2.3\nTenths: 1+3=4\nOnes: 1+2=3\nAnswer: 3.4";
const std::vector<llmcore_token> kAnswerIds = {49, 46, 49, 283, 32, 50, 46,  51, 10, 279, 58, 32,
                                               49, 43, 51, 61,  52, 10, 271, 58, 32, 49,  43, 50,
                                               61, 51, 10, 263, 58, 32, 51,  46, 52, 511};

// A session that was asked the question.
Session Asked() {
  Session session = NewSession();
  EXPECT_TRUE(Works(AddMessage(session.get(), "user", kQuestion)));
  return session;
}

TEST(GenerationTest, TheProjectsModelAdds) {
  const Session session = Asked();
  const Generation generation = Generate(session.get(), NewGreedyParams(200).get());
  const Reply reply = ReadAll(generation.get());
  EXPECT_EQ(reply.text, kAnswer);
  EXPECT_EQ(reply.tokens, kAnswerIds);
  EXPECT_EQ(reply.finish_reason, LLMCORE_FINISH_END_OF_TEXT);
  const llmcore_event* event = Poison<llmcore_event>();
  EXPECT_TRUE(Works(llmcore_generation_next(generation.get(), &event)));
  EXPECT_EQ(event, nullptr) << "after the last event there is none, as often as it is asked for";
}

TEST(GenerationTest, TheReplyBecomesPartOfTheConversation) {
  const Session session = Asked();
  ReadAll(Generate(session.get(), NewGreedyParams(200).get()).get());
  ASSERT_TRUE(Works(AddMessage(session.get(), "user", "2+2=?")));
  const Reply reply = ReadAll(Generate(session.get(), NewGreedyParams(200).get()).get());
  EXPECT_THAT(reply.text, testing::EndsWith("4"));
  llmcore_tokenizer* tokenizer = nullptr;
  ASSERT_TRUE(Works(llmcore_tokenizer_of(SharedModel(), &tokenizer)));
  const Tokenizer owned(tokenizer);
  const std::vector<llmcore_token> ids = TokensOf(session.get());
  llmcore_text* text = nullptr;
  ASSERT_TRUE(Works(llmcore_tokenizer_decode(tokenizer, ids.data(), ids.size(), 0, &text)));
  EXPECT_THAT(Take(text), testing::HasSubstr("Answer: 3.4<|end|><|user|>2+2=?<|end|>"));
}

TEST(GenerationTest, EndsAfterMaxTokens) {
  const Session session = Asked();
  const Reply reply = ReadAll(Generate(session.get(), NewGreedyParams(5).get()).get());
  EXPECT_EQ(reply.tokens, std::vector<llmcore_token>(kAnswerIds.begin(), kAnswerIds.begin() + 5));
  EXPECT_EQ(reply.finish_reason, LLMCORE_FINISH_MAX_TOKENS);
}

TEST(GenerationTest, EndsWhereTheContextIsFull) {
  const Options options = NewOptions();
  ASSERT_TRUE(Works(llmcore_model_options_set_max_context(options.get(), 16)));
  const Model model = LoadModel(options.get());
  const Session session = NewSession(model.get());
  ASSERT_TRUE(Works(AddMessage(session.get(), "user", kQuestion)));
  const Reply reply = ReadAll(Generate(session.get(), NewGreedyParams(200).get()).get());
  EXPECT_EQ(reply.finish_reason, LLMCORE_FINISH_CONTEXT_FULL);
  EXPECT_LE(llmcore_session_length(session.get()), 16u);
}

TEST(GenerationTest, AStopTextEndsTheReplyAndIsNotPartOfIt) {
  const Session session = Asked();
  const Params params = NewGreedyParams(200);
  ASSERT_TRUE(Works(llmcore_sampling_params_add_stop(params.get(), "Ones: 1+", 8)));
  ASSERT_TRUE(Works(llmcore_sampling_params_add_stop(params.get(), "never", 5)));
  const Reply reply = ReadAll(Generate(session.get(), params.get()).get());
  EXPECT_EQ(reply.text, "1.1 + 2.3\nTenths: 1+3=4\n");
  EXPECT_EQ(reply.finish_reason, LLMCORE_FINISH_STOP);
}

TEST(GenerationTest, ABiasForbidsAToken) {
  const Session session = Asked();
  const Params params = NewGreedyParams(200);
  ASSERT_TRUE(Works(llmcore_sampling_params_add_logit_bias(params.get(), 49, 5)));
  ASSERT_TRUE(Works(llmcore_sampling_params_add_logit_bias(params.get(), 49, -INFINITY)));
  for (const llmcore_token id : ReadAll(Generate(session.get(), params.get()).get()).tokens) {
    EXPECT_NE(id, 49);
  }
  ASSERT_TRUE(Works(llmcore_sampling_params_add_logit_bias(params.get(), 512, 1)));
  const Generation generation = Generate(session.get(), params.get());
  const llmcore_event* event = Poison<llmcore_event>();
  EXPECT_TRUE(
      Fails(llmcore_generation_next(generation.get(), &event), LLMCORE_INVALID_ARGUMENT, "512"));
  EXPECT_EQ(event, nullptr);
}

TEST(GenerationTest, ReportsLogprobsBestFirst) {
  const Session session = Asked();
  const Params params = NewGreedyParams(3);
  ASSERT_TRUE(Works(llmcore_sampling_params_set_logprobs(params.get(), 4)));
  const Generation generation = Generate(session.get(), params.get());
  const llmcore_event* event = nullptr;
  ASSERT_TRUE(Works(llmcore_generation_next(generation.get(), &event)));
  ASSERT_EQ(llmcore_event_top_logprob_count(event), 4u);
  llmcore_token token = LLMCORE_NO_TOKEN;
  float logprob = 1;
  ASSERT_TRUE(Works(llmcore_event_top_logprob(event, 0, &token, &logprob)));
  EXPECT_EQ(token, llmcore_event_token(event));
  EXPECT_EQ(logprob, llmcore_event_logprob(event));
  EXPECT_LE(logprob, 0);
  float last = logprob;
  for (size_t i = 1; i < 4; ++i) {
    ASSERT_TRUE(Works(llmcore_event_top_logprob(event, i, &token, &logprob)));
    EXPECT_LE(logprob, last);
    last = logprob;
  }
  EXPECT_TRUE(
      Fails(llmcore_event_top_logprob(event, 4, &token, &logprob), LLMCORE_INVALID_ARGUMENT));
  EXPECT_EQ(token, 0);
}

TEST(GenerationTest, TheSameSeedGivesTheSameTokens) {
  const Params params = NewParams();
  ASSERT_TRUE(Works(llmcore_sampling_params_set_temperature(params.get(), 2)));
  ASSERT_TRUE(Works(llmcore_sampling_params_set_seed(params.get(), 42)));
  ASSERT_TRUE(Works(llmcore_sampling_params_set_max_tokens(params.get(), 20)));
  const Session first = Asked();
  const Session second = Asked();
  EXPECT_EQ(ReadAll(Generate(first.get(), params.get()).get()).tokens,
            ReadAll(Generate(second.get(), params.get()).get()).tokens);
}

TEST(GenerationTest, AnEmptySessionHasNothingToGoOnFrom) {
  const Session session = NewSession();
  llmcore_generation* generation = Poison<llmcore_generation>();
  EXPECT_TRUE(Fails(llmcore_session_generate(session.get(), nullptr, &generation),
                    LLMCORE_FAILED_PRECONDITION));
  EXPECT_EQ(generation, nullptr);
}

TEST(GenerationTest, ALaterCallOnTheSessionEndsIt) {
  const Session session = Asked();
  const Generation first = Generate(session.get(), NewGreedyParams(200).get());
  const llmcore_event* event = nullptr;
  ASSERT_TRUE(Works(llmcore_generation_next(first.get(), &event)));
  const Generation second = Generate(session.get(), NewGreedyParams(200).get());
  EXPECT_TRUE(
      Fails(llmcore_generation_next(first.get(), &event), LLMCORE_FAILED_PRECONDITION, "ended"));
  EXPECT_EQ(event, nullptr);
  EXPECT_TRUE(Works(llmcore_generation_next(first.get(), &event)));
  EXPECT_EQ(event, nullptr);
  ASSERT_TRUE(Works(llmcore_generation_next(second.get(), &event)));
  EXPECT_NE(event, nullptr) << "destroying or asking the first does not touch the second";
  ASSERT_TRUE(Works(AddMessage(session.get(), "user", kQuestion)));
  EXPECT_TRUE(Fails(llmcore_generation_next(second.get(), &event), LLMCORE_FAILED_PRECONDITION));
}

TEST(GenerationTest, DestroyingAnEndedOneLeavesTheNextAlone) {
  const Session session = Asked();
  Generation first = Generate(session.get(), NewGreedyParams(200).get());
  const Generation second = Generate(session.get(), NewGreedyParams(3).get());
  first.reset();
  EXPECT_EQ(ReadAll(second.get()).tokens.size(), 3u);
}

TEST(GenerationTest, StoppingEarlyKeepsWhatWasGenerated) {
  const Session session = Asked();
  Generation generation = Generate(session.get(), NewGreedyParams(200).get());
  const llmcore_event* event = nullptr;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Works(llmcore_generation_next(generation.get(), &event)));
  generation.reset();
  const std::vector<llmcore_token> ids = TokensOf(session.get());
  ASSERT_GE(ids.size(), 4u);
  EXPECT_TRUE(Works(AddMessage(session.get(), "user", "2+2=?")));
}

TEST(GenerationTest, CancelEndsItAndTheSessionGoesOn) {
  const Session session = Asked();
  const Generation generation = Generate(session.get(), NewGreedyParams(200).get());
  const llmcore_event* event = nullptr;
  ASSERT_TRUE(Works(llmcore_generation_next(generation.get(), &event)));
  llmcore_session_cancel(session.get());
  EXPECT_TRUE(Fails(llmcore_generation_next(generation.get(), &event), LLMCORE_CANCELLED));
  EXPECT_EQ(event, nullptr);
  EXPECT_TRUE(Works(llmcore_generation_next(generation.get(), &event)));
  EXPECT_EQ(event, nullptr);
  ASSERT_TRUE(Works(AddMessage(session.get(), "user", kQuestion)));
  EXPECT_FALSE(ReadAll(Generate(session.get(), NewGreedyParams(200).get()).get()).text.empty());
}

}  // namespace
}  // namespace llmcore::capi_test
