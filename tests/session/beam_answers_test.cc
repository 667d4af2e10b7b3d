// Beam search over shared blocks gives what a plain one gives that computes every beam anew.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "lib/base/file.h"
#include "lib/base/json.h"
#include "tests/session/support.h"

namespace llmcore::core {
namespace {

struct Search {
  int32_t width = 4;
  int32_t answers = 1;
  int64_t max_tokens = 24;
  double length_penalty = 1;
  bool early_stopping = false;
};

std::vector<Answer> Beams(Session* session, const Search& search) {
  BeamSearchParams params;
  params.width = search.width;
  params.answers = search.answers;
  params.length_penalty = search.length_penalty;
  params.early_stopping = search.early_stopping;
  auto answers = session->BeamAnswers(params, search.max_tokens);
  EXPECT_TRUE(answers.ok()) << answers.status();
  return answers.ok() ? *std::move(answers) : std::vector<Answer>();
}

// ---- The reference: the definition, with a sort of everything and no cache that is shared ----

struct PlainAnswer {
  std::vector<TokenId> tokens;
  double sum = 0;
  double score = 0;
  bool ended = false;
};

// Of the position after `tokens`.
std::vector<double> NextLogprobs(const std::shared_ptr<const Model>& model,
                                 const std::vector<TokenId>& tokens) {
  std::vector<float> row;
  const absl::Status status = SessionOf(model, tokens)->AllLogits(tokens.size() - 1, &row);
  EXPECT_TRUE(status.ok()) << status;
  return LogSoftmax(row);
}

class PlainSearch {
 public:
  PlainSearch(std::shared_ptr<const Model> model, std::vector<TokenId> prompt, const Search& search)
      : model_(std::move(model)), prompt_(std::move(prompt)), search_(search) {}

  std::vector<PlainAnswer> Run() {
    beams_ = {PlainAnswer()};
    bool done = false;
    for (int64_t length = 1; length <= search_.max_tokens && !done; ++length) done = Step(length);
    if (!done) {
      for (PlainAnswer& beam : beams_) Keep(beam);
    }
    finished_.resize(std::min(finished_.size(), static_cast<size_t>(search_.answers)));
    return finished_;
  }

 private:
  bool Step(int64_t length) {
    std::vector<std::tuple<double, size_t, TokenId>> all;  // -sum, beam, token
    for (size_t beam = 0; beam < beams_.size(); ++beam) {
      std::vector<TokenId> tokens = prompt_;
      tokens.insert(tokens.end(), beams_[beam].tokens.begin(), beams_[beam].tokens.end());
      const std::vector<double> logprobs = NextLogprobs(model_, tokens);
      for (size_t id = 0; id < logprobs.size(); ++id) {
        all.emplace_back(-(beams_[beam].sum + logprobs[id]), beam, static_cast<TokenId>(id));
      }
    }
    std::sort(all.begin(), all.end());
    std::vector<PlainAnswer> next;
    const auto width = static_cast<size_t>(search_.width);
    for (size_t rank = 0; next.size() < width && rank < all.size(); ++rank) {
      const auto& [negative, beam, token] = all[rank];
      PlainAnswer answer = beams_[beam];
      answer.tokens.push_back(token);
      answer.sum = -negative;
      answer.ended = model_->IsEndOfText(token);
      if (!answer.ended) next.push_back(answer);
      if (answer.ended && rank < width) Keep(answer);
    }
    beams_ = next;
    if (finished_.size() < width) return false;
    const double best = -std::get<0>(all[0]) / std::pow(length, search_.length_penalty);
    return search_.early_stopping || finished_.back().score >= best;
  }

  void Keep(PlainAnswer answer) {
    answer.score =
        answer.sum / std::pow(static_cast<double>(answer.tokens.size()), search_.length_penalty);
    finished_.push_back(answer);
    std::stable_sort(finished_.begin(), finished_.end(),
                     [](const PlainAnswer& a, const PlainAnswer& b) { return a.score > b.score; });
    finished_.resize(std::min(finished_.size(), static_cast<size_t>(search_.width)));
  }

  const std::shared_ptr<const Model> model_;
  const std::vector<TokenId> prompt_;
  const Search search_;
  std::vector<PlainAnswer> beams_;
  std::vector<PlainAnswer> finished_;
};

// How many of the answers had ended.
size_t ExpectSame(const std::shared_ptr<const Model>& model, const std::vector<TokenId>& prompt,
                  const Search& search) {
  SCOPED_TRACE(testing::Message() << "width " << search.width << ", length penalty "
                                  << search.length_penalty << ", early stopping "
                                  << search.early_stopping);
  const auto session = SessionOf(model, prompt);
  const std::vector<Answer> answers = Beams(session.get(), search);
  const std::vector<PlainAnswer> plain = PlainSearch(model, prompt, search).Run();
  EXPECT_EQ(answers.size(), plain.size());
  size_t ended = 0;
  for (size_t i = 0; i < std::min(answers.size(), plain.size()); ++i) {
    EXPECT_EQ(answers[i].tokens, plain[i].tokens) << "answer " << i;
    EXPECT_NEAR(answers[i].logprob, plain[i].sum, 1e-4);
    EXPECT_NEAR(answers[i].score, plain[i].score, 1e-4 * std::max(1.0, std::abs(plain[i].score)));
    EXPECT_EQ(answers[i].finish_reason,
              plain[i].ended ? FinishReason::kEndOfText : FinishReason::kMaxTokens);
    EXPECT_EQ(answers[i].logprobs.size(), answers[i].tokens.size());
    ended += plain[i].ended ? 1 : 0;
  }
  EXPECT_EQ(TokensOf(*session), prompt);
  return ended;
}

std::vector<TokenId> Encode(const Model& model, const std::string& text) {
  EncodeOptions options;
  options.add_special = text.find("<|") == std::string::npos;
  return *(*model.text()->tokenizer())->Encode(text, options);
}

TEST(BeamAnswersTest, AreThoseOfAPlainSearchOnTheBuiltInModel) {
  const auto model = LoadModel();
  size_t ended = 0;
  for (const char* prompt : {"<|bos|><|user|>1.1+2.3=?<|end|><|assistant|>",
                             "<|bos|><|user|>Hello!<|end|><|assistant|>"}) {
    const std::vector<TokenId> ids = Encode(*model, prompt);
    for (const Search& search :
         {Search{1, 1, 40, 1, false}, Search{2, 2, 30, 0, false}, Search{3, 3, 12, -1.5, true},
          Search{4, 4, 40, 1, false}, Search{4, 4, 40, 1, true}, Search{5, 2, 20, 2, false},
          Search{7, 7, 20, 0.6, true}}) {
      ended += ExpectSame(model, ids, search);
    }
  }
  EXPECT_GT(ended, 10u) << "too few answers ended to say something of their order";
}

TEST(BeamAnswersTest, AreThoseOfAPlainSearchOnStories260K) {
  const std::string directory =
      JoinPath(JoinPath(LLMCORE_REFERENCE_DIR, "models"), "stories260K-f32");
  if (!DirectoryExists(directory)) GTEST_SKIP() << "no reference model at " << directory;
  ModelOptions options;
  options.weight_format = WeightFormat::kF32;
  const auto model = LoadModel(options, directory);
  for (const char* prompt : {"Once upon a time", "Lily and Tom were happy. The end"}) {
    const std::vector<TokenId> ids = Encode(*model, prompt);
    for (const Search& search :
         {Search{2, 2, 30, 1, false}, Search{4, 4, 24, 0, true}, Search{6, 3, 16, 1.5, false}}) {
      ExpectSame(model, ids, search);
    }
  }
}

std::vector<TokenId> Ids(const JsonValue& array) {
  std::vector<TokenId> ids;
  for (const JsonValue& id : *array.if_array()) ids.push_back(static_cast<TokenId>(*id.if_int()));
  return ids;
}

// The search alone, with end tokens of its own: a story seldom ends.
std::vector<Beam> SearchTo(const std::shared_ptr<const Model>& model,
                           const std::vector<TokenId>& prompt, const Search& search,
                           const std::vector<TokenId>& end_tokens) {
  BeamSearchParams params;
  params.width = search.width;
  params.answers = search.answers;
  params.length_penalty = search.length_penalty;
  params.early_stopping = search.early_stopping;
  BeamSearch beams(params, end_tokens);
  while (static_cast<int64_t>(beams.length()) < search.max_tokens) {
    std::vector<std::vector<TokenLogprob>> tops;
    for (const Beam& beam : beams.beams()) {
      std::vector<TokenId> tokens = prompt;
      tokens.insert(tokens.end(), beam.tokens.begin(), beam.tokens.end());
      const auto session = SessionOf(model, tokens);
      const std::span<const float> logits = *session->Logits();
      FindTopLogprobs(logits, *LogSumExp(logits, 0), tops.emplace_back(beams.candidates()));
    }
    if (!beams.Advance(tops)) break;
  }
  return beams.Finish();
}

// tests/session/beam_golden.json says what made it.
TEST(BeamAnswersTest, AreThoseOfTransformersOnStories260K) {
  const std::string directory =
      JoinPath(JoinPath(LLMCORE_REFERENCE_DIR, "models"), "stories260K-f32");
  if (!DirectoryExists(directory)) GTEST_SKIP() << "no reference model at " << directory;
  const auto golden =
      ReadJsonObject(std::string(LLMCORE_SOURCE_DIR) + "/tests/session/beam_golden.json");
  ASSERT_TRUE(golden.ok()) << golden.status();
  ModelOptions options;
  options.weight_format = WeightFormat::kF32;
  const auto model = LoadModel(options, directory);
  const JsonValue::Array& prompts = **golden->GetArray("prompts");
  for (const JsonValue& value : **golden->GetArray("cases")) {
    const JsonObject& entry = *value.if_object();
    const auto number = [&](const char* name) { return *(*entry.Get(name))->AsDouble(); };
    Search search;
    search.width = static_cast<int32_t>(number("width"));
    search.answers = static_cast<int32_t>(number("answers"));
    search.max_tokens = static_cast<int64_t>(number("max_tokens"));
    search.length_penalty = number("length_penalty");
    search.early_stopping = *(*entry.Get("early_stopping"))->if_bool();
    const std::vector<TokenId> prompt = Ids(prompts[static_cast<size_t>(number("prompt"))]);
    const std::vector<TokenId> end_tokens = Ids(**entry.Get("end_tokens"));
    SCOPED_TRACE(testing::Message()
                 << "width " << search.width << ", length penalty " << search.length_penalty
                 << ", early stopping " << search.early_stopping << ", ends with "
                 << testing::PrintToString(end_tokens));
    const std::vector<Beam> answers = SearchTo(model, prompt, search, end_tokens);
    const JsonValue::Array& expected = **entry.GetArray("ids");
    const JsonValue::Array& scores = **entry.GetArray("scores");  // none of one beam
    ASSERT_EQ(answers.size(), expected.size());
    for (size_t i = 0; i < answers.size(); ++i) {
      EXPECT_EQ(answers[i].tokens, Ids(expected[i])) << "answer " << i;
      if (i >= scores.size()) continue;
      EXPECT_NEAR(answers[i].score, *scores[i].AsDouble(),
                  1e-4 * std::max(1.0, std::abs(answers[i].score)));
    }
    if (model->IsEndOfText(end_tokens[0])) ExpectSame(model, prompt, search);
  }
}

TEST(BeamAnswersTest, OneBeamIsGreedyAndTheTextIsThatOfItsTokens) {
  const auto model = LoadModel();
  const auto session = *Session::Create(model);
  ASSERT_TRUE(session->AppendMessage("user", "12.5-20=?").ok());
  const std::vector<TokenId> before = TokensOf(*session);
  const std::vector<Answer> answers = Beams(session.get(), {1, 1, 200});
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(TokensOf(*session), before) << "the generation prompt is not part of the session";
  EXPECT_EQ(answers[0].finish_reason, FinishReason::kEndOfText);
  EXPECT_TRUE(answers[0].text.ends_with("-7.5")) << answers[0].text;
  GenerationParams greedy;
  greedy.temperature = 0;
  EXPECT_EQ(answers[0].tokens, Generate(session.get(), greedy));
}

TEST(BeamAnswersTest, BitsDoNotDependOnBatchesOrThreads) {
  std::vector<std::vector<float>> first;
  for (const int32_t at_once : {1, 3, 32}) {
    ModelOptions options;
    options.max_batch_sequences = at_once;
    options.threads = at_once;
    options.weight_format = WeightFormat::kInt4;
    const auto model = LoadModel(options);
    std::vector<std::vector<float>> logprobs;
    for (const Answer& answer : Beams(SessionOf(model, RandomTokens(40, 2)).get(), {6, 6, 15})) {
      logprobs.push_back(answer.logprobs);
    }
    if (first.empty()) first = logprobs;
    EXPECT_EQ(logprobs, first) << at_once << " at once";
  }
}

// A cache that holds the prompt once and a little for each beam.
TEST(BeamAnswersTest, ThePromptIsHeldOnce) {
  ModelOptions options;
  options.max_context = 512;
  options.kv_cache_tokens = 512 + 8 * 3 * 32;
  const auto model = LoadModel(options);
  const int32_t block = model->plan().kv_block_tokens;
  ASSERT_LE(block, 32);
  const auto session = SessionOf(model, RandomTokens(450, 4));
  EXPECT_EQ(Beams(session.get(), {8, 8, 40}).size(), 8u);
  EXPECT_EQ(BlocksInUse(*model), (450 + block - 1) / block);
  ASSERT_TRUE(session->Truncate(0).ok());
  EXPECT_EQ(BlocksInUse(*model), 0);
}

TEST(BeamAnswersTest, TheContextEndsThem) {
  ModelOptions options;
  options.max_context = 64;
  options.kv_cache_tokens = 1024;
  const auto model = LoadModel(options);
  const auto session = SessionOf(model, RandomTokens(60, 4));
  size_t cut = 0;
  for (const Answer& answer : Beams(session.get(), {3, 3, 50, 16})) {
    EXPECT_LE(answer.tokens.size(), 4u);
    if (answer.finish_reason == FinishReason::kEndOfText) continue;
    EXPECT_EQ(answer.finish_reason, FinishReason::kContextFull);
    EXPECT_EQ(answer.tokens.size(), 4u);
    ++cut;
  }
  EXPECT_GT(cut, 0u);
  const auto full = SessionOf(model, RandomTokens(64, 4));
  const std::vector<Answer> none = Beams(full.get(), {3, 3, 50});
  ASSERT_EQ(none.size(), 1u);
  EXPECT_TRUE(none[0].tokens.empty());
  EXPECT_EQ(none[0].finish_reason, FinishReason::kContextFull);
}

TEST(BeamAnswersTest, WrongNumbersAreRefused) {
  ModelOptions options;
  options.kv_cache_tokens = 32768;
  const auto session = SessionOf(LoadModel(options), {1, 2, 3});
  const auto refused = [&](Search search) {
    BeamSearchParams params;
    params.width = search.width;
    params.answers = search.answers;
    params.length_penalty = search.length_penalty;
    return session->BeamAnswers(params, search.max_tokens).status().code() ==
           absl::StatusCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused({0, 1}));
  EXPECT_TRUE(refused({257, 1}));
  EXPECT_TRUE(refused({-4, -4}));
  EXPECT_TRUE(refused({4, 0}));
  EXPECT_TRUE(refused({4, 5}));
  EXPECT_TRUE(refused({4, 1, 0}));
  EXPECT_TRUE(refused({4, 1, -1}));
  for (const double penalty : {std::nan(""), HUGE_VAL, -17.0}) {
    EXPECT_TRUE(refused({4, 1, 10, penalty})) << penalty;
  }
  EXPECT_EQ(Beams(session.get(), {256, 256, 2, 16}).size(), 256u);
}

// They wait for each other's blocks, and lose and compute them again, without a trace.
TEST(BeamAnswersTest, BeamsThatDoNotFitTogetherTakeTurns) {
  const auto tokens_of = [](int64_t kv_cache_tokens) {
    ModelOptions options;
    options.max_context = 512;
    options.kv_cache_tokens = kv_cache_tokens;
    const auto model = LoadModel(options);
    const auto session = SessionOf(model, RandomTokens(300, 4));
    std::vector<std::vector<TokenId>> tokens;
    for (const Answer& answer : Beams(session.get(), {16, 16, 70, 16})) {
      tokens.push_back(answer.tokens);
    }
    EXPECT_TRUE(session->Truncate(0).ok());
    EXPECT_EQ(BlocksInUse(*model), 0);
    return tokens;
  };
  EXPECT_EQ(tokens_of(512), tokens_of(8192));
}

TEST(BeamAnswersTest, FailureAndCancelLeaveTheSession) {
  ModelOptions options;
  options.max_context = 1024;
  options.kv_cache_tokens = 8192;
  const auto model = LoadModel(options);
  const auto prompt = RandomTokens(300, 4);
  const auto session = SessionOf(model, prompt);
  BeamSearchParams params;
  params.width = 16;
  params.length_penalty = 16;
  session->SetDeadline(std::chrono::milliseconds(30));
  EXPECT_EQ(session->BeamAnswers(params, 700).status().code(), absl::StatusCode::kDeadlineExceeded);
  session->SetDeadline(std::nullopt);
  EXPECT_EQ(TokensOf(*session), prompt);
  session->Cancel();
  EXPECT_EQ(session->BeamAnswers(params, 200).status().code(), absl::StatusCode::kCancelled);
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    session->Cancel();
  });
  params.width = 3;
  absl::Status status;
  while (status.ok()) status = session->BeamAnswers(params, 100).status();
  canceller.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled) << status;
  EXPECT_EQ(TokensOf(*session), prompt);
  GenerationParams greedy;
  greedy.temperature = 0;
  greedy.max_tokens = 20;
  const std::vector<TokenId> reply = Generate(session.get(), greedy);
  ASSERT_TRUE(session->Truncate(0).ok());
  EXPECT_EQ(BlocksInUse(*model), 0);
  EXPECT_EQ(reply, Generate(SessionOf(model, prompt).get(), greedy));
}

}  // namespace
}  // namespace llmcore::core
