#include <algorithm>
#include <atomic>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "common/progress.h"
#include "evaluations/evaluation.h"

namespace examples {
namespace {

// "...Answer: -3.4" -> -3.4. A minus is a sign where no digit stands before it.
std::optional<double> LastNumber(const std::string& text) {
  const auto is_digit = [&](size_t i) {
    return i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])) != 0;
  };
  std::optional<double> last;
  for (size_t i = 0; i < text.size();) {
    if (!is_digit(i)) {
      ++i;
      continue;
    }
    const bool negative = i > 0 && text[i - 1] == '-' && (i < 2 || !is_digit(i - 2));
    size_t end = i;
    while (is_digit(end)) ++end;
    if (end < text.size() && text[end] == '.' && is_digit(end + 1)) {
      ++end;
      while (is_digit(end)) ++end;
    }
    const double value = std::strtod(text.substr(i, end - i).c_str(), nullptr);
    last = negative ? -value : value;
    i = end;
  }
  return last;
}

// Several conversations at a time: the library computes them together.
class Examination {
 public:
  Examination(const llmcore::Model& model, std::vector<nlohmann::json> sums,
              const ArithmeticOptions& options)
      : model_(model), sums_(std::move(sums)), options_(options) {}

  // Returns how many are right.
  uint64_t Run() {
    std::vector<std::thread> workers;
    for (uint32_t i = 0; i < std::max<uint32_t>(options_.parallel, 1); ++i) {
      workers.emplace_back([this] { Work(); });
    }
    for (std::thread& worker : workers) worker.join();
    bar_.Clear();
    if (failure_) std::rethrow_exception(failure_);
    if (stopped_) throw llmcore::Error(llmcore::ErrorCode::kCancelled, "interrupted");
    return right_;
  }

  void Stop() { stopped_ = true; }
  uint64_t total() const { return sums_.size(); }

 private:
  void Work() {
    try {
      for (size_t i = next_++; i < sums_.size() && !stopped_; i = next_++) Solve(sums_[i]);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      next_ = sums_.size();
    }
  }

  void Solve(const nlohmann::json& sum) {
    const std::string prompt = sum.at("prompt").get<std::string>();
    const std::string answer = sum.at("answer").get<std::string>();
    llmcore::Session session(model_);
    session.AddUser(prompt);
    llmcore::SamplingParams greedy;
    greedy.temperature = 0;
    greedy.max_tokens = options_.max_tokens;
    std::string reply;
    for (const std::string_view piece : session.Generate(greedy)) {
      reply += piece;
      if (stopped_) return;
    }
    const std::optional<double> said = LastNumber(reply);
    const bool right = said && std::abs(*said - std::strtod(answer.c_str(), nullptr)) < 1e-9;
    const std::lock_guard lock(mutex_);
    ++done_;
    right_ += right ? 1 : 0;
    bar_.Update(done_, sums_.size());
    if (!right && options_.show_wrong) {
      bar_.Clear();
      std::fprintf(stderr, "%s is %s, not: %s\n", prompt.c_str(), answer.c_str(),
                   nlohmann::json(reply)
                       .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                       .c_str());
    }
  }

  const llmcore::Model& model_;
  const std::vector<nlohmann::json> sums_;
  const ArithmeticOptions options_;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;  // of what follows
  uint64_t done_ = 0;
  uint64_t right_ = 0;
  std::exception_ptr failure_;
  ProgressBar bar_{"arithmetic"};
};

}  // namespace

Evaluation Arithmetic(const llmcore::Model& model, const std::string& jsonl,
                      const ArithmeticOptions& options, InterruptWatcher& interrupts) {
  Examination examination(model, ParseJsonLines(jsonl, options.limit), options);
  const InterruptWatcher::Scope scope(interrupts, [&] { examination.Stop(); });
  const uint64_t right = examination.Run();
  const double accuracy = static_cast<double>(right) / static_cast<double>(examination.total());
  Evaluation result;
  result.figures = {{"right", right}, {"total", examination.total()}, {"accuracy", accuracy}};
  char summary[96];
  std::snprintf(summary, sizeof summary, "arithmetic: %llu of %llu right (%.1f%%)",
                static_cast<unsigned long long>(right),
                static_cast<unsigned long long>(examination.total()), 100 * accuracy);
  result.summary = summary;
  result.definition =
      "each sum is the only message of a conversation, answered greedily (temperature 0); right "
      "when the last number of the reply equals the answer.";
  return result;
}

}  // namespace examples
