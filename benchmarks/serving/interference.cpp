#include "serving/interference.h"

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "serving/replay.h"
#include "serving/workload.h"

namespace benchmarks {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

llmcore::Session SessionOf(const llmcore::Model& model, uint32_t tokens, uint64_t seed) {
  RequestSpec request;
  request.prompt_tokens = tokens;
  llmcore::Session session = llmcore::Session::Create(model).value();
  session.AppendTokens(MakePrompt(request, seed, model.vocabulary_size())).value();
  return session;
}

// Replies that go on in threads of their own until they are stopped.
class Replies {
 public:
  Replies(const llmcore::Model& model, const InterferenceOptions& options)
      : failures_(options.sequences) {
    for (uint32_t i = 0; i < options.sequences; ++i) {
      threads_.emplace_back([this, &model, &options, i] {
        try {
          Reply(model, options.context, i);
        } catch (...) {
          failures_[i] = std::current_exception();
        }
      });
    }
  }
  ~Replies() { Stop(); }

  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  // Throws what went wrong.
  void Check() {
    for (const std::exception_ptr& failure : failures_) {
      if (failure) std::rethrow_exception(failure);
    }
  }

  // Of the tokens of all replies; Stop comes first.
  const std::vector<std::vector<Clock::time_point>>& times() const { return times_; }

 private:
  void Reply(const llmcore::Model& model, uint32_t context, uint32_t index) {
    llmcore::Session session = SessionOf(model, context, 1000 + index);
    while (!stop_) {
      std::vector<Clock::time_point> times;
      GenerateTokens(session, InterferenceOptions::kReplyTokens, [&] {
        times.push_back(Clock::now());
        return !stop_;
      });
      session.Truncate(context).value();
      const std::lock_guard<std::mutex> lock(mutex_);
      times_.push_back(std::move(times));
    }
  }

  std::mutex mutex_;
  std::vector<std::vector<Clock::time_point>> times_;  // guarded by mutex_
  std::vector<std::exception_ptr> failures_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> threads_;
};

}  // namespace

InterferenceResult MeasureInterference(const llmcore::Model& model,
                                       const InterferenceOptions& options,
                                       const std::function<void(size_t)>& progress) {
  InterferenceResult result;
  std::vector<std::pair<Clock::time_point, Clock::time_point>> readings;
  Clock::time_point settled;
  Replies replies(model, options);
  for (uint32_t round = 0; round < options.rounds; ++round) {
    const std::chrono::duration<double> pause(options.seconds_between);
    if (round == 0) {
      std::this_thread::sleep_for(pause / 4);  // the replies begin
      settled = Clock::now();
    }
    std::this_thread::sleep_for(pause);
    llmcore::Session reader = SessionOf(model, options.prompt_tokens, round + 1);
    const Clock::time_point begin = Clock::now();
    static_cast<void>(reader.Logits().value());
    readings.emplace_back(begin, Clock::now());
    result.prompt_seconds.push_back(Seconds(readings.back().second - begin));
    progress(round + 1);
  }
  replies.Stop();
  replies.Check();
  for (const std::vector<Clock::time_point>& times : replies.times()) {
    for (size_t i = 1; i < times.size(); ++i) {
      if (times[i - 1] < settled) continue;
      bool disturbed = false;
      for (const auto& [begin, end] : readings) {
        disturbed |= times[i] > begin && times[i - 1] < end;
      }
      (disturbed ? result.disturbed : result.undisturbed)
          .push_back(Seconds(times[i] - times[i - 1]));
    }
  }
  return result;
}

}  // namespace benchmarks
