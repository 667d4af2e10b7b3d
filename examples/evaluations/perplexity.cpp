#include <algorithm>
#include <cmath>
#include <cstdio>
#include <llmcore/experimental.hpp>
#include <stdexcept>
#include <vector>

#include "common/progress.h"
#include "evaluations/evaluation.h"

namespace examples {
namespace {

// Rows of logits computed at once: 64 of a vocabulary of 150,000 are 38 MB.
constexpr size_t kRows = 64;

// The summed log-likelihood of window[first] to the end, each token given those before it.
double ScoreWindow(llmcore::Session& session, llmcore::View<llmcore::Token> window, size_t first) {
  session.Truncate(0).value();
  double sum = 0;
  // Row i predicts token i + 1. What precedes the first row is read with it.
  for (size_t row = first - 1; row + 1 < window.size();) {
    const size_t begin = row;
    const size_t end = std::min(begin + kRows, window.size() - 1);
    const size_t known = session.length();
    session.AppendTokens({window.data() + known, end - known}).value();
    const auto logits = llmcore::experimental::AllLogits(session, begin).value();
    for (; row < end; ++row) sum += LogProbability(logits[row - begin], window[row + 1]);
  }
  return sum;
}

}  // namespace

Evaluation Perplexity(const llmcore::Model& model, const std::string& text,
                      const PerplexityOptions& options, InterruptWatcher& interrupts) {
  auto tokens = model.tokenizer().value().Encode(text).value();
  if (options.max_tokens && tokens.size() > *options.max_tokens) tokens.resize(*options.max_tokens);
  if (tokens.size() < 2) throw std::runtime_error("the text has fewer than two tokens");
  const uint64_t window = options.window.value_or(std::min<uint64_t>(model.max_context(), 2048));
  const uint64_t stride = options.stride.value_or(std::max<uint64_t>(window / 2, 1));
  if (window < 2 || window > model.max_context()) {
    throw std::runtime_error("a window has 2 to " + std::to_string(model.max_context()) +
                             " tokens, the context of the model");
  }
  if (stride > window)
    throw std::runtime_error("a stride beyond the window would leave tokens out");

  auto session = llmcore::Session::Create(model).value();
  const InterruptWatcher::Scope scope(interrupts, [&] { session.Cancel(); });
  ProgressBar bar("perplexity");
  double sum = 0;
  uint64_t scored = 0;
  for (size_t begin = 0, done = 1; done < tokens.size(); begin += stride) {
    const size_t end = std::min<size_t>(begin + window, tokens.size());
    const size_t first = std::max(done, begin + 1);  // what begins a window has nothing before it
    sum += ScoreWindow(session, {tokens.data() + begin, end - begin}, first - begin);
    scored += end - first;
    done = end;
    char label[48];
    std::snprintf(label, sizeof label, "perplexity %.3f",
                  std::exp(-sum / static_cast<double>(scored)));
    bar.Update(label, done, tokens.size());
  }

  const double loss = -sum / static_cast<double>(scored);
  Evaluation result;
  result.figures = {{"perplexity", std::exp(loss)},
                    {"loss", loss},
                    {"tokens", scored},
                    {"window", window},
                    {"stride", stride}};
  char summary[96];
  std::snprintf(summary, sizeof summary, "perplexity %.4f over %llu tokens", std::exp(loss),
                static_cast<unsigned long long>(scored));
  result.summary = summary;
  result.definition =
      "exp of the mean negative log-likelihood a token. The text is encoded once, with the special "
      "tokens that the model expects around a text; windows of " +
      std::to_string(window) + " tokens begin every " + std::to_string(stride) +
      "; each token is scored once, in the first window that has it, unless it begins that window.";
  return result;
}

}  // namespace examples
