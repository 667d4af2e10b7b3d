// Several answers, and the log-probabilities of a prompt.
#include <cmath>
#include <limits>
#include <thread>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

constexpr uint32_t kInvalid = LLMCORE_INVALID_ARGUMENT;

Session Asked(const llmcore_model* model = SharedModel()) {
  Session session = NewSession(model);
  EXPECT_TRUE(Works(AddMessage(session.get(), "user", "1.1+2.3=?")));
  return session;
}

Params Warm(uint64_t seed, uint64_t max_tokens) {
  Params params = NewParams();
  EXPECT_TRUE(Works(llmcore_sampling_params_set_temperature(params.get(), 1.5f)));
  EXPECT_TRUE(Works(llmcore_sampling_params_set_seed(params.get(), seed)));
  EXPECT_TRUE(Works(llmcore_sampling_params_set_max_tokens(params.get(), max_tokens)));
  return params;
}

Answers Sample(llmcore_session* session, const llmcore_sampling_params* params, uint32_t n,
               uint32_t best_of) {
  llmcore_answers* answers = nullptr;
  EXPECT_TRUE(Works(llmcore_session_sample_answers(session, params, n, best_of, &answers)));
  return Answers(answers);
}

Answers Search(llmcore_session* session, uint32_t width, uint64_t max_tokens, uint32_t n) {
  llmcore_answers* answers = nullptr;
  EXPECT_TRUE(
      Works(llmcore_session_beam_search(session, width, max_tokens, 1, false, n, &answers)));
  return Answers(answers);
}

std::vector<llmcore_token> TokensOf(const llmcore_answers* answers, size_t index) {
  const llmcore_token* ids = nullptr;
  const float* logprobs = nullptr;
  size_t count = 0;
  EXPECT_TRUE(Works(llmcore_answers_tokens(answers, index, &ids, &logprobs, &count)));
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += static_cast<double>(logprobs[i]);
  EXPECT_NEAR(sum, llmcore_answers_logprob(answers, index), 1e-9);
  return std::vector<llmcore_token>(ids, ids + count);
}

TEST(AnswersTest, SamplesAreOrderedAndTheFirstCandidateIsTheReply) {
  const Session session = Asked();
  const uint64_t length = llmcore_session_length(session.get());
  const Params params = Warm(4, 50);
  const Answers answers = Sample(session.get(), params.get(), 5, 5);
  EXPECT_EQ(llmcore_session_length(session.get()), length);
  ASSERT_EQ(llmcore_answers_count(answers.get()), 5u);
  const Reply reply = ReadAll(Generate(session.get(), params.get()).get());
  size_t replies = 0;
  for (size_t i = 0; i < 5; ++i) {
    const std::vector<llmcore_token> tokens = TokensOf(answers.get(), i);
    EXPECT_NEAR(llmcore_answers_score(answers.get(), i),
                llmcore_answers_logprob(answers.get(), i) / static_cast<double>(tokens.size()),
                1e-9);
    if (i > 0) {
      EXPECT_LE(llmcore_answers_score(answers.get(), i),
                llmcore_answers_score(answers.get(), i - 1));
    }
    if (llmcore_answers_candidate(answers.get(), i) != 0) continue;
    ++replies;
    EXPECT_EQ(tokens, reply.tokens);
    EXPECT_EQ(llmcore_answers_text(answers.get(), i), reply.text);
    EXPECT_EQ(llmcore_answers_text_size(answers.get(), i), reply.text.size());
    EXPECT_EQ(llmcore_answers_finish_reason(answers.get(), i), reply.finish_reason);
  }
  EXPECT_EQ(replies, 1u);
}

TEST(AnswersTest, BeamsFindTheAnswer) {
  const Session session = Asked();
  const uint64_t length = llmcore_session_length(session.get());
  const Answers answers = Search(session.get(), 4, 0, 2);
  EXPECT_EQ(llmcore_session_length(session.get()), length);
  ASSERT_EQ(llmcore_answers_count(answers.get()), 2u);
  EXPECT_THAT(llmcore_answers_text(answers.get(), 0), testing::EndsWith("3.4"));
  EXPECT_EQ(llmcore_answers_finish_reason(answers.get(), 0), LLMCORE_FINISH_END_OF_TEXT);
  EXPECT_GE(llmcore_answers_score(answers.get(), 0), llmcore_answers_score(answers.get(), 1));
  EXPECT_EQ(llmcore_answers_candidate(answers.get(), 1), 1u);
  EXPECT_NE(TokensOf(answers.get(), 0), TokensOf(answers.get(), 1));
  // The conversation goes on with it.
  ASSERT_TRUE(
      Works(AddMessage(session.get(), "assistant", llmcore_answers_text(answers.get(), 0))));
  ASSERT_TRUE(Works(AddMessage(session.get(), "user", "2+2=?")));
  EXPECT_THAT(llmcore_answers_text(Search(session.get(), 2, 60, 1).get(), 0),
              testing::EndsWith("4"));
}

TEST(AnswersTest, AnIndexPastTheEndIsNoAnswer) {
  const Session session = Asked();
  const Answers answers = Search(session.get(), 2, 3, 2);
  for (const size_t index : {size_t{2}, SIZE_MAX}) {
    EXPECT_STREQ(llmcore_answers_text(answers.get(), index), "");
    EXPECT_EQ(llmcore_answers_text_size(answers.get(), index), 0u);
    EXPECT_EQ(llmcore_answers_finish_reason(answers.get(), index), LLMCORE_FINISH_NONE);
    EXPECT_EQ(llmcore_answers_logprob(answers.get(), index), 0);
    EXPECT_EQ(llmcore_answers_score(answers.get(), index), 0);
    EXPECT_EQ(llmcore_answers_candidate(answers.get(), index), 0u);
    const llmcore_token* ids = Poison<llmcore_token>();
    const float* logprobs = Poison<float>();
    size_t count = 7;
    EXPECT_TRUE(Fails(llmcore_answers_tokens(answers.get(), index, &ids, &logprobs, &count),
                      kInvalid, "index"));
    EXPECT_EQ(ids, nullptr);
    EXPECT_EQ(logprobs, nullptr);
    EXPECT_EQ(count, 0u);
  }
}

TEST(AnswersTest, NumbersOutOfRangeAreNamed) {
  const Session owned = Asked();
  llmcore_session* session = owned.get();
  llmcore_answers* answers = Poison<llmcore_answers>();
  const auto sample = [&](uint32_t n, uint32_t best_of) {
    return llmcore_session_sample_answers(session, nullptr, n, best_of, &answers);
  };
  EXPECT_TRUE(Fails(sample(0, 1), kInvalid, "n "));
  EXPECT_TRUE(Fails(sample(2, 1), kInvalid, "n "));
  EXPECT_TRUE(Fails(sample(1, 0), kInvalid, "best_of"));
  EXPECT_TRUE(Fails(sample(1, UINT32_MAX), kInvalid, "best_of"));
  EXPECT_TRUE(Fails(sample(UINT32_MAX, UINT32_MAX), kInvalid, "best_of"));
  const auto search = [&](uint32_t width, uint64_t max_tokens, double penalty, uint32_t n) {
    return llmcore_session_beam_search(session, width, max_tokens, penalty, true, n, &answers);
  };
  EXPECT_TRUE(Fails(search(0, 1, 1, 1), kInvalid, "width"));
  EXPECT_TRUE(Fails(search(UINT32_MAX, 1, 1, 1), kInvalid, "width"));
  EXPECT_TRUE(Fails(search(4, 1, 1, 5), kInvalid, "n "));
  EXPECT_TRUE(Fails(search(4, 1, 1, 0), kInvalid, "n "));
  EXPECT_TRUE(Fails(search(4, UINT64_MAX, 1, 1), kInvalid, "max_tokens"));
  for (const double penalty : {std::nan(""), HUGE_VAL, 16.5, -1e300}) {
    EXPECT_TRUE(Fails(search(4, 1, penalty, 1), kInvalid, "length_penalty"));
  }
  llmcore_prompt_logprobs* logprobs = Poison<llmcore_prompt_logprobs>();
  EXPECT_TRUE(Fails(llmcore_session_prompt_logprobs(session, 1025, &logprobs), kInvalid, "top"));
  EXPECT_TRUE(
      Fails(llmcore_session_prompt_logprobs(session, UINT32_MAX, &logprobs), kInvalid, "top"));
  EXPECT_EQ(answers, nullptr);
  EXPECT_EQ(logprobs, nullptr);
  const Session empty = NewSession();
  EXPECT_TRUE(Fails(llmcore_session_sample_answers(empty.get(), nullptr, 1, 1, &answers),
                    LLMCORE_FAILED_PRECONDITION));
  EXPECT_TRUE(Fails(llmcore_session_beam_search(empty.get(), 1, 1, 1, false, 1, &answers),
                    LLMCORE_FAILED_PRECONDITION));
  EXPECT_TRUE(Fails(llmcore_session_prompt_logprobs(empty.get(), 1, &logprobs),
                    LLMCORE_FAILED_PRECONDITION));
}

TEST(AnswersTest, ThoseThatACacheDoesNotHoldAtOnceTakeTurns) {
  const Options options = NewOptions();
  ASSERT_TRUE(Works(llmcore_model_options_set_max_context(options.get(), 256)));
  ASSERT_TRUE(Works(llmcore_model_options_set_kv_cache_tokens(options.get(), 256)));
  const Model model = LoadModel(options.get());
  const Session session = Asked(model.get());
  const Session roomy = Asked();
  const Params params = Warm(1, 60);
  ASSERT_TRUE(Works(llmcore_sampling_params_set_ignore_eos(params.get(), true)));
  const Answers answers = Sample(session.get(), params.get(), 9, 9);
  const Answers expected = Sample(roomy.get(), params.get(), 9, 9);
  for (size_t i = 0; i < 9; ++i) {
    const llmcore_token* ids[2];
    const float* logprobs[2];
    size_t counts[2];
    ASSERT_TRUE(Works(llmcore_answers_tokens(answers.get(), i, &ids[0], &logprobs[0], &counts[0])));
    ASSERT_TRUE(
        Works(llmcore_answers_tokens(expected.get(), i, &ids[1], &logprobs[1], &counts[1])));
    EXPECT_EQ(std::vector<llmcore_token>(ids[0], ids[0] + counts[0]),
              std::vector<llmcore_token>(ids[1], ids[1] + counts[1]));
    EXPECT_EQ(std::vector<float>(logprobs[0], logprobs[0] + counts[0]),
              std::vector<float>(logprobs[1], logprobs[1] + counts[1]));
  }
}

TEST(AnswersTest, CancelEndsThemAndTheSessionGoesOn) {
  const Session session = Asked();
  const uint64_t length = llmcore_session_length(session.get());
  llmcore_session_cancel(session.get());
  llmcore_answers* answers = Poison<llmcore_answers>();
  EXPECT_TRUE(
      Fails(llmcore_session_sample_answers(session.get(), Warm(1, 500).get(), 8, 8, &answers),
            LLMCORE_CANCELLED));
  llmcore_session_cancel(session.get());
  EXPECT_TRUE(Fails(llmcore_session_beam_search(session.get(), 4, 0, 1, false, 1, &answers),
                    LLMCORE_CANCELLED));
  EXPECT_EQ(answers, nullptr);
  EXPECT_EQ(llmcore_session_length(session.get()), length);
  EXPECT_EQ(llmcore_answers_count(Search(session.get(), 2, 5, 2).get()), 2u);
}

TEST(AnswersTest, ACallInFlightKeepsOthersOut) {
  const Session session = Asked();
  const Params params = Warm(1, 300);
  ASSERT_TRUE(Works(llmcore_sampling_params_set_ignore_eos(params.get(), true)));
  std::thread other([&] {
    llmcore_answers* answers = nullptr;
    llmcore_error* error =
        llmcore_session_sample_answers(session.get(), params.get(), 8, 8, &answers);
    const Answers owned(answers);
    // Whichever of the two came first.
    EXPECT_TRUE(error == nullptr || Fails(error, LLMCORE_FAILED_PRECONDITION, "in flight"));
  });
  llmcore_answers* answers = nullptr;
  llmcore_error* error = llmcore_session_beam_search(session.get(), 2, 50, 1, false, 1, &answers);
  const Answers owned(answers);
  EXPECT_TRUE(error == nullptr || Fails(error, LLMCORE_FAILED_PRECONDITION, "in flight"));
  other.join();
}

TEST(PromptLogprobsTest, AreThoseOfAllLogits) {
  const Session session = Asked();
  const std::vector<llmcore_token> ids = capi_test::TokensOf(session.get());
  llmcore_prompt_logprobs* handle = nullptr;
  ASSERT_TRUE(Works(llmcore_session_prompt_logprobs(session.get(), 3, &handle)));
  const PromptLogprobs logprobs(handle);
  const float* values = nullptr;
  size_t count = 0;
  ASSERT_TRUE(Works(llmcore_prompt_logprobs_values(handle, &values, &count)));
  ASSERT_EQ(count, ids.size());
  EXPECT_TRUE(std::isnan(values[0]));
  ASSERT_EQ(llmcore_prompt_logprobs_top_count(handle), 3u);
  const float* rows = nullptr;
  size_t row_count = 0;
  size_t columns = 0;
  ASSERT_TRUE(Works(llmcore_session_all_logits(session.get(), 0, &rows, &row_count, &columns)));
  for (size_t i = 1; i < count; ++i) {
    const float* row = rows + (i - 1) * columns;
    double sum = 0;
    for (size_t id = 0; id < columns; ++id) sum += std::exp(static_cast<double>(row[id]));
    EXPECT_NEAR(values[i], static_cast<double>(row[ids[i]]) - std::log(sum), 1e-5);
    float last = std::numeric_limits<float>::infinity();
    for (size_t rank = 0; rank < 3; ++rank) {
      llmcore_token token = LLMCORE_NO_TOKEN;
      float logprob = 1;
      ASSERT_TRUE(Works(llmcore_prompt_logprobs_top(handle, i, rank, &token, &logprob)));
      EXPECT_NEAR(logprob, static_cast<double>(row[token]) - std::log(sum), 1e-5);
      EXPECT_LE(logprob, last);
      last = logprob;
      EXPECT_TRUE(logprob >= values[i] || rank > 0);
    }
  }
  llmcore_token token = 7;
  float logprob = 7;
  for (const uint64_t position : {uint64_t{0}, uint64_t{count}, UINT64_MAX}) {
    EXPECT_TRUE(Fails(llmcore_prompt_logprobs_top(handle, position, 0, &token, &logprob), kInvalid,
                      "position"));
  }
  EXPECT_TRUE(Fails(llmcore_prompt_logprobs_top(handle, 1, 3, &token, &logprob), kInvalid, "rank"));
  EXPECT_EQ(token, 0);
  EXPECT_EQ(logprob, 0);
}

}  // namespace
}  // namespace llmcore::capi_test
