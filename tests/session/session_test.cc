#include "lib/session/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/file.h"

namespace llmcore::core {
namespace {

std::string Abacus() {
  return std::string(LLMCORE_SOURCE_DIR) + "/examples/models/abacus";
}

std::shared_ptr<const Model> Load(ModelOptions options = {}) {
  options.device = "cpu";
  auto model = Model::Load(Abacus(), options);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *model : nullptr;
}

std::unique_ptr<Session> NewSession(const std::shared_ptr<const Model>& model) {
  return *Session::Create(model);
}

std::vector<TokenId> RandomTokens(size_t count, uint64_t seed, int32_t vocabulary) {
  std::mt19937_64 random(seed);
  std::vector<TokenId> tokens(count);
  for (TokenId& token : tokens)
    token = static_cast<TokenId>(random() % static_cast<uint64_t>(vocabulary));
  return tokens;
}

std::vector<float> AllLogits(Session* session) {
  std::vector<float> logits;
  const absl::Status status = session->AllLogits(0, &logits);
  EXPECT_TRUE(status.ok()) << status;
  return logits;
}

std::vector<float> LogitsOf(const std::shared_ptr<const Model>& model,
                            const std::vector<TokenId>& tokens) {
  const auto session = NewSession(model);
  EXPECT_TRUE(session->AppendTokens(tokens).ok());
  return AllLogits(session.get());
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Reply {
  std::vector<TokenId> tokens;
  std::vector<std::string> pieces;
  std::string text;
  FinishReason reason = FinishReason::kNone;
  absl::Status status;
};

Reply Generate(Session* session, const GenerationParams& params) {
  Reply reply;
  reply.status = session->StartGeneration(params);
  while (reply.status.ok() && reply.reason == FinishReason::kNone) {
    const auto event = session->NextEvent();
    reply.status = event.status();
    if (!event.ok()) break;
    if (event->has_token) reply.tokens.push_back(event->token);
    reply.pieces.push_back(event->text);
    reply.text += event->text;
    reply.reason = event->finish_reason;
  }
  return reply;
}

GenerationParams Greedy(int64_t max_tokens = 200) {
  GenerationParams params;
  params.temperature = 0;
  params.max_tokens = max_tokens;
  return params;
}

TEST(SessionTest, TheModelAnswers) {
  const auto session = NewSession(Load());
  ASSERT_TRUE(session->AppendMessage("user", "1.1+2.3=?").ok());
  const Reply reply = Generate(session.get(), Greedy());
  ASSERT_TRUE(reply.status.ok()) << reply.status;
  EXPECT_EQ(reply.reason, FinishReason::kEndOfText);
  EXPECT_TRUE(reply.text.size() >= 3 && reply.text.substr(reply.text.size() - 3) == "3.4")
      << reply.text;
}

TEST(SessionTest, AConversationIsWhatTheTemplateRenders) {
  const auto model = Load();
  const auto session = NewSession(model);
  std::string rendered;
  for (const char* question : {"1.1+2.3=?", "Hello!", "12.5-20=?"}) {
    ASSERT_TRUE(session->AppendMessage("user", question).ok());
    const size_t before = session->tokens().size();
    const Reply reply = Generate(session.get(), Greedy());
    ASSERT_TRUE(reply.status.ok()) << reply.status;
    // A fresh session with the same messages holds the same tokens up to the reply.
    absl::StrAppend(&rendered, rendered.empty() ? "" : ",", "{\"role\":\"user\",\"content\":\"",
                    question, "\"}");
    const auto text = model->text()->RenderChat("[" + rendered + "]", true);
    ASSERT_TRUE(text.ok()) << text.status();
    const auto ids = (*model->text()->tokenizer())->Encode(*text, {false, true});
    ASSERT_TRUE(ids.ok());
    ASSERT_GT(session->tokens().size(), ids->size());
    EXPECT_GE(ids->size(), before);
    EXPECT_TRUE(std::equal(ids->begin(), ids->end(), session->tokens().begin()));
    std::string content;
    for (const char c : reply.text) content += c == '\n' ? std::string("\\n") : std::string(1, c);
    absl::StrAppend(&rendered, ",{\"role\":\"assistant\",\"content\":\"", content, "\"}");
  }
}

TEST(SessionTest, BitsDoNotDependOnChunksOrThreads) {
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kBf16, WeightFormat::kInt4}) {
    std::vector<float> first;
    for (const int32_t batch : {1, 7, 64, 512}) {
      for (const int threads : {1, 2, 3}) {
        ModelOptions options;
        options.weight_format = format;
        options.max_batch_tokens = batch;
        options.threads = threads;
        const auto model = Load(options);
        const auto logits = LogitsOf(model, RandomTokens(150, 5, model->config().vocab_size));
        if (first.empty()) first = logits;
        EXPECT_TRUE(SameBits(first, logits))
            << WeightFormatName(format) << ", chunks of " << batch << ", threads " << threads;
      }
    }
  }
}

TEST(SessionTest, AForkSharesItsPastAndNotItsFuture) {
  const auto model = Load();
  const int32_t vocabulary = model->config().vocab_size;
  const auto past = RandomTokens(70, 1, vocabulary);
  const auto future_a = RandomTokens(30, 2, vocabulary);
  const auto future_b = RandomTokens(40, 3, vocabulary);
  const auto a = NewSession(model);
  ASSERT_TRUE(a->AppendTokens(past).ok());
  ASSERT_TRUE(a->Logits().ok());
  const int32_t free_blocks = model->engine().free_kv_blocks();
  const auto b = *a->Fork();
  EXPECT_EQ(model->engine().free_kv_blocks(), free_blocks);
  ASSERT_TRUE(a->AppendTokens(future_a).ok() && b->AppendTokens(future_b).ok());
  const auto joined = [&past](const std::vector<TokenId>& future) {
    std::vector<TokenId> all = past;
    all.insert(all.end(), future.begin(), future.end());
    return all;
  };
  const auto last = [](absl::StatusOr<std::span<const float>> logits) {
    return std::vector<float>(logits->begin(), logits->end());
  };
  const auto fresh_a = NewSession(model);
  const auto fresh_b = NewSession(model);
  ASSERT_TRUE(fresh_a->AppendTokens(joined(future_a)).ok());
  ASSERT_TRUE(fresh_b->AppendTokens(joined(future_b)).ok());
  EXPECT_TRUE(SameBits(last(b->Logits()), last(fresh_b->Logits())));
  EXPECT_TRUE(SameBits(last(a->Logits()), last(fresh_a->Logits())));
}

TEST(SessionTest, TruncationRewinds) {
  const auto model = Load();
  const auto tokens = RandomTokens(100, 9, model->config().vocab_size);
  const auto session = NewSession(model);
  ASSERT_TRUE(session->AppendTokens(tokens).ok());
  const std::vector<float> all = AllLogits(session.get());
  const auto width = static_cast<size_t>(model->config().vocab_size);
  for (const size_t length : {99u, 64u, 33u, 32u, 1u}) {
    ASSERT_TRUE(session->Truncate(length).ok());
    ASSERT_EQ(session->tokens().size(), length);
    const auto logits = session->Logits();
    ASSERT_TRUE(logits.ok());
    EXPECT_EQ(std::memcmp(logits->data(), all.data() + (length - 1) * width, width * sizeof(float)),
              0)
        << length;
  }
  EXPECT_FALSE(session->Truncate(2).ok());
  ASSERT_TRUE(session->Truncate(0).ok());
  EXPECT_EQ(model->engine().free_kv_blocks(), model->plan().kv_blocks);
  EXPECT_EQ(session->Logits().status().code(), absl::StatusCode::kFailedPrecondition);
}

class SavedSessionTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = JoinPath(
        testing::TempDir(),
        std::string("llmcore_") + testing::UnitTest::GetInstance()->current_test_info()->name());
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string Content() const { return *ReadFile(path_, 1 << 30); }
  void Write(const std::string& content) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << content;
  }

  std::string path_;
};

TEST_F(SavedSessionTest, GoesOnWhereItWasSaved) {
  const auto model = Load();
  const auto session = NewSession(model);
  ASSERT_TRUE(session->AppendMessage("user", "1.1+2.3=?").ok());
  ASSERT_TRUE(Generate(session.get(), Greedy()).status.ok());
  ASSERT_TRUE(session->Save(path_).ok());
  const auto restored = Session::Restore(model, path_);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_TRUE(std::equal(session->tokens().begin(), session->tokens().end(),
                         (*restored)->tokens().begin(), (*restored)->tokens().end()));
  for (Session* each : {session.get(), restored->get()}) {
    ASSERT_TRUE(each->AppendMessage("user", "3.3-1.2=?").ok());
  }
  const Reply a = Generate(session.get(), Greedy());
  const Reply b = Generate(restored->get(), Greedy());
  EXPECT_EQ(a.text, b.text);
  const auto logits_a = *session->Logits();
  const auto logits_b = *(*restored)->Logits();
  EXPECT_EQ(std::memcmp(logits_a.data(), logits_b.data(), logits_a.size_bytes()), 0);
}

TEST_F(SavedSessionTest, AnyAlteredByteIsRefused) {
  ModelOptions options;
  options.max_context = 64;
  const auto model = Load(options);
  const auto session = NewSession(model);
  ASSERT_TRUE(session->AppendTokens(RandomTokens(3, 1, 500)).ok());
  ASSERT_TRUE(session->Logits().ok());
  ASSERT_TRUE(session->Save(path_).ok());
  const std::string content = Content();
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  const auto refused = [&](const std::string& altered) {
    Write(altered);
    return !Session::Restore(model, path_).ok();
  };
  for (size_t i = 0; i < content.size(); i += i < 1000 ? 1 : 1 + random() % 200) {
    std::string altered = content;
    altered[i] = static_cast<char>(altered[i] ^ (1 << random() % 8));
    ASSERT_TRUE(refused(altered)) << "byte " << i;
  }
  for (size_t n = 0; n < content.size(); n += n < 1000 ? 1 : 1 + random() % 400) {
    ASSERT_TRUE(refused(content.substr(0, n))) << "truncated to " << n;
  }
  ASSERT_TRUE(refused(content + "x"));
  EXPECT_EQ(model->engine().free_kv_blocks(), model->plan().kv_blocks - 1);
  EXPECT_FALSE(refused(content));
}

TEST_F(SavedSessionTest, AnotherModelIsRefusedAndASmallCacheComputesAgain) {
  const auto model = Load();
  const auto session = NewSession(model);
  const auto tokens = RandomTokens(100, 4, 500);
  ASSERT_TRUE(session->AppendTokens(tokens).ok());
  const std::vector<float> expected(session->Logits()->begin(), session->Logits()->end());
  ASSERT_TRUE(session->Save(path_).ok());
  ModelOptions other;
  other.weight_format = WeightFormat::kInt8;
  EXPECT_EQ(Session::Restore(Load(other), path_).status().code(),
            absl::StatusCode::kFailedPrecondition);
  ModelOptions small;
  small.kv_cache_tokens = 128;
  const auto crowded = Load(small);
  const auto occupant = NewSession(crowded);
  ASSERT_TRUE(occupant->AppendTokens(tokens).ok() && occupant->Logits().ok());
  const auto restored = Session::Restore(crowded, path_);
  ASSERT_TRUE(restored.ok()) << restored.status();
  const auto logits = (*restored)->Logits();
  ASSERT_TRUE(logits.ok()) << logits.status();
  EXPECT_TRUE(SameBits(expected, std::vector<float>(logits->begin(), logits->end())));
}

TEST_F(SavedSessionTest, HasWhatIsSwappedOut) {
  const auto tokens = RandomTokens(100, 4, 500);
  ModelOptions small;
  small.kv_cache_tokens = 128;
  small.max_context = 128;
  small.swap_bytes = uint64_t{1} << 20;
  const auto model = Load(small);
  const auto session = NewSession(model);
  ASSERT_TRUE(session->AppendTokens(tokens).ok());
  ASSERT_TRUE(session->Logits().ok());
  const auto other = NewSession(model);
  ASSERT_TRUE(other->AppendTokens(RandomTokens(100, 5, 500)).ok() && other->Logits().ok());
  EXPECT_GE(model->engine().swap().out_blocks, 3);
  EXPECT_EQ(model->engine().swap().dropped_blocks, 0);
  ASSERT_TRUE(session->Save(path_).ok());
  const auto large = Load();
  const auto restored = Session::Restore(large, path_);
  ASSERT_TRUE(restored.ok()) << restored.status();
  EXPECT_EQ(large->engine().free_kv_blocks(), large->plan().kv_blocks - 4);
  const std::vector<TokenId> more = {1, 2};
  ASSERT_TRUE((*restored)->AppendTokens(more).ok());
  const auto fresh = NewSession(large);
  ASSERT_TRUE(fresh->AppendTokens(tokens).ok() && fresh->AppendTokens(more).ok());
  const auto logits = (*restored)->Logits();
  ASSERT_TRUE(logits.ok()) << logits.status();
  EXPECT_EQ(large->engine().prefix_cache().computed_tokens, 2);  // the rest was restored
  const auto fresh_logits = fresh->Logits();
  ASSERT_TRUE(fresh_logits.ok()) << fresh_logits.status();
  EXPECT_TRUE(SameBits(std::vector<float>(fresh_logits->begin(), fresh_logits->end()),
                       std::vector<float>(logits->begin(), logits->end())));
}

TEST(SessionTest, SessionsThatShareASmallCacheGiveTheBitsThatTheyGiveAlone) {
  ModelOptions options;
  options.kv_cache_tokens = 128;
  options.max_context = 128;
  const auto model = Load(options);
  const auto large = Load();
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<std::unique_ptr<Session>> alone;
  for (uint64_t i = 0; i < 3; ++i) {
    for (auto* all : {&sessions, &alone}) {
      all->push_back(NewSession(all == &sessions ? model : large));
      ASSERT_TRUE(all->back()->AppendTokens(RandomTokens(100, i, 500)).ok());
    }
  }
  // Each takes the blocks of another, which computes them again when its turn comes.
  for (TokenId token = 1; token < 6; ++token) {
    for (size_t i = 0; i < sessions.size(); ++i) {
      ASSERT_TRUE(sessions[i]->AppendTokens(std::span(&token, 1)).ok());
      ASSERT_TRUE(alone[i]->AppendTokens(std::span(&token, 1)).ok());
      const auto logits = sessions[i]->Logits();
      const auto expected = alone[i]->Logits();
      ASSERT_TRUE(logits.ok()) << logits.status();
      ASSERT_TRUE(expected.ok()) << expected.status();
      EXPECT_TRUE(SameBits(std::vector<float>(expected->begin(), expected->end()),
                           std::vector<float>(logits->begin(), logits->end())));
    }
  }
}

TEST(SessionTest, TooLongASequenceIsRefusedBeforeItIsTaken) {
  ModelOptions options;
  options.max_context = 64;
  const auto session = NewSession(Load(options));
  ASSERT_TRUE(session->AppendTokens(RandomTokens(60, 1, 500)).ok());
  EXPECT_EQ(session->AppendTokens(RandomTokens(5, 1, 500)).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(session->tokens().size(), 60u);
  GenerationParams params = Greedy(100);
  params.ignore_eos = true;
  const Reply reply = Generate(session.get(), params);
  EXPECT_EQ(reply.reason, FinishReason::kContextFull);
  EXPECT_EQ(reply.tokens.size(), 4u);
  const TokenId bad[] = {-1};
  EXPECT_FALSE(session->AppendTokens(bad).ok());
}

TEST(SessionTest, StopStringsNeverLeak) {
  const auto model = Load();
  const auto whole = NewSession(model);
  ASSERT_TRUE(whole->AppendMessage("user", "1.1+2.3=?").ok());
  const std::string text = Generate(whole.get(), Greedy()).text;
  for (size_t at = 1; at + 3 < text.size(); at += 2) {
    const std::string stop = text.substr(at, 3);
    const auto session = NewSession(model);
    ASSERT_TRUE(session->AppendMessage("user", "1.1+2.3=?").ok());
    GenerationParams params = Greedy();
    params.stops = {stop};
    const Reply reply = Generate(session.get(), params);
    EXPECT_EQ(reply.reason, FinishReason::kStopString);
    EXPECT_EQ(reply.text, text.substr(0, text.find(stop))) << "stop " << stop;
  }
}

TEST(SessionTest, ASeedRepeatsAReplyAndLogprobsAreOrdered) {
  const auto model = Load();
  GenerationParams params;
  params.temperature = 1.5f;
  params.seed = 7;
  params.max_tokens = 40;
  params.ignore_eos = true;
  params.logprobs = 4;
  std::vector<TokenId> first;
  for (int i = 0; i < 2; ++i) {
    const auto session = NewSession(model);
    ASSERT_TRUE(session->AppendText("hello").ok());
    ASSERT_TRUE(session->StartGeneration(params).ok());
    std::vector<TokenId> tokens;
    while (session->generating()) {
      const auto event = session->NextEvent();
      ASSERT_TRUE(event.ok()) << event.status();
      if (!event->has_token) continue;
      tokens.push_back(event->token);
      ASSERT_EQ(event->top_logprobs.size(), 4u);
      EXPECT_LE(event->logprob, event->top_logprobs[0].logprob);
      EXPECT_TRUE(std::is_sorted(
          event->top_logprobs.begin(), event->top_logprobs.end(),
          [](const TokenLogprob& a, const TokenLogprob& b) { return a.logprob > b.logprob; }));
    }
    if (i == 0) first = tokens;
    EXPECT_EQ(tokens, first);
    EXPECT_EQ(tokens.size(), 40u);
  }
}

TEST(SessionTest, CancelStopsTheCallAndNothingElse) {
  const auto model = Load();
  const auto session = NewSession(model);
  ASSERT_TRUE(session->AppendText("1+1").ok());
  session->Cancel();
  EXPECT_EQ(session->Logits().status().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(session->Logits().ok());
  GenerationParams params = Greedy(100);
  params.ignore_eos = true;
  ASSERT_TRUE(session->StartGeneration(params).ok());
  ASSERT_TRUE(session->NextEvent().ok());
  session->Cancel();
  const size_t length = session->tokens().size();
  EXPECT_EQ(session->NextEvent().status().code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(session->generating());
  EXPECT_EQ(session->tokens().size(), length);
  EXPECT_EQ(Generate(session.get(), params).tokens.size(), 100u);
}

TEST(SessionTest, SessionsInThreadsGiveTheBitsTheyGiveAlone) {
  const auto model = Load();
  constexpr size_t kSessions = 8;
  std::vector<std::vector<TokenId>> prompts;
  std::vector<std::vector<float>> alone;
  for (size_t i = 0; i < kSessions; ++i) {
    prompts.push_back(RandomTokens(40 + 13 * i, i, model->config().vocab_size));
    alone.push_back(LogitsOf(model, prompts.back()));
  }
  std::vector<std::vector<float>> together(kSessions);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kSessions; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 3; ++round) together[i] = LogitsOf(model, prompts[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < kSessions; ++i) EXPECT_TRUE(SameBits(alone[i], together[i])) << i;
  EXPECT_EQ(model->engine().free_kv_blocks(), model->plan().kv_blocks);
}

TEST(SessionTest, RepliesInManyThreadsAreThoseOfSessionsAlone) {
  ModelOptions options;
  options.kv_cache_tokens = 32768;
  const auto model = Load(options);
  constexpr size_t kSessions = 64;
  const auto reply = [&model](size_t i) {
    GenerationParams params;
    params.temperature = i % 3 == 0 ? 0.f : 1.2f;
    params.seed = i;
    params.logprobs = static_cast<int32_t>(i % 4);
    params.max_tokens = 10 + static_cast<int64_t>(i);
    params.ignore_eos = true;
    const auto session = NewSession(model);
    EXPECT_TRUE(session->AppendTokens(RandomTokens(1 + 5 * i, i, model->config().vocab_size)).ok());
    const Reply given = Generate(session.get(), params);
    EXPECT_TRUE(given.status.ok()) << given.status;
    return given.tokens;
  };
  std::vector<std::vector<TokenId>> together(kSessions);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kSessions; ++i) threads.emplace_back([&, i] { together[i] = reply(i); });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < kSessions; ++i) EXPECT_EQ(together[i], reply(i)) << i;
  EXPECT_EQ(model->engine().free_kv_blocks(), model->plan().kv_blocks);
}

TEST(SessionTest, MessagesAndPlainTextDoNotMix) {
  const auto model = Load();
  const auto plain = NewSession(model);
  ASSERT_TRUE(plain->AppendText("a").ok());
  EXPECT_EQ(plain->AppendMessage("user", "b").code(), absl::StatusCode::kFailedPrecondition);
  const auto chat = NewSession(model);
  ASSERT_TRUE(chat->AppendMessage("user", "b").ok());
  EXPECT_EQ(chat->AppendText("a").code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(chat->Truncate(0).ok());
  EXPECT_TRUE(chat->AppendText("a").ok());
  EXPECT_FALSE(chat->AppendMessage("user", "\xFF").ok());
  EXPECT_FALSE(chat->SetChatVariables("[1]").ok());
  EXPECT_FALSE(chat->SetChatVariables("{\"messages\": []}").ok());
  EXPECT_TRUE(chat->SetChatVariables("{}").ok());
}

TEST(ModelTest, ThePlanIsTheAllocationAndTheBudgetIsExact) {
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kBf16, WeightFormat::kF16,
                                    WeightFormat::kInt8, WeightFormat::kInt4}) {
    ModelOptions options;
    options.device = "cpu";
    options.weight_format = format;
    options.kv_cache_tokens = 512;
    options.max_context = 512;
    const auto plan = Model::Plan(Abacus(), options);
    ASSERT_TRUE(plan.ok()) << plan.status();
    options.memory_budget = plan->total();
    const auto fits = Model::Load(Abacus(), options);
    ASSERT_TRUE(fits.ok()) << fits.status();
    EXPECT_EQ((*fits)->plan().ToJson(), plan->ToJson());
    options.memory_budget = plan->total() - 1;
    const absl::Status refused = Model::Load(Abacus(), options).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(BytesNeeded(refused), plan->total());
  }
}

TEST(ModelTest, WithABudgetTheRestIsForTheCache) {
  ModelOptions options;
  options.memory_budget = 64 << 20;
  const auto model = Load(options);
  EXPECT_LE(model->plan().total(), *options.memory_budget);
  EXPECT_GT(model->plan().total(), *options.memory_budget - (1 << 20));
}

TEST(ModelTest, LoadingCanBeCancelled) {
  ModelOptions options;
  options.device = "cpu";
  auto token = std::make_shared<CancelToken>();
  token->Cancel();
  options.cancel = token;
  EXPECT_EQ(Model::Load(Abacus(), options).status().code(), absl::StatusCode::kCancelled);
  options.cancel = nullptr;
  options.progress = [](absl::string_view, uint64_t done, uint64_t total) {
    return done * 2 < total;
  };
  EXPECT_EQ(Model::Load(Abacus(), options).status().code(), absl::StatusCode::kCancelled);
}

TEST(ModelTest, OptionsOutOfRangeAreRefusedByName) {
  const auto error = [](auto set) {
    ModelOptions options;
    options.device = "cpu";
    set(options);
    return Model::Load(Abacus(), options).status();
  };
  EXPECT_EQ(error([](ModelOptions& o) { o.device = "tpu"; }).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(error([](ModelOptions& o) { o.device = "cuda:0"; }).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(error([](ModelOptions& o) { o.max_context = 1 << 30; }).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(error([](ModelOptions& o) { o.kv_cache_fraction = 1.5; }).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(error([](ModelOptions& o) {
              o.weight_format = WeightFormat::kBf16;
              o.activation_format = ActivationFormat::kInt8;
            }).code(),
            absl::StatusCode::kInvalidArgument);
  for (const WeightFormat format : {WeightFormat::kF32, WeightFormat::kF16, WeightFormat::kInt4}) {
    EXPECT_EQ(error([format](ModelOptions& o) {
                o.weight_format = format;
                o.activation_format = ActivationFormat::kBf16;
              }).code(),
              absl::StatusCode::kInvalidArgument)
        << WeightFormatName(format);
  }
}

}  // namespace
}  // namespace llmcore::core
