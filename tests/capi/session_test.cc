#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

const std::vector<llmcore_token> kIds = {506, 509, 49, 46, 49, 43, 50, 46, 51, 61, 63, 511, 510};

void Append(llmcore_session* session, const std::vector<llmcore_token>& ids) {
  ASSERT_TRUE(Works(llmcore_session_append_tokens(session, ids.data(), ids.size())));
}

std::vector<float> LogitsOf(llmcore_session* session) {
  const float* values = nullptr;
  size_t count = 0;
  EXPECT_TRUE(Works(llmcore_session_logits(session, &values, &count)));
  return std::vector<float>(values, values + count);
}

TEST(SessionTest, HoldsTheTokensThatWereAppended) {
  const Session session = NewSession();
  EXPECT_EQ(llmcore_session_length(session.get()), 0u);
  Append(session.get(), kIds);
  EXPECT_EQ(TokensOf(session.get()), kIds);
}

TEST(SessionTest, RefusesTokensOutsideTheVocabularyAndStaysAsItWas) {
  const Session session = NewSession();
  Append(session.get(), kIds);
  for (const llmcore_token bad : {-1, 512, INT32_MAX, INT32_MIN}) {
    const llmcore_token ids[] = {49, bad};
    EXPECT_TRUE(
        Fails(llmcore_session_append_tokens(session.get(), ids, 2), LLMCORE_INVALID_ARGUMENT));
  }
  EXPECT_EQ(TokensOf(session.get()), kIds);
}

TEST(SessionTest, RefusesMoreTokensThanTheContext) {
  const Options options = NewOptions();
  ASSERT_TRUE(Works(llmcore_model_options_set_max_context(options.get(), 16)));
  const Model model = LoadModel(options.get());
  const Session session = NewSession(model.get());
  Append(session.get(), kIds);
  EXPECT_TRUE(Fails(llmcore_session_append_tokens(session.get(), kIds.data(), kIds.size()),
                    LLMCORE_RESOURCE_EXHAUSTED, "16"));
  EXPECT_EQ(TokensOf(session.get()), kIds);
}

TEST(SessionTest, LogitsAreThoseOfTheLastOfAllPositions) {
  const Session session = NewSession();
  Append(session.get(), kIds);
  const std::vector<float> last = LogitsOf(session.get());
  ASSERT_EQ(last.size(), 512u);
  const float* values = nullptr;
  size_t rows = 0;
  size_t columns = 0;
  ASSERT_TRUE(Works(llmcore_session_all_logits(session.get(), 3, &values, &rows, &columns)));
  ASSERT_EQ(rows, kIds.size() - 3);
  ASSERT_EQ(columns, 512u);
  EXPECT_EQ(std::vector<float>(values + (rows - 1) * columns, values + rows * columns), last);
  EXPECT_TRUE(
      Fails(llmcore_session_all_logits(session.get(), kIds.size(), &values, &rows, &columns),
            LLMCORE_INVALID_ARGUMENT));
  EXPECT_EQ(values, nullptr);
  EXPECT_EQ(rows, 0u);
  EXPECT_EQ(columns, 0u);
}

TEST(SessionTest, AnEmptySessionHasNoLogits) {
  const float* values = Poison<float>();
  size_t count = 7;
  EXPECT_TRUE(Fails(llmcore_session_logits(NewSession().get(), &values, &count),
                    LLMCORE_FAILED_PRECONDITION));
  EXPECT_EQ(values, nullptr);
  EXPECT_EQ(count, 0u);
}

TEST(SessionTest, TruncatingAndAppendingAgainChangesNoBit) {
  const Session session = NewSession();
  Append(session.get(), kIds);
  const std::vector<float> before = LogitsOf(session.get());
  ASSERT_TRUE(Works(llmcore_session_truncate(session.get(), 5)));
  EXPECT_EQ(llmcore_session_length(session.get()), 5u);
  EXPECT_TRUE(Fails(llmcore_session_truncate(session.get(), 6), LLMCORE_INVALID_ARGUMENT));
  EXPECT_EQ(llmcore_session_length(session.get()), 5u);
  Append(session.get(), std::vector<llmcore_token>(kIds.begin() + 5, kIds.end()));
  EXPECT_EQ(LogitsOf(session.get()), before);
}

TEST(SessionTest, AForkGoesItsOwnWay) {
  const Session session = NewSession();
  Append(session.get(), kIds);
  const std::vector<float> before = LogitsOf(session.get());
  llmcore_session* forked = nullptr;
  ASSERT_TRUE(Works(llmcore_session_fork(session.get(), &forked)));
  const Session fork(forked);
  EXPECT_EQ(TokensOf(fork.get()), kIds);
  Append(fork.get(), {49});
  EXPECT_NE(LogitsOf(fork.get()), before);
  EXPECT_EQ(TokensOf(session.get()), kIds);
  EXPECT_EQ(LogitsOf(session.get()), before);
}

TEST(SessionTest, SavesAndRestores) {
  const std::string path = testing::TempDir() + "llmcore_capi_session_test.bin";
  const Session session = NewSession();
  Append(session.get(), kIds);
  const std::vector<float> before = LogitsOf(session.get());
  ASSERT_TRUE(Works(llmcore_session_save(session.get(), path.data(), path.size())));
  llmcore_session* loaded = nullptr;
  ASSERT_TRUE(Works(llmcore_session_restore(SharedModel(), path.data(), path.size(), &loaded)));
  const Session restored(loaded);
  EXPECT_EQ(TokensOf(restored.get()), kIds);
  EXPECT_EQ(LogitsOf(restored.get()), before);
  std::remove(path.c_str());
  llmcore_session* missing = Poison<llmcore_session>();
  EXPECT_TRUE(Fails(llmcore_session_restore(SharedModel(), path.data(), path.size(), &missing),
                    LLMCORE_NOT_FOUND));
  EXPECT_EQ(missing, nullptr);
}

TEST(SessionTest, RefusesADamagedFile) {
  const std::string path = testing::TempDir() + "llmcore_capi_damaged_test.bin";
  std::ofstream(path, std::ios::binary) << "this is not a session";
  llmcore_session* session = Poison<llmcore_session>();
  const Error error(llmcore_session_restore(SharedModel(), path.data(), path.size(), &session));
  EXPECT_NE(error, nullptr);
  EXPECT_EQ(session, nullptr);
  std::remove(path.c_str());
}

TEST(SessionTest, HoldsMessagesOrTextButNotBoth) {
  const Session session = NewSession();
  ASSERT_TRUE(Works(AddMessage(session.get(), "user", "1.1+2.3=?")));
  EXPECT_TRUE(
      Fails(llmcore_session_append_text(session.get(), "a", 1), LLMCORE_FAILED_PRECONDITION));
}

TEST(SessionTest, ChatVariablesAreAnObject) {
  const Session session = NewSession();
  EXPECT_TRUE(Works(llmcore_session_set_chat_variables(session.get(), R"({"tools": []})", 13)));
  EXPECT_TRUE(
      Fails(llmcore_session_set_chat_variables(session.get(), "[1]", 3), LLMCORE_INVALID_ARGUMENT));
  EXPECT_TRUE(
      Fails(llmcore_session_set_chat_variables(session.get(), "{", 1), LLMCORE_INVALID_ARGUMENT));
}

TEST(SessionTest, CancelBeforeTheCallCancelsIt) {
  const Session session = NewSession();
  Append(session.get(), kIds);
  llmcore_session_cancel(session.get());
  const float* values = nullptr;
  size_t count = 0;
  EXPECT_TRUE(Fails(llmcore_session_logits(session.get(), &values, &count), LLMCORE_CANCELLED));
  EXPECT_EQ(LogitsOf(session.get()).size(), 512u) << "the next call goes on";
}

}  // namespace
}  // namespace llmcore::capi_test
