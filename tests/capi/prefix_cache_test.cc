// The prefix cache through the C ABI and C++: what an application sees of it.
#include <llmcore/experimental.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

nlohmann::json Counts(const llmcore_model* model) {
  llmcore_text* text = nullptr;
  EXPECT_TRUE(Works(llmcore_model_stats_json(model, &text)));
  const Text owned(text);
  const std::string_view json(llmcore_text_data(text), llmcore_text_size(text));
  return nlohmann::json::parse(json)["prefix_cache"];
}

Session SessionOf(const llmcore_model* model, std::string_view tenant) {
  Session session = NewSession(model);
  EXPECT_TRUE(Works(llmcore_session_set_cache_tenant(session.get(), tenant.data(), tenant.size())));
  return session;
}

// A prompt of 100 tokens.
void Read(llmcore_session* session) {
  const std::vector<llmcore_token> ids(100, 7);
  EXPECT_TRUE(Works(llmcore_session_append_tokens(session, ids.data(), ids.size())));
  const float* values = nullptr;
  size_t count = 0;
  EXPECT_TRUE(Works(llmcore_session_logits(session, &values, &count)));
}

TEST(CapiPrefixCacheTest, ASecondPromptIsMostlyThere) {
  const Model model = LoadModel();
  EXPECT_EQ(Counts(model.get())["hit_tokens"], 0);
  Read(NewSession(model.get()).get());
  const nlohmann::json once = Counts(model.get());
  EXPECT_EQ(once["enabled"], true);
  EXPECT_EQ(once["computed_tokens"], 100);
  EXPECT_EQ(once["indexed_blocks"], 3);
  EXPECT_EQ(once["cached_blocks"], 3) << "its session is gone";
  const Session second = NewSession(model.get());
  Read(second.get());
  const nlohmann::json twice = Counts(model.get());
  EXPECT_EQ(twice["hit_tokens"], 96);
  EXPECT_EQ(twice["computed_tokens"], 104);
  EXPECT_EQ(twice["indexed_blocks"], 3);
  EXPECT_EQ(twice["cached_blocks"], 0);
  EXPECT_EQ(twice["evicted_blocks"], 0);
}

TEST(CapiPrefixCacheTest, TenantsDoNotShare) {
  const Model model = LoadModel();
  Read(SessionOf(model.get(), "alice").get());
  Read(SessionOf(model.get(), "bob").get());
  Read(NewSession(model.get()).get());
  EXPECT_EQ(Counts(model.get())["hit_tokens"], 0);
  Read(SessionOf(model.get(), "alice").get());
  EXPECT_EQ(Counts(model.get())["hit_tokens"], 96);
  const Session bob = SessionOf(model.get(), "bob");
  llmcore_session* fork = nullptr;
  ASSERT_TRUE(Works(llmcore_session_fork(bob.get(), &fork)));
  const Session owned(fork);
  Read(fork);
  EXPECT_EQ(Counts(model.get())["hit_tokens"], 192);
}

TEST(CapiPrefixCacheTest, ATenantIsSetFirst) {
  const Session session = NewSession();
  const std::string name(65, 'x');
  EXPECT_TRUE(Works(llmcore_session_set_cache_tenant(session.get(), name.data(), 64)));
  EXPECT_TRUE(Fails(llmcore_session_set_cache_tenant(session.get(), name.data(), 65),
                    LLMCORE_INVALID_ARGUMENT, "65 bytes"));
  EXPECT_TRUE(Fails(llmcore_session_set_cache_tenant(session.get(), nullptr, 1),
                    LLMCORE_INVALID_ARGUMENT, "tenant"));
  EXPECT_TRUE(Works(llmcore_session_set_cache_tenant(session.get(), nullptr, 0)));
  EXPECT_TRUE(Fails(llmcore_session_set_cache_tenant(nullptr, "a", 1), LLMCORE_INVALID_ARGUMENT,
                    "session"));
  Read(session.get());
  EXPECT_TRUE(Fails(llmcore_session_set_cache_tenant(session.get(), "a", 1),
                    LLMCORE_FAILED_PRECONDITION, "before it has any tokens"));
  ASSERT_TRUE(Works(llmcore_session_truncate(session.get(), 0)));
  EXPECT_TRUE(Works(llmcore_session_set_cache_tenant(session.get(), "a", 1)));
}

TEST(CapiPrefixCacheTest, ItCanBeTurnedOff) {
  const Options options = NewOptions();
  EXPECT_TRUE(Fails(llmcore_model_options_set_prefix_cache(nullptr, false),
                    LLMCORE_INVALID_ARGUMENT, "options"));
  ASSERT_TRUE(Works(llmcore_model_options_set_prefix_cache(options.get(), false)));
  const Model model = LoadModel(options.get());
  Read(NewSession(model.get()).get());
  Read(NewSession(model.get()).get());
  const nlohmann::json counts = Counts(model.get());
  EXPECT_EQ(counts["enabled"], false);
  EXPECT_EQ(counts["hit_tokens"], 0);
  EXPECT_EQ(counts["indexed_blocks"], 0);
  EXPECT_EQ(counts["computed_tokens"], 200);
}

TEST(CapiPrefixCacheTest, OutputsAreChecked) {
  llmcore_text* text = Poison<llmcore_text>();
  EXPECT_TRUE(Fails(llmcore_model_stats_json(nullptr, &text), LLMCORE_INVALID_ARGUMENT, "model"));
  EXPECT_EQ(text, nullptr);
  EXPECT_TRUE(Fails(llmcore_model_stats_json(SharedModel(), nullptr), LLMCORE_INVALID_ARGUMENT,
                    "out_text"));
}

TEST(CppPrefixCacheTest, TheCppApiSaysTheSame) {
  const llmcore::Model model = llmcore::Model::Load(kModelPath).value();
  for (const char* tenant : {"alice", "alice", "bob"}) {
    llmcore::Session session(model);
    ASSERT_TRUE(experimental::SetCacheTenant(session, tenant).ok());
    session.AppendTokens(std::vector<llmcore::Token>(100, 7));
    EXPECT_TRUE(session.Logits().ok());
    EXPECT_FALSE(experimental::SetCacheTenant(session, tenant).ok());
  }
  const auto counts = nlohmann::json::parse(experimental::StatsJson(model).value())["prefix_cache"];
  EXPECT_EQ(counts["hit_tokens"], 96);
  const llmcore::Model plain = experimental::Load(kModelPath, {}, {.prefix_cache = false}).value();
  EXPECT_EQ(
      nlohmann::json::parse(experimental::StatsJson(plain).value())["prefix_cache"]["enabled"],
      false);
}

}  // namespace
}  // namespace llmcore::capi_test
