// Logits for token ids: what a model computes, without tokenizer, template or sampling.
#include <cmath>
#include <cstdio>
#include <llmcore/experimental.hpp>
#include <llmcore/llmcore.hpp>
#include <string>
#include <vector>

#include "common/model_flags.h"
#include "common/program.h"
#include "common/token_list.h"

namespace {

// Nine significant digits give every float back exactly; JSON has no NaN and no infinity.
void PrintRow(llmcore::View<float> row) {
  const char* separator = "[";
  for (const float value : row) {
    if (std::isfinite(value)) {
      std::printf("%s%.9g", separator, static_cast<double>(value));
    } else {
      std::printf("%snull", separator);
    }
    separator = ", ";
  }
  std::printf("]");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Prints the logits of token ids as JSON: {\"tokens\": [...], \"logits\": [[...], ...]}.",
      "logits");
  examples::ModelFlags flags;
  std::string tokens;
  bool all = false;
  examples::AddModelFlags(app, examples::ModelFlag::kRequired, flags);
  app.add_option("--tokens", tokens, "Token ids, parted by commas or spaces")->required();
  app.add_flag("--all", all, "A row for each position instead of the last one alone");

  return examples::RunProgram(app, argc, argv, [&] {
    const std::vector<llmcore::Token> ids = examples::ParseTokenList(tokens);
    if (ids.empty()) throw examples::UsageError("--tokens has no token ids");
    examples::InterruptWatcher interrupts;
    const auto model = examples::LoadModel(flags, interrupts);
    llmcore::Session session(model);
    const examples::InterruptWatcher::Scope scope(interrupts, [&] { session.Cancel(); });
    session.AppendTokens(ids).value();
    // All rows are computed before the first is printed: a failure leaves no output.
    llmcore::experimental::LogitRows rows;
    if (all) {
      rows = llmcore::experimental::AllLogits(session, 0).value();
    } else {
      const llmcore::View<float> last = session.Logits().value();
      rows = {last.data(), 1, last.size()};
    }
    std::printf("{\"tokens\": ");
    const char* separator = "[";
    for (const llmcore::Token id : ids) {
      std::printf("%s%d", separator, id);
      separator = ", ";
    }
    std::printf("],\n \"logits\": [");
    for (size_t row = 0; row < rows.rows; ++row) {
      if (row > 0) std::printf(",\n  ");
      PrintRow(rows[row]);
    }
    std::printf("]}\n");
  });
}
