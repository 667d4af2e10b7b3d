// n samples, best of several: each is what it would be alone.
#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/session/support.h"

namespace llmcore::core {
namespace {

GenerationParams Warm(uint64_t seed, int64_t max_tokens = 30) {
  GenerationParams params;
  params.temperature = 1.3f;
  params.top_p = 0.98f;
  params.repetition_penalty = 1.1f;
  params.presence_penalty = 0.2f;
  params.seed = seed;
  params.max_tokens = max_tokens;
  return params;
}

std::vector<Answer> Sample(Session* session, const GenerationParams& params, int32_t n,
                           int32_t best_of) {
  auto answers = session->SampleAnswers(params, {n, best_of});
  EXPECT_TRUE(answers.ok()) << answers.status();
  return answers.ok() ? *std::move(answers) : std::vector<Answer>();
}

const Answer& CandidateOf(const std::vector<Answer>& answers, uint32_t index) {
  return *std::find_if(answers.begin(), answers.end(),
                       [index](const Answer& answer) { return answer.index == index; });
}

// The candidate by itself: a session of its own, a draw after each Logits().
Answer PlainCandidate(const std::shared_ptr<const Model>& model, const std::vector<TokenId>& prompt,
                      const GenerationParams& params, uint32_t index) {
  const auto session = SessionOf(model, prompt);
  const SamplingParams resolved = *ResolveGenerationParams(params, model->generation_config());
  Sampler sampler(model->config().vocab_size);
  Answer answer;
  while (answer.tokens.size() < static_cast<size_t>(*params.max_tokens)) {
    SampleInput input;
    input.params = &resolved;
    input.key = {*params.seed, index, session->tokens().size()};
    input.logits = *session->Logits();
    input.history = session->tokens();
    input.generated_count = answer.tokens.size();
    const SampledToken sampled = *sampler.Sample(input);
    answer.tokens.push_back(sampled.id);
    answer.logprobs.push_back(sampled.logprob);
    answer.finish_reason = FinishReason::kMaxTokens;
    if (!params.ignore_eos && model->IsEndOfText(sampled.id)) {
      answer.finish_reason = FinishReason::kEndOfText;
      break;
    }
    EXPECT_TRUE(session->AppendTokens({{sampled.id}}).ok());
  }
  return answer;
}

TEST(SampleAnswersTest, EachCandidateIsWhatItIsAlone) {
  const auto model = LoadModel();
  const auto prompt = RandomTokens(70, 3);
  const auto session = SessionOf(model, prompt);
  const GenerationParams params = Warm(11);
  const std::vector<Answer> answers = Sample(session.get(), params, 12, 12);
  ASSERT_EQ(answers.size(), 12u);
  std::set<std::vector<TokenId>> different;
  for (uint32_t i = 0; i < 12; ++i) {
    const Answer& answer = CandidateOf(answers, i);
    const Answer plain = PlainCandidate(model, prompt, params, i);
    EXPECT_EQ(answer.tokens, plain.tokens) << i;
    EXPECT_EQ(answer.logprobs, plain.logprobs) << i;
    EXPECT_EQ(answer.finish_reason, plain.finish_reason) << i;
    double sum = 0;
    for (const float logprob : plain.logprobs) sum += static_cast<double>(logprob);
    EXPECT_DOUBLE_EQ(answer.logprob, sum);
    EXPECT_DOUBLE_EQ(answer.score, sum / static_cast<double>(plain.tokens.size()));
    std::vector<TokenId> said = plain.tokens;
    if (plain.finish_reason == FinishReason::kEndOfText) said.pop_back();
    EXPECT_EQ(answer.text, *(*model->text()->tokenizer())->Decode(said, {.skip_special = true}));
    different.insert(answer.tokens);
  }
  EXPECT_GT(different.size(), 6u) << "the candidates draw the same numbers";
  EXPECT_EQ(CandidateOf(answers, 0).tokens, Generate(SessionOf(model, prompt).get(), params));
}

TEST(SampleAnswersTest, TheBestOfAllAreReturnedInOrder) {
  const auto model = LoadModel();
  const auto prompt = RandomTokens(5, 8);
  const auto session = SessionOf(model, prompt);
  const std::vector<Answer> all = Sample(session.get(), Warm(5), 9, 9);
  for (size_t i = 1; i < all.size(); ++i) {
    EXPECT_TRUE(all[i - 1].score > all[i].score ||
                (all[i - 1].score == all[i].score && all[i - 1].index < all[i].index));
  }
  for (const int32_t n : {1, 4}) {
    const std::vector<Answer> best = Sample(session.get(), Warm(5), n, 9);
    ASSERT_EQ(best.size(), static_cast<size_t>(n));
    for (size_t i = 0; i < best.size(); ++i) {
      EXPECT_EQ(best[i].index, all[i].index);
      EXPECT_EQ(best[i].tokens, all[i].tokens);
    }
  }
  GenerationParams greedy = Warm(5);
  greedy.temperature = 0;
  const std::vector<Answer> same = Sample(session.get(), greedy, 3, 3);
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(same[i].index, i) << "equals are ordered by their index";
    EXPECT_EQ(same[i].tokens, same[0].tokens);
  }
}

TEST(SampleAnswersTest, StopStringsAndTheContextEndEachAnswerByItself) {
  ModelOptions options;
  options.max_context = 64;
  options.kv_cache_tokens = 2048;
  const auto model = LoadModel(options);
  const auto session = SessionOf(model, RandomTokens(30, 2));
  GenerationParams params = Warm(3, 1000);
  params.ignore_eos = true;
  for (const Answer& answer : Sample(session.get(), params, 8, 8)) {
    EXPECT_EQ(answer.finish_reason, FinishReason::kContextFull);
    EXPECT_EQ(answer.tokens.size(), 34u);
  }
  params.stops = {"1", "a"};
  size_t stopped = 0;
  for (const Answer& answer : Sample(session.get(), params, 16, 16)) {
    EXPECT_EQ(answer.text.find_first_of("1a"), std::string::npos) << answer.text;
    stopped += answer.finish_reason == FinishReason::kStopString ? 1 : 0;
  }
  EXPECT_GT(stopped, 0u);
  const auto full = SessionOf(model, RandomTokens(64, 2));
  for (const Answer& answer : Sample(full.get(), params, 2, 2)) {
    EXPECT_EQ(answer.finish_reason, FinishReason::kContextFull);
    EXPECT_TRUE(answer.tokens.empty());
    EXPECT_EQ(answer.score, 0);
  }
}

TEST(SampleAnswersTest, TheSessionStaysAtItsPrompt) {
  const auto model = LoadModel();
  const auto session = *Session::Create(model);
  ASSERT_TRUE(session->AppendMessage("user", "1.1+2.3=?").ok());
  const std::vector<TokenId> before = TokensOf(*session);
  GenerationParams params = Warm(1, 60);
  params.temperature = 0.1f;
  params.repetition_penalty = 1;
  params.presence_penalty = 0;
  const std::vector<Answer> answers = Sample(session.get(), params, 2, 4);
  EXPECT_EQ(TokensOf(*session), before);
  EXPECT_TRUE(answers[0].text.size() >= 3 && answers[0].text.ends_with("3.4")) << answers[0].text;
  // Its reply is the one that it gives without all this, and so is the conversation that follows.
  const auto plain = *Session::Create(model);
  ASSERT_TRUE(plain->AppendMessage("user", "1.1+2.3=?").ok());
  EXPECT_EQ(Generate(session.get(), params), Generate(plain.get(), params));
  for (Session* each : {session.get(), plain.get()}) {
    ASSERT_TRUE(each->AppendMessage("user", "2+2=?").ok());
  }
  EXPECT_EQ(TokensOf(*session), TokensOf(*plain));
  EXPECT_EQ(Sample(session.get(), params, 1, 3)[0].tokens,
            Sample(plain.get(), params, 1, 3)[0].tokens);
}

// A cache that holds the prompt once and a little for each candidate.
TEST(SampleAnswersTest, ThePromptIsHeldOnce) {
  ModelOptions options;
  options.max_context = 512;
  options.kv_cache_tokens = 512 + 16 * 64;
  const auto model = LoadModel(options);
  const int32_t block = model->plan().kv_block_tokens;
  ASSERT_LE(block, 32);
  const auto session = SessionOf(model, RandomTokens(450, 4));
  GenerationParams params = Warm(6, 40);
  params.ignore_eos = true;
  EXPECT_EQ(Sample(session.get(), params, 16, 16).size(), 16u);
  EXPECT_EQ(BlocksInUse(*model), (450 + block - 1) / block);
  ASSERT_TRUE(session->Truncate(0).ok());
  EXPECT_EQ(BlocksInUse(*model), 0);
}

// They wait for each other's blocks, and lose and compute them again, without a trace.
TEST(SampleAnswersTest, CandidatesThatDoNotFitTogetherTakeTurns) {
  const auto tokens_of = [](int64_t kv_cache_tokens) {
    ModelOptions options;
    options.max_context = 256;
    options.kv_cache_tokens = kv_cache_tokens;
    const auto model = LoadModel(options);
    const auto session = SessionOf(model, RandomTokens(100, 4));
    GenerationParams params = Warm(6, 50);
    params.ignore_eos = true;
    std::vector<std::vector<TokenId>> tokens;
    for (const Answer& answer : Sample(session.get(), params, 9, 9)) {
      tokens.push_back(answer.tokens);
    }
    EXPECT_TRUE(session->Truncate(0).ok());
    EXPECT_EQ(BlocksInUse(*model), 0);
    return tokens;
  };
  EXPECT_EQ(tokens_of(512), tokens_of(8192));
}

TEST(SampleAnswersTest, AFailureOnTheWayLeavesTheSession) {
  ModelOptions options;
  options.max_context = 1024;
  options.kv_cache_tokens = 17 * 1024;
  const auto model = LoadModel(options);
  const auto prompt = RandomTokens(100, 4);
  const auto session = SessionOf(model, prompt);
  GenerationParams params = Warm(6, 900);
  params.ignore_eos = true;
  session->SetDeadline(std::chrono::milliseconds(50));
  const auto answers = session->SampleAnswers(params, {16, 16});
  EXPECT_EQ(answers.status().code(), absl::StatusCode::kDeadlineExceeded) << answers.status();
  session->SetDeadline(std::nullopt);
  EXPECT_EQ(TokensOf(*session), prompt);
  params.max_tokens = 20;
  EXPECT_EQ(Generate(session.get(), params), Generate(SessionOf(model, prompt).get(), params));
  // The step that ran when the time was up has ended by now, and let go of its blocks.
  EXPECT_LE(BlocksInUse(*model), 120 / model->plan().kv_block_tokens + 1);
}

TEST(SampleAnswersTest, WrongNumbersAreRefused) {
  const auto model = LoadModel();
  const auto session = SessionOf(model, {1, 2, 3});
  for (const auto& [n, best_of] : {std::pair(0, 1), std::pair(1, 0), std::pair(2, 1),
                                   std::pair(-1, -1), std::pair(1, 257), std::pair(300, 300)}) {
    EXPECT_EQ(session->SampleAnswers(Warm(1), {n, best_of}).status().code(),
              absl::StatusCode::kInvalidArgument)
        << n << " of " << best_of;
  }
  GenerationParams forbidden = Warm(1);
  forbidden.logit_bias = {{100000, 1.f}};
  EXPECT_EQ(session->SampleAnswers(forbidden, {2, 2}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*Session::Create(model))->SampleAnswers(Warm(1), {1, 1}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  GenerationParams nothing = Warm(1, 0);
  EXPECT_EQ(Sample(session.get(), nothing, 2, 2)[1].finish_reason, FinishReason::kMaxTokens);
}

TEST(SampleAnswersTest, CancelStopsItSoonAndLeavesTheSession) {
  using Clock = std::chrono::steady_clock;
  ModelOptions options;
  options.max_context = 1024;
  options.kv_cache_tokens = 17 * 1024;
  const auto model = LoadModel(options);
  const auto prompt = RandomTokens(60, 4);
  const auto session = SessionOf(model, prompt);
  GenerationParams params = Warm(6, 1000);
  params.ignore_eos = true;
  Clock::time_point cancelled;
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    cancelled = Clock::now();
    session->Cancel();
  });
  const absl::Status status = session->SampleAnswers(params, {16, 16}).status();
  const Clock::time_point ended = Clock::now();
  canceller.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  const double took = std::chrono::duration<double>(ended - cancelled).count();
  RecordProperty("cancel_ms", std::to_string(1e3 * took));
  EXPECT_LT(took, 1) << "seconds; 0.05 where nothing else runs";
  EXPECT_EQ(TokensOf(*session), prompt);
  params.max_tokens = 20;
  EXPECT_EQ(Sample(session.get(), params, 1, 1)[0].tokens,
            Generate(SessionOf(model, prompt).get(), params));
  ASSERT_TRUE(session->Truncate(0).ok());
  EXPECT_EQ(BlocksInUse(*model), 0);
}

TEST(SampleAnswersTest, SessionsInThreadsGiveTheAnswersTheyGiveAlone) {
  ModelOptions options;
  options.kv_cache_tokens = 32768;
  const auto model = LoadModel(options);
  const auto answers = [&model](size_t i) {
    const auto session = SessionOf(model, RandomTokens(5 + 20 * i, i));
    std::vector<std::vector<TokenId>> tokens;
    for (const Answer& answer : Sample(session.get(), Warm(i), 6, 8)) {
      tokens.push_back(answer.tokens);
    }
    return tokens;
  };
  std::vector<std::vector<std::vector<TokenId>>> together(6);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < together.size(); ++i) {
    threads.emplace_back([&, i] { together[i] = answers(i); });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < together.size(); ++i) EXPECT_EQ(together[i], answers(i)) << i;
  EXPECT_EQ(BlocksInUse(*model), 0);
}

}  // namespace
}  // namespace llmcore::core
