#include <algorithm>
#include <cmath>
#include <cstdio>
#include <llmcore/experimental.hpp>
#include <stdexcept>
#include <utility>
#include <vector>

#include "common/progress.h"
#include "evaluations/evaluation.h"

namespace examples {
namespace {

struct Passage {
  std::string context;
  std::string target;  // a space and the last word
};

Passage ReadPassage(const nlohmann::json& object) {
  Passage passage;
  if (const auto text = object.find("text"); text != object.end() && text->is_string()) {
    passage.context = text->get<std::string>();
    const size_t space = passage.context.rfind(' ');
    if (space == std::string::npos) throw std::runtime_error("a passage has only one word");
    passage.target = passage.context.substr(space);
    passage.context.resize(space);
  } else if (object.contains("context") && object.contains("continuation")) {
    passage.context = object["context"].get<std::string>();
    passage.target.append(" ").append(object["continuation"].get<std::string>());
  } else {
    throw std::runtime_error("a passage has neither text nor context and continuation");
  }
  // Space at the end of the context belongs to the target: tokens begin with it.
  const size_t end = passage.context.find_last_not_of(' ') + 1;
  passage.target.insert(0, passage.context, end, std::string::npos);
  passage.context.resize(end);
  return passage;
}

struct Score {
  double log_likelihood = 0;
  bool greedy = true;  // each token of the target is the most likely one
};

Score ScorePassage(llmcore::Session& session, const llmcore::Tokenizer& tokenizer,
                   const Passage& passage, size_t max_context) {
  auto tokens = tokenizer.Encode(passage.context + passage.target).value();
  size_t first = std::max<size_t>(tokenizer.Encode(passage.context).value().size(), 1);
  if (first >= tokens.size()) throw std::runtime_error("the last word has no tokens of its own");
  if (tokens.size() - 1 > max_context) {  // the beginning is what can be spared
    const size_t excess = tokens.size() - 1 - max_context;
    if (excess >= first) throw std::runtime_error("the last word is longer than the context");
    tokens.erase(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(excess));
    first -= excess;
  }
  session.Truncate(0).value();
  session.AppendTokens({tokens.data(), tokens.size() - 1}).value();
  const auto rows = llmcore::experimental::AllLogits(session, first - 1).value();
  Score score;
  for (size_t i = first; i < tokens.size(); ++i) {
    const llmcore::View<float> logits = rows[i - first];
    score.log_likelihood += LogProbability(logits, tokens[i]);
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    score.greedy = score.greedy && best == tokens[i];
  }
  return score;
}

}  // namespace

Evaluation Lambada(const llmcore::Model& model, const std::string& jsonl,
                   std::optional<uint64_t> limit, InterruptWatcher& interrupts) {
  const auto objects = ParseJsonLines(jsonl, limit);
  const auto tokenizer = model.tokenizer().value();
  auto session = llmcore::Session::Create(model).value();
  const InterruptWatcher::Scope scope(interrupts, [&] { session.Cancel(); });
  ProgressBar bar("lambada");
  uint64_t done = 0;
  uint64_t right = 0;
  double sum = 0;
  for (const nlohmann::json& object : objects) {
    const Score score = ScorePassage(session, tokenizer, ReadPassage(object), model.max_context());
    ++done;
    right += score.greedy ? 1 : 0;
    sum += score.log_likelihood;
    char label[48];
    std::snprintf(label, sizeof label, "lambada %.1f%%",
                  100 * static_cast<double>(right) / static_cast<double>(done));
    bar.Update(label, done, objects.size());
  }

  const double accuracy = static_cast<double>(right) / static_cast<double>(done);
  const double perplexity = std::exp(-sum / static_cast<double>(done));
  Evaluation result;
  result.figures = {
      {"accuracy", accuracy}, {"right", right}, {"total", done}, {"perplexity", perplexity}};
  char summary[128];
  std::snprintf(summary, sizeof summary,
                "lambada: accuracy %.2f%% (%llu of %llu), perplexity of the last word %.4f",
                100 * accuracy, static_cast<unsigned long long>(right),
                static_cast<unsigned long long>(done), perplexity);
  result.summary = summary;
  result.definition =
      "OpenAI's variant of LAMBADA, texts as they are: the last word with the space before it, "
      "given the passage before it. Right when each of its tokens is the most likely one; "
      "perplexity: exp of the mean negative log-likelihood a word (all of its tokens).";
  return result;
}

}  // namespace examples
