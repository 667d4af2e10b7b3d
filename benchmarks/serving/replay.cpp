#include "serving/replay.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <llmcore/experimental.hpp>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

namespace benchmarks {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kSampleEvery(20);

class Replayer {
 public:
  Replayer(const llmcore::Model& model, const std::vector<RequestSpec>& requests,
           const ReplayOptions& options)
      : model_(model), requests_(requests), options_(options) {
    result_.requests.resize(requests.size());
  }

  ReplayResult Run(const std::function<void(size_t)>& progress) {
    const nlohmann::json before = Stats();
    start_ = Clock::now();
    std::vector<std::thread> threads;
    const size_t count = std::min<size_t>(options_.concurrency, requests_.size());
    for (size_t i = 0; i < count; ++i) threads.emplace_back([this] { Work(); });
    std::unique_lock<std::mutex> lock(mutex_);
    while (ended_ < requests_.size()) {
      all_ended_.wait_for(lock, kSampleEvery);
      const size_t ended = ended_;
      lock.unlock();
      Sample();
      progress(ended);
      lock.lock();
    }
    lock.unlock();
    for (std::thread& thread : threads) thread.join();
    for (const RequestRecord& record : result_.requests) {
      if (!record.token_times.empty()) {
        result_.seconds = std::max(result_.seconds, record.token_times.back());
      }
    }
    const nlohmann::json after = Stats();
    const auto counted = [&](const char* of, const char* what) {
      return after.at(of).at(what).get<double>() - before.at(of).at(what).get<double>();
    };
    result_.prefix_hit_tokens = counted("prefix_cache", "hit_tokens");
    result_.swapped_out_blocks = counted("swap", "out_blocks");
    result_.swapped_in_blocks = counted("swap", "in_blocks");
    result_.dropped_blocks = counted("swap", "dropped_blocks");
    return std::move(result_);
  }

 private:
  double Now() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  // Takes one request after the other.
  void Work() {
    for (size_t i = next_++; i < requests_.size(); i = next_++) {
      RequestRecord& record = result_.requests[i];
      try {
        Serve(i, record);
      } catch (const llmcore::Error& error) {
        record.error = error;
      } catch (const std::exception& error) {
        record.error = llmcore::Error(llmcore::ErrorCode::kUnknown, error.what());
      }
      const std::lock_guard<std::mutex> lock(mutex_);
      if (++ended_ == requests_.size()) all_ended_.notify_one();
    }
  }

  void Serve(size_t index, RequestRecord& record) {
    const RequestSpec& request = requests_[index];
    const std::vector<llmcore::Token> prompt =
        MakePrompt(request, index + 1, model_.vocabulary_size());
    record.prompt_tokens = request.prompt_tokens;
    record.token_times.reserve(request.output_tokens);
    if (options_.open_loop) {
      record.arrival = request.arrival;
      std::this_thread::sleep_until(start_ + std::chrono::duration_cast<Clock::duration>(
                                                 std::chrono::duration<double>(request.arrival)));
    } else {
      record.arrival = Now();
    }
    llmcore::Session session = llmcore::Session::Create(model_).value();
    session.AppendTokens(prompt).value();
    GenerateTokens(session, request.output_tokens, [&] {
      record.token_times.push_back(Now());
      return true;
    });
  }

  nlohmann::json Stats() const {
    return nlohmann::json::parse(llmcore::experimental::StatsJson(model_).value());
  }

  void Sample() {
    const nlohmann::json stats = Stats();
    const double blocks = stats.at("kv_blocks");
    result_.pool.push_back(
        {(blocks - stats.at("kv_blocks_free").get<double>()) / std::max(blocks, 1.0),
         stats.at("waiting_requests")});
  }

  const llmcore::Model& model_;
  const std::vector<RequestSpec>& requests_;
  const ReplayOptions options_;
  ReplayResult result_;  // each request's record is its thread's
  Clock::time_point start_;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::condition_variable all_ended_;
  size_t ended_ = 0;  // guarded by mutex_
};

}  // namespace

ReplayResult Replay(const llmcore::Model& model, const std::vector<RequestSpec>& requests,
                    const ReplayOptions& options, const std::function<void(size_t)>& progress) {
  return Replayer(model, requests, options).Run(progress);
}

void GenerateTokens(llmcore::Session& session, uint32_t tokens,
                    const std::function<bool()>& on_token) {
  llmcore::SamplingParams params;
  params.temperature = 0;
  params.ignore_eos = true;
  params.max_tokens = tokens;
  llmcore::Generation reply = session.Generate(params);
  while (const llmcore::Event* event = reply.Next().value()) {
    if (event->token && !on_token()) return;
  }
  if (reply.token_count() < tokens) {
    throw llmcore::Error(llmcore::ErrorCode::kOutOfRange,
                         "the context was full after " + std::to_string(reply.token_count()) +
                             " of " + std::to_string(tokens) + " tokens");
  }
}

}  // namespace benchmarks
