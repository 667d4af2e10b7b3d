// Models that the host steps, and replies that it polls. Run under ThreadSanitizer as well.
#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "tests/capi/support.h"

namespace llmcore::capi_test {
namespace {

Model ManualModel(uint32_t threads = 0) {
  const Options options = NewOptions();
  EXPECT_TRUE(Works(llmcore_model_options_set_scheduler(options.get(), "manual", 6)));
  EXPECT_TRUE(Works(llmcore_model_options_set_threads(options.get(), threads)));
  return LoadModel(options.get());
}

std::string Question(int i) {
  return std::to_string(i) + "." + std::to_string(i) + "+2.3=?";
}

Session Ask(const llmcore_model* model, int i) {
  Session session = NewSession(model);
  EXPECT_TRUE(Works(AddMessage(session.get(), "user", Question(i))));
  return session;
}

Reply ReplyAlone(int i) {
  const Session session = Ask(SharedModel(), i);
  return ReadAll(Generate(session.get(), NewGreedyParams(60).get()).get());
}

bool Step(const llmcore_model* model) {
  bool did_work = false;
  EXPECT_TRUE(Works(llmcore_engine_step(model, &did_work)));
  return did_work;
}

// Adds what a poll brings; whether the reply goes on.
bool PollInto(llmcore_generation* generation, Reply* reply) {
  const llmcore_event* event = nullptr;
  bool pending = false;
  EXPECT_TRUE(Works(llmcore_generation_poll(generation, &event, &pending)));
  EXPECT_TRUE(event == nullptr || !pending);
  if (event == nullptr) return pending;
  reply->text.append(llmcore_event_text(event), llmcore_event_text_size(event));
  if (llmcore_event_has_token(event)) reply->tokens.push_back(llmcore_event_token(event));
  reply->finish_reason = llmcore_event_finish_reason(event);
  return true;
}

TEST(SchedulerTest, OneThreadServesManyRepliesAtOnce) {
  constexpr int kSessions = 4;
  const Model model = ManualModel();
  std::vector<Session> sessions;
  std::vector<Generation> generations;
  std::vector<Reply> replies(kSessions);
  for (int i = 0; i < kSessions; ++i) {
    sessions.push_back(Ask(model.get(), i));
    generations.push_back(Generate(sessions.back().get(), NewGreedyParams(60).get()));
  }
  EXPECT_FALSE(Step(model.get()));  // nobody has asked for anything
  ASSERT_TRUE(PollInto(generations[0].get(), &replies[0]));
  EXPECT_TRUE(replies[0].tokens.empty());
  int steps = 0;
  bool more = true;
  while (more) {
    more = false;
    for (int i = 0; i < kSessions; ++i) more |= PollInto(generations[i].get(), &replies[i]);
    steps += Step(model.get()) ? 1 : 0;
  }
  EXPECT_FALSE(Step(model.get()));
  size_t longest = 0;
  for (int i = 0; i < kSessions; ++i) {
    const Reply alone = ReplyAlone(i);
    EXPECT_EQ(replies[i].tokens, alone.tokens) << i;
    EXPECT_EQ(replies[i].text, alone.text) << i;
    EXPECT_EQ(replies[i].finish_reason, alone.finish_reason) << i;
    longest = std::max(longest, alone.tokens.size());
  }
  EXPECT_LE(steps, static_cast<int>(longest) + 2);  // they shared them
}

TEST(SchedulerTest, ACallThatWaitsRunsTheStepsItself) {
  const Model model = ManualModel();
  const Session session = Ask(model.get(), 1);
  const float* values = nullptr;
  size_t count = 0;
  ASSERT_TRUE(Works(llmcore_session_logits(session.get(), &values, &count)));
  const Generation generation = Generate(session.get(), NewGreedyParams(60).get());
  EXPECT_EQ(ReadAll(generation.get()).tokens, ReplyAlone(1).tokens);
}

TEST(SchedulerTest, ThreadsThatWaitAndThreadsThatStepGetAlong) {
  constexpr int kThreads = 8;
  const Model model = ManualModel();
  std::vector<Reply> alone;
  for (int i = 0; i < kThreads; ++i) alone.push_back(ReplyAlone(i));
  std::vector<Reply> together(kThreads);
  std::atomic<int> running = kThreads;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const Session session = Ask(model.get(), i);
      const Generation generation = Generate(session.get(), NewGreedyParams(60).get());
      if (i % 2 == 0) {
        together[i] = ReadAll(generation.get());
      } else {
        while (PollInto(generation.get(), &together[i])) std::this_thread::yield();
      }
      --running;
    });
  }
  std::thread stepper([&] {
    while (running > 0) {
      if (!Step(model.get())) std::this_thread::yield();
    }
  });
  for (std::thread& thread : threads) thread.join();
  stepper.join();
  for (int i = 0; i < kThreads; ++i) EXPECT_EQ(together[i].tokens, alone[i].tokens) << i;
}

TEST(SchedulerTest, PollingABackgroundModelNeedsNoSteps) {
  const Session session = Ask(SharedModel(), 2);
  const Generation generation = Generate(session.get(), NewGreedyParams(60).get());
  Reply reply;
  while (PollInto(generation.get(), &reply)) std::this_thread::yield();
  EXPECT_EQ(reply.tokens, ReplyAlone(2).tokens);
  bool did_work = true;
  EXPECT_TRUE(Fails(llmcore_engine_step(SharedModel(), &did_work), LLMCORE_FAILED_PRECONDITION,
                    "scheduler"));
  EXPECT_FALSE(did_work);
}

TEST(SchedulerTest, AnyOtherCallTakesAPolledRequestBack) {
  const Model model = ManualModel();
  const Reply alone = ReplyAlone(3);
  Session session = Ask(model.get(), 3);
  Generation generation = Generate(session.get(), NewGreedyParams(60).get());
  Reply reply;
  ASSERT_TRUE(PollInto(generation.get(), &reply));
  // A fork and the logits leave the generation alone, which asks again.
  llmcore_session* fork = nullptr;
  ASSERT_TRUE(Works(llmcore_session_fork(session.get(), &fork)));
  const Session owned(fork);
  EXPECT_FALSE(Step(model.get()));
  ASSERT_TRUE(PollInto(generation.get(), &reply));
  const float* values = nullptr;
  size_t count = 0;
  ASSERT_TRUE(Works(llmcore_session_logits(session.get(), &values, &count)));
  while (PollInto(generation.get(), &reply)) Step(model.get());
  EXPECT_EQ(reply.tokens, alone.tokens);
  EXPECT_EQ(ReadAll(Generate(fork, NewGreedyParams(60).get()).get()).tokens, alone.tokens);
  // The end of a session with a request in the queue.
  generation = Generate(session.get(), NewGreedyParams(60).get());
  ASSERT_TRUE(PollInto(generation.get(), &reply));
  generation.reset();
  EXPECT_FALSE(Step(model.get()));
  generation = Generate(session.get(), NewGreedyParams(60).get());
  ASSERT_TRUE(PollInto(generation.get(), &reply));
  session.reset();
  generation.reset();
  EXPECT_FALSE(Step(model.get()));
}

TEST(SchedulerTest, APolledReplyIsCancelled) {
  const Model model = ManualModel();
  const Session session = Ask(model.get(), 4);
  const Generation generation = Generate(session.get(), NewGreedyParams(60).get());
  Reply reply;
  ASSERT_TRUE(PollInto(generation.get(), &reply));
  llmcore_session_cancel(session.get());
  const llmcore_event* event = nullptr;
  bool pending = true;
  EXPECT_TRUE(
      Fails(llmcore_generation_poll(generation.get(), &event, &pending), LLMCORE_CANCELLED));
  EXPECT_FALSE(pending);
  EXPECT_TRUE(Works(llmcore_generation_poll(generation.get(), &event, &pending)));
  EXPECT_FALSE(pending);
  EXPECT_EQ(event, nullptr);
  EXPECT_FALSE(Step(model.get()));
  // The session goes on.
  EXPECT_FALSE(ReadAll(Generate(session.get(), NewGreedyParams(5).get()).get()).tokens.empty());
}

TEST(SchedulerTest, AManualModelHasNoThreadOfItsOwn) {
  const auto threads = [] {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return std::distance(begin(tasks), end(tasks));
  };
  const auto before = threads();
  const Model model = ManualModel(/*threads=*/1);
  EXPECT_EQ(threads(), before);
}

struct Asked {
  std::string question;
  int32_t priority;
};

// How many tokens of each reply there are after ten steps that take one sequence each.
std::vector<size_t> TokensAfterTenSteps(const std::vector<Asked>& asked) {
  const Options options = NewOptions();
  EXPECT_TRUE(Works(llmcore_model_options_set_scheduler(options.get(), "manual", 6)));
  EXPECT_TRUE(Works(llmcore_model_options_set_max_batch_sequences(options.get(), 1)));
  const Model model = LoadModel(options.get());
  std::vector<Session> sessions;
  std::vector<Generation> generations;
  std::vector<Reply> replies(asked.size());
  for (const auto& [question, priority] : asked) {
    sessions.push_back(NewSession(model.get()));
    EXPECT_TRUE(Works(AddMessage(sessions.back().get(), "user", question)));
    EXPECT_TRUE(Works(llmcore_session_set_priority(sessions.back().get(), priority)));
    generations.push_back(Generate(sessions.back().get(), NewGreedyParams(10).get()));
  }
  const auto poll = [&] {
    for (size_t i = 0; i < asked.size(); ++i) PollInto(generations[i].get(), &replies[i]);
  };
  for (int step = 0; step < 10; ++step) {
    poll();
    EXPECT_TRUE(Step(model.get()));
  }
  poll();
  std::vector<size_t> tokens;
  for (const Reply& reply : replies) tokens.push_back(reply.tokens.size());
  return tokens;
}

TEST(SchedulerTest, AHigherPriorityIsServedFirst) {
  EXPECT_EQ(TokensAfterTenSteps({{Question(0), 0}, {Question(1), 5}, {Question(2), 0}}),
            (std::vector<size_t>{0, 10, 0}));
}

// What two prompts have in common is computed by the one whose turn comes first. It would otherwise
// wait for all that comes before the other.
TEST(SchedulerTest, AHigherPriorityDoesNotWaitForAPromptThatItShares) {
  std::string common = "1.1";
  for (int i = 0; i < 20; ++i) common += "+2.3";
  EXPECT_EQ(TokensAfterTenSteps({{common, 0}, {Question(1), 1}, {common, 2}}),
            (std::vector<size_t>{0, 0, 10}));
}

TEST(SchedulerTest, AnUnknownPriorityIsRefused) {
  const Session session = NewSession(SharedModel());
  for (const int32_t wrong : {-101, 101, INT32_MAX, INT32_MIN}) {
    EXPECT_TRUE(Fails(llmcore_session_set_priority(session.get(), wrong), LLMCORE_INVALID_ARGUMENT,
                      "priority"));
  }
}

TEST(SchedulerTest, ADeadlineEndsAReplyAndKeepsWhatItHas) {
  const Session session = Ask(SharedModel(), 5);
  Generation generation = Generate(session.get(), NewGreedyParams(60).get());
  const llmcore_event* event = nullptr;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Works(llmcore_generation_next(generation.get(), &event)));
  }
  const uint64_t length = llmcore_session_length(session.get());
  ASSERT_TRUE(Works(llmcore_session_set_deadline(session.get(), 0)));
  EXPECT_TRUE(Fails(llmcore_generation_next(generation.get(), &event), LLMCORE_DEADLINE_EXCEEDED));
  EXPECT_TRUE(Works(llmcore_generation_next(generation.get(), &event)));
  EXPECT_EQ(event, nullptr);
  EXPECT_EQ(llmcore_session_length(session.get()), length);
  for (const uint64_t later : {uint64_t{3600000}, LLMCORE_NO_DEADLINE - 1, LLMCORE_NO_DEADLINE}) {
    ASSERT_TRUE(Works(llmcore_session_set_deadline(session.get(), later)));
    EXPECT_EQ(ReadAll(Generate(session.get(), NewGreedyParams(2).get()).get()).tokens.size(), 2u);
  }
}

TEST(SchedulerTest, ADeadlinePassesWhileAReplyIsMade) {
  using Clock = std::chrono::steady_clock;
  const Session session = Ask(SharedModel(), 6);
  const Params params = NewParams();
  ASSERT_TRUE(Works(llmcore_sampling_params_set_ignore_eos(params.get(), true)));
  constexpr std::chrono::milliseconds kTime(30);
  const uint64_t prompt = llmcore_session_length(session.get());
  const Clock::time_point begin = Clock::now();
  ASSERT_TRUE(Works(llmcore_session_set_deadline(session.get(), kTime.count())));
  uint32_t code = LLMCORE_OK;
  while (code == LLMCORE_OK) {  // begins again where the context is full
    ASSERT_TRUE(Works(llmcore_session_truncate(session.get(), prompt)));
    const Generation generation = Generate(session.get(), params.get());
    const llmcore_event* event = nullptr;
    do {
      const Error error(llmcore_generation_next(generation.get(), &event));
      code = llmcore_error_code(error.get());
    } while (event != nullptr);
  }
  EXPECT_EQ(code, LLMCORE_DEADLINE_EXCEEDED);
  EXPECT_GE(Clock::now() - begin, kTime);
}

TEST(SchedulerTest, APolledRequestExpiresInTheQueue) {
  const Model model = ManualModel();
  const Session session = Ask(model.get(), 7);
  constexpr std::chrono::milliseconds kTime(300);
  ASSERT_TRUE(Works(llmcore_session_set_deadline(session.get(), kTime.count())));
  const Generation generation = Generate(session.get(), NewGreedyParams(60).get());
  Reply reply;
  ASSERT_TRUE(PollInto(generation.get(), &reply));
  std::this_thread::sleep_for(kTime + std::chrono::milliseconds(1));
  EXPECT_FALSE(Step(model.get()));
  const llmcore_event* event = nullptr;
  bool pending = true;
  EXPECT_TRUE(Fails(llmcore_generation_poll(generation.get(), &event, &pending),
                    LLMCORE_DEADLINE_EXCEEDED));
}

TEST(SchedulerTest, OnlyKnownSchedulersAreTaken) {
  const Options options = NewOptions();
  EXPECT_TRUE(Works(llmcore_model_options_set_scheduler(options.get(), "background", 10)));
  EXPECT_TRUE(Fails(llmcore_model_options_set_scheduler(options.get(), "none", 4),
                    LLMCORE_INVALID_ARGUMENT, "scheduler"));
}

}  // namespace
}  // namespace llmcore::capi_test
