#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <llmcore/experimental.hpp>
#include <llmcore/llmcore.hpp>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

llmcore::Result<llmcore::Model> LoadElsewhere(std::string_view path);  // second_unit.cc

namespace llmcore {
namespace {

constexpr char kModelPath[] = LLMCORE_SOURCE_DIR "/examples/models/abacus";
constexpr char kAnswer[] = "1.1 + 2.3\nTenths: 1+3=4\nOnes: 1+2=3\nAnswer: 3.4";

const Model& SharedModel() {
  static const Model model = Model::Load(kModelPath).value();
  return model;
}

static_assert(std::is_nothrow_move_constructible_v<Model> && !std::is_copy_constructible_v<Model>);
static_assert(!std::is_copy_constructible_v<Session> && std::is_move_constructible_v<Session>);
static_assert(!std::is_copy_constructible_v<Generation>);
static_assert(!std::is_copy_constructible_v<Tokenizer>);
static_assert(std::is_aggregate_v<LoadOptions> && std::is_aggregate_v<SamplingParams>);
static_assert(std::is_aggregate_v<Event>);

TEST(CppApiTest, TheProgramOfTheDesignRuns) {
  auto model = Model::Load(kModelPath, {.weights = WeightFormat::kBf16}).value();
  Session chat(model);
  chat.AddUser("1.1+2.3=?");
  std::string text;
  for (std::string_view piece : chat.Generate({.temperature = 0.0, .max_tokens = 256})) {
    EXPECT_FALSE(piece.empty());
    text += piece;
  }
  EXPECT_EQ(text, kAnswer);
}

TEST(CppApiTest, EventsHaveTokensAndAReason) {
  Session chat(SharedModel());
  chat.AddUser("1.1+2.3=?");
  Generation reply = chat.Generate({.temperature = 0, .max_tokens = 5, .logprobs = 2});
  std::string text;
  for (const Event& event : reply.events()) {
    text += event.text;
    ASSERT_TRUE(event.token.has_value());
    ASSERT_EQ(event.top_logprobs.size(), 2u);
    EXPECT_EQ(event.top_logprobs[0].token, *event.token);
    EXPECT_GE(event.top_logprobs[0].logprob, event.top_logprobs[1].logprob);
  }
  EXPECT_TRUE(reply.ok());
  EXPECT_EQ(reply.finish_reason(), FinishReason::kMaxTokens);
  EXPECT_EQ(reply.token_count(), 5u);
  EXPECT_EQ(text, std::string(kAnswer).substr(0, text.size()));
}

TEST(CppApiTest, EventsCanBePulledByHand) {
  Session chat(SharedModel());
  chat.AddUser("1.1+2.3=?");
  Generation reply = chat.Generate({.temperature = 0});
  std::string text;
  while (const Event* event = reply.Next().value()) text += event->text;
  EXPECT_EQ(text, kAnswer);
  EXPECT_EQ(reply.finish_reason(), FinishReason::kEndOfText);
  EXPECT_EQ(reply.Next().value(), nullptr) << "as often as it is asked for";
}

TEST(CppApiTest, RepliesArePolledAndModelsStepped) {
  const auto model =
      experimental::Load(kModelPath, {.weights = WeightFormat::kBf16}, {.manual_scheduler = true})
          .value();
  EXPECT_FALSE(experimental::Step(model).value());
  Session chat(model);
  chat.AddUser("1.1+2.3=?");
  Generation reply = chat.Generate({.temperature = 0});
  std::string text;
  int waits = 0;
  while (true) {
    const experimental::Polled polled = experimental::Poll(reply).value();
    if (polled.event != nullptr) {
      text += polled.event->text;
    } else if (!polled.pending) {
      break;
    } else {
      ++waits;
      EXPECT_TRUE(experimental::Step(model).value());
    }
  }
  EXPECT_GT(waits, 10);
  EXPECT_EQ(text, kAnswer);
  EXPECT_EQ(reply.finish_reason(), FinishReason::kEndOfText);
  EXPECT_EQ(experimental::Step(SharedModel()).error().code(), ErrorCode::kFailedPrecondition);
}

TEST(CppApiTest, TheCpuComputesTheSameWithoutDeterminism) {
  const auto logits = [](bool deterministic) {
    const Model model =
        experimental::Load(kModelPath, {.device = "cpu"}, {.deterministic = deterministic}).value();
    Session session(model);
    session.AppendTokens(std::vector<Token>{5, 6, 7});
    const auto values = session.Logits().value();
    return std::vector<float>(values.begin(), values.end());
  };
  EXPECT_EQ(logits(true), logits(false));
}

TEST(CppApiTest, SessionsHavePrioritiesAndDeadlines) {
  Session chat(SharedModel());
  chat.AddUser("1.1+2.3=?");
  EXPECT_TRUE(experimental::SetPriority(chat, -3).ok());
  EXPECT_EQ(experimental::SetPriority(chat, 1000).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(experimental::SetDeadline(chat, std::chrono::milliseconds(0)).ok());
  EXPECT_EQ(chat.Generate().Next().error().code(), ErrorCode::kDeadlineExceeded);
  EXPECT_TRUE(experimental::SetDeadline(chat, std::nullopt).ok());
  EXPECT_TRUE(chat.Generate().Next().ok());
}

TEST(CppApiTest, ValueThrowsTheError) {
  try {
    Model::Load("no such model").value();
    FAIL() << "it loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.what(), testing::HasSubstr("no such model"));
  }
}

TEST(CppApiTest, ARangeThatFailsThrowsAfterWhatWasGood) {
  Session chat(SharedModel());
  chat.AddUser("1.1+2.3=?");
  Generation reply = chat.Generate({.temperature = 0});
  std::string text;
  EXPECT_THROW(
      {
        for (std::string_view piece : reply) {
          text += piece;
          if (text.size() >= 9) chat.Cancel();
        }
      },
      Error);
  EXPECT_EQ(reply.error().code(), ErrorCode::kCancelled);
  EXPECT_EQ(text, std::string(kAnswer).substr(0, text.size()));
  EXPECT_GE(text.size(), 9u);
  EXPECT_EQ(reply.Next().error().code(), ErrorCode::kCancelled);
}

TEST(CppApiTest, AFailedAppendIsRememberedUntilItIsCleared) {
  Session chat(SharedModel());
  chat.AppendText("plain");
  EXPECT_FALSE(chat.AddUser("a message").ok());
  EXPECT_EQ(chat.error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_FALSE(chat.AppendText("more").ok());
  Generation reply = chat.Generate();
  EXPECT_EQ(reply.Next().error().code(), ErrorCode::kFailedPrecondition);
  chat.ClearError();
  EXPECT_TRUE(chat.AppendText(" text").ok());
}

TEST(CppApiTest, WrongParametersAreTheErrorOfTheReply) {
  Session chat(SharedModel());
  chat.AddUser("1.1+2.3=?");
  Generation reply = chat.Generate({.top_p = 2});
  EXPECT_EQ(reply.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(reply.error().message(), testing::HasSubstr("top_p"));
  EXPECT_TRUE(chat.ok()) << "the session itself is well";
}

TEST(CppApiTest, OptionsReachTheModel) {
  std::vector<std::string> stages;
  std::vector<std::string> lines;
  Model model = Model::Load(kModelPath, {.device = "cpu",
                                         .weights = WeightFormat::kInt4,
                                         .kv = KvFormat::kF32,
                                         .activations = ActivationFormat::kF32,
                                         .kv_cache_tokens = 128,
                                         .max_context = 96,
                                         .max_batch_tokens = 32,
                                         .max_batch_sequences = 8,
                                         .threads = 1,
                                         .progress =
                                             [&](std::string_view stage, uint64_t, uint64_t) {
                                               stages.emplace_back(stage);
                                               return true;
                                             },
                                         .log =
                                             [&](LogLevel, std::string_view line) {
                                               lines.emplace_back(line);
                                               return true;
                                             }})
                    .value();
  const MemoryPlan plan = model.plan().value();
  EXPECT_EQ(plan.weights, WeightFormat::kInt4);
  EXPECT_EQ(plan.kv, KvFormat::kF32);
  EXPECT_EQ(plan.activations, ActivationFormat::kF32);
  EXPECT_EQ(plan.max_context, 96u);
  EXPECT_EQ(model.max_context(), 96u);
  EXPECT_GE(plan.kv_cache_tokens, 128u);
  EXPECT_EQ(plan.total_bytes, plan.weight_bytes + plan.kv_cache_bytes + plan.activation_bytes +
                                  plan.workspace_bytes + plan.host_bytes);
  EXPECT_THAT(plan.json, testing::HasSubstr("int4"));
  EXPECT_FALSE(stages.empty());
  EXPECT_FALSE(lines.empty());
  EXPECT_EQ(Model::Load(kModelPath, {.kv_cache_fraction = 2.0}).error().code(),
            ErrorCode::kInvalidArgument);
}

TEST(CppApiTest, ACallbackThatThrowsCancels) {
  const Result<Model> model = Model::Load(
      kModelPath, {.progress = [](std::string_view, uint64_t, uint64_t) -> bool { throw 1; }});
  EXPECT_EQ(model.error().code(), ErrorCode::kCancelled);
}

TEST(CppApiTest, ACancelTokenStopsALoad) {
  const CancelToken token = CancelToken::Create().value();
  token.Cancel();
  EXPECT_EQ(Model::Load(kModelPath, {.cancel = token}).error().code(), ErrorCode::kCancelled);
}

TEST(CppApiTest, PlansWithoutLoading) {
  LoadOptions options = {.kv_cache_tokens = 64, .max_context = 64};
  const MemoryPlan plan = Model::Plan(kModelPath, options).value();
  EXPECT_EQ(plan.max_context, 64u);
  options.memory_budget = 1;
  const Result<Model> refused = Model::Load(kModelPath, options);
  EXPECT_EQ(refused.error().code(), ErrorCode::kResourceExhausted);
  EXPECT_EQ(refused.error().bytes_needed(), plan.total_bytes);
}

TEST(CppApiTest, TokenizerGoesThereAndBack) {
  const Tokenizer tokenizer = SharedModel().tokenizer().value();
  const std::vector<Token> ids =
      tokenizer.Encode("<|user|>1.1", {.add_special = false, .parse_special = true}).value();
  EXPECT_THAT(ids, testing::ElementsAre(509, 49, 46, 49));
  EXPECT_EQ(tokenizer.Decode(ids).value(), "<|user|>1.1");
  EXPECT_EQ(tokenizer.Decode(ids, {.skip_special = true}).value(), "1.1");
  EXPECT_EQ(tokenizer.bos(), 506);
  EXPECT_EQ(tokenizer.vocabulary_size(), 512u);
  EXPECT_EQ(tokenizer.TokenText(511).value(), "<|end|>");
  EXPECT_EQ(tokenizer.TokenText(5000).error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(tokenizer.RenderChat(R"([{"role": "user", "content": "hi"}])").value(),
            "<|bos|><|user|>hi<|end|><|assistant|>");
  EXPECT_EQ(Tokenizer::Load(kModelPath).value().Encode("ab").value(),
            tokenizer.Encode("ab").value());
}

TEST(CppApiTest, SessionsForkRewindSaveAndRestore) {
  const std::vector<Token> ids = {506, 509, 49, 46, 49};
  const std::string path = testing::TempDir() + "llmcore_cpp_api_test.session";
  Session session(SharedModel());
  ASSERT_TRUE(session.AppendTokens(ids).ok());
  const View<float> logits = session.Logits().value();
  const std::vector<float> before(logits.begin(), logits.end());
  Session fork = session.Fork().value();
  ASSERT_TRUE(fork.Truncate(2).ok());
  EXPECT_EQ(fork.length(), 2u);
  EXPECT_EQ(session.length(), 5u);
  ASSERT_TRUE(session.Save(path).ok());
  Session restored = Session::Restore(SharedModel(), path).value();
  std::remove(path.c_str());
  const View<Token> tokens = restored.tokens().value();
  EXPECT_EQ(std::vector<Token>(tokens.begin(), tokens.end()), ids);
  const View<float> again = restored.Logits().value();
  EXPECT_EQ(std::vector<float>(again.begin(), again.end()), before);
  const experimental::LogitRows rows = experimental::AllLogits(session, 1).value();
  ASSERT_EQ(rows.rows, 4u);
  EXPECT_EQ(std::vector<float>(rows[3].begin(), rows[3].end()), before);
}

TEST(CppApiTest, SeveralAnswersToOnePrompt) {
  Session chat(SharedModel());
  ASSERT_TRUE(chat.AddUser("1.1+2.3=?").ok());
  const uint64_t length = chat.length();
  const std::vector<experimental::Answer> beams =
      experimental::BeamSearch(chat, {.width = 3, .n = 2, .max_tokens = 80}).value();
  ASSERT_EQ(beams.size(), 2u);
  EXPECT_THAT(beams[0].text, testing::EndsWith("3.4"));
  EXPECT_EQ(beams[0].finish_reason, FinishReason::kEndOfText);
  EXPECT_GE(beams[0].score, beams[1].score);
  const SamplingParams params = {.temperature = 1.2f, .seed = 3, .max_tokens = 30};
  const std::vector<experimental::Answer> samples =
      experimental::SampleAnswers(chat, params, 2, 6).value();
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0].tokens.size(), samples[0].logprobs.size());
  EXPECT_EQ(chat.length(), length);
  EXPECT_EQ(experimental::SampleAnswers(chat, params, 0, 6).error().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(experimental::SampleAnswers(chat, {.top_p = 2}, 1, 1).error().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(experimental::BeamSearch(chat, {.width = 0}).error().code(),
            ErrorCode::kInvalidArgument);
  const experimental::PromptLogprobs prompt = experimental::LogprobsOfPrompt(chat, 2).value();
  ASSERT_EQ(prompt.logprobs.size(), length);
  EXPECT_TRUE(prompt.top[0].empty());
  ASSERT_EQ(prompt.top[1].size(), 2u);
  EXPECT_GE(prompt.top[1][0].logprob, prompt.top[1][1].logprob);
  EXPECT_EQ(experimental::LogprobsOfPrompt(chat, 5000).error().code(), ErrorCode::kInvalidArgument);
}

TEST(CppApiTest, TheTraceSaysWhereStepsSpentTheirTime) {
  const Model model = Model::Load(kModelPath, {.threads = 1}).value();
  Session session(model);
  const auto run = [&] {
    ASSERT_TRUE(session.AppendTokens(std::vector<Token>{506, 509, 49, 46, 49}).ok());
    ASSERT_TRUE(session.Logits().ok());
  };
  run();
  const std::string untraced = experimental::TraceJson(model).value();
  EXPECT_THAT(untraced, testing::HasSubstr("\"steps\": 0"));
  ASSERT_TRUE(experimental::SetTrace(model, true).ok());
  run();
  ASSERT_TRUE(experimental::SetTrace(model, false).ok());
  const std::string trace = experimental::TraceJson(model).value();
  run();
  EXPECT_EQ(experimental::TraceJson(model).value(), trace);  // it was switched off
  EXPECT_THAT(trace, testing::HasSubstr("\"steps\": 1, \"rows\": 5"));
  // Four layers of 128 columns, a vocabulary of 512.
  for (const char* part :
       {"\"embed\", \"calls\": 1, \"rows\": 5", "\"norm\", \"calls\": 9, \"rows\": 41",
        "\"linear\", \"inputs\": 128, \"outputs\": 256, \"calls\": 4, \"rows\": 20",
        "\"linear\", \"inputs\": 384, \"outputs\": 128, \"calls\": 4, \"rows\": 20",
        "\"linear\", \"inputs\": 128, \"outputs\": 512, \"calls\": 1, \"rows\": 1",
        "\"linear_gated\", \"inputs\": 128, \"outputs\": 768, \"calls\": 4, \"rows\": 20",
        "\"rope_append\", \"calls\": 4, \"rows\": 20", "\"attention\", \"calls\": 4, \"rows\": 20",
        "\"gather_rows\", \"calls\": 1, \"rows\": 1"}) {
    EXPECT_THAT(trace, testing::HasSubstr(part));
  }
  ASSERT_TRUE(experimental::SetTrace(model, true).ok());
  EXPECT_EQ(experimental::TraceJson(model).value(), untraced);  // and begins from zero
}

TEST(CppApiTest, TheStatisticsFollowTheCache) {
  const Model model = Model::Load(kModelPath, {.kv_cache_tokens = 512, .max_context = 512}).value();
  const auto free_blocks = [&](int blocks) {
    return testing::HasSubstr("\"kv_blocks\": 16, \"kv_blocks_free\": " + std::to_string(blocks) +
                              ", \"kv_block_tokens\": 32, \"waiting_requests\": 0");
  };
  Session session(model);
  ASSERT_TRUE(session.AppendTokens(std::vector<Token>(100, 49)).ok());
  EXPECT_THAT(experimental::StatsJson(model).value(), free_blocks(16));
  ASSERT_TRUE(session.Logits().ok());
  EXPECT_THAT(experimental::StatsJson(model).value(), free_blocks(12));
  ASSERT_TRUE(session.Truncate(0).ok());
  EXPECT_THAT(experimental::StatsJson(model).value(),
              testing::AllOf(free_blocks(16), testing::HasSubstr("\"prefix_cache\": {")));
}

TEST(CppApiTest, SessionsAreSwappedToTheHost) {
  const LoadOptions options = {.kv_cache_tokens = 128, .max_context = 128};
  const experimental::LoadExtras extras = {.swap_bytes = 1 << 20};
  const MemoryPlan planned = experimental::Plan(kModelPath, options, extras).value();
  const Model model = experimental::Load(kModelPath, options, extras).value();
  EXPECT_EQ(model.plan().value().json, planned.json);
  EXPECT_GT(planned.swap_bytes, 0u);
  EXPECT_LE(planned.swap_bytes, 1u << 20);
  EXPECT_EQ(planned.total_bytes, planned.weight_bytes + planned.kv_cache_bytes +
                                     planned.activation_bytes + planned.workspace_bytes +
                                     planned.host_bytes + planned.swap_bytes);
  EXPECT_EQ(Model::Plan(kModelPath, options).value().swap_bytes, 0u);
  std::vector<Session> sessions;
  for (Token token = 50; token < 52; ++token) {
    sessions.emplace_back(model);
    ASSERT_TRUE(sessions.back().AppendTokens(std::vector<Token>(100, token)).ok());
  }
  for (Session& session : sessions) ASSERT_TRUE(session.Logits().ok());
  EXPECT_THAT(experimental::StatsJson(model).value(),
              testing::AllOf(testing::HasSubstr("\"out_blocks\": 4, \"in_blocks\": 0"),
                             testing::HasSubstr("\"dropped_blocks\": 0}")));
  EXPECT_EQ(experimental::Load(kModelPath, options, {.swap_bytes = 1}).error().code(),
            ErrorCode::kInvalidArgument);
}

TEST(CppApiTest, AMovedSessionLeavesAnErrorBehind) {
  Session session(SharedModel());
  const Session moved = std::move(session);
  EXPECT_TRUE(moved.ok());
  EXPECT_EQ(session.AddUser("anyone?").error().code(),  // NOLINT: what is left of it
            ErrorCode::kInvalidArgument);
}

TEST(CppApiTest, CancelsFromAnotherThread) {
  Session chat(SharedModel());
  chat.AddUser("1.1+2.3=?");
  std::atomic<int> events{0};
  std::thread canceller([&] {
    while (events < 3) std::this_thread::yield();
    chat.Cancel();
  });
  ErrorCode code = ErrorCode::kOk;
  while (code == ErrorCode::kOk) {
    Generation reply = chat.Generate({.temperature = 1.0f, .max_tokens = 40, .ignore_eos = true});
    Result<const Event*> event = reply.Next();
    for (; event.ok() && *event != nullptr; event = reply.Next()) ++events;
    code = event.error().code();
    ASSERT_TRUE(chat.Truncate(0).ok());
    chat.AddUser("1.1+2.3=?");
  }
  canceller.join();
  EXPECT_EQ(code, ErrorCode::kCancelled);
}

TEST(CppApiTest, Int4GoesThereAndBack) {
  const std::vector<uint16_t> values(300, 0x3f80);  // 1.0
  const Int4Blocks blocks = QuantizeInt4(values).value();
  EXPECT_EQ(blocks.packed.size(), 150u);
  EXPECT_EQ(blocks.scales.size(), 3u);
  EXPECT_EQ(DequantizeInt4(blocks).value().size(), 300u);
  EXPECT_EQ(DequantizeInt4({.count = 1}).error().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(QuantizeInt4(std::vector<uint16_t>{0x7f80}).error().code(),
            ErrorCode::kInvalidArgument);
}

TEST(CppApiTest, ASecondTranslationUnitLinks) {
  EXPECT_TRUE(LoadElsewhere(kModelPath).ok());
  EXPECT_EQ(Version(), LLMCORE_VERSION);
}

}  // namespace
}  // namespace llmcore
