// A conversation with a model on the terminal.
#include <cstdio>
#include <llmcore/llmcore.hpp>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "common/interrupt.h"
#include "common/line_editor.h"
#include "common/model_flags.h"
#include "common/program.h"
#include "common/sizes.h"
#include "common/stopwatch.h"
#include "common/terminal.h"
#include "conversation.h"

namespace {

using examples::Conversation;
using examples::LineEditor;

constexpr char kHelp[] =
    "  /reset       begin anew\n"
    "  /save FILE   write the conversation to a file\n"
    "  /load FILE   go on with a conversation that was saved\n"
    "  /quit        leave; so does Ctrl-D\n"
    "Ctrl-C stops a reply. A line that ends in \\ goes on in the next.\n";

// A line about the conversation, never part of it: standard output holds replies alone.
void Note(const std::string& text) {
  const examples::Style style(STDERR_FILENO);
  std::fprintf(stderr, "%s%s%s\n", style.dim, text.c_str(), style.reset);
}

void NoteFailure(const std::exception& error) {
  const examples::Style style(STDERR_FILENO);
  std::fprintf(stderr, "%schat: %s%s\n", style.red, error.what(), style.reset);
}

void PrintLoadStats(const llmcore::Model& model, double seconds) {
  const llmcore::MemoryPlan plan = model.plan().value();
  const auto size = [](uint64_t bytes) { return examples::FormatBytes(bytes); };
  std::fprintf(stderr, "load        %.2f s; %s\n", seconds,
               std::string(model.backend_description()).c_str());
  std::fprintf(stderr,
               "memory      %s: weights %s (%s), kv cache %s (%s), activations %s (%s), "
               "workspace %s, host %s%s\n",
               size(plan.total_bytes).c_str(), size(plan.weight_bytes).c_str(),
               std::string(llmcore::Name(plan.weights)).c_str(), size(plan.kv_cache_bytes).c_str(),
               std::string(llmcore::Name(plan.kv)).c_str(), size(plan.activation_bytes).c_str(),
               std::string(llmcore::Name(plan.activations)).c_str(),
               size(plan.workspace_bytes).c_str(), size(plan.host_bytes).c_str(),
               plan.swap_bytes == 0 ? "" : (", swap " + size(plan.swap_bytes)).c_str());
}

void PrintSpeed(const examples::Speed& speed) {
  std::fprintf(stderr, "prompt      %llu tokens",
               static_cast<unsigned long long>(speed.prompt_tokens));
  if (speed.prompt_seconds > 0) {
    std::fprintf(stderr, ", %.1f tokens/s",
                 static_cast<double>(speed.prompt_tokens) / speed.prompt_seconds);
  }
  std::fprintf(stderr, "\ngeneration  %llu tokens",
               static_cast<unsigned long long>(speed.reply_tokens));
  if (speed.reply_tokens > 1 && speed.reply_seconds > 0) {
    // The first token is the prompt's: it took no step of its own.
    std::fprintf(stderr, ", %.1f tokens/s",
                 static_cast<double>(speed.reply_tokens - 1) / speed.reply_seconds);
  }
  std::fprintf(stderr, "\n");
}

// Scores are mean log-probabilities of a token.
void PrintAnswers(const std::vector<llmcore::experimental::Answer>& answers) {
  std::string text;
  for (size_t i = 0; i < answers.size(); ++i) {
    char head[64];
    std::snprintf(head, sizeof head, "--- %zu of %zu, score %.3f\n", i + 1, answers.size(),
                  answers[i].score);
    text += head + answers[i].text + "\n";
  }
  examples::Write(text);
}

class Chat {
 public:
  Chat(Conversation& conversation, examples::InterruptWatcher& interrupts, bool stats)
      : conversation_(conversation), interrupts_(interrupts), stats_(stats) {}

  // Until /quit or the end of the input. A person is told of failures and the conversation goes on.
  void Run() {
    // Between a reply and the prompt, where a Ctrl-C that came too late would end the program.
    const examples::InterruptWatcher::Scope ignored(interrupts_, [] {});
    const examples::Style style(STDOUT_FILENO);
    LineEditor editor("llmcore", ">", style.cyan, style.reset);
    for (std::string line; ReadLine(editor, &line);) {
      try {
        if (!Handle(line)) return;
      } catch (const std::exception& error) {
        if (!examples::IsTerminal(STDIN_FILENO)) throw;  // nobody is there to try again
        NoteFailure(error);
      }
    }
  }

  Conversation::Ending Reply(const std::string& text) {
    const Conversation::Ending ending = conversation_.Reply(text);
    examples::Write("\n");
    if (ending == Conversation::Ending::kContextFull) {
      Note("(the context is full; /reset begins anew)");
    }
    if (ending == Conversation::Ending::kInterrupted) Note("(stopped)");
    if (stats_) PrintSpeed(conversation_.speed());
    return ending;
  }

 private:
  // False at the end. The first Ctrl-C drops the line, the second one in a row leaves.
  bool ReadLine(LineEditor& editor, std::string* line) {
    const examples::InterruptWatcher::Scope scope(interrupts_, [&] { editor.Interrupt(); });
    for (int interrupts = 0;;) {
      switch (editor.Read(line)) {
        case LineEditor::Outcome::kLine:
          return true;
        case LineEditor::Outcome::kInterrupted:
          if (++interrupts == 2) return false;
          Note("(Ctrl-C again, Ctrl-D or /quit leaves)");
          break;
        case LineEditor::Outcome::kEnd:
          if (examples::IsTerminal(STDIN_FILENO)) std::puts("");
          return false;
      }
    }
  }

  // A command or a message; false for /quit.
  bool Handle(const std::string& line) {
    if (line.find_first_not_of(" \t\r\n") == std::string::npos) return true;
    if (line[0] != '/') {
      Reply(line);
      return true;
    }
    const size_t space = line.find(' ');
    const std::string command = line.substr(0, space);
    const size_t begin = line.find_first_not_of(' ', space);
    const std::string argument =
        space == std::string::npos || begin == std::string::npos ? "" : line.substr(begin);
    if (command == "/quit" || command == "/exit") return false;
    if (command == "/help") {
      std::fputs(kHelp, stderr);
    } else if (command == "/reset") {
      conversation_.Reset();
      Note("(a new conversation)");
    } else if ((command == "/save" || command == "/load") && argument.empty()) {
      Note("(" + command + " takes the name of a file)");
    } else if (command == "/save") {
      conversation_.Save(argument);
      Note("(saved)");
    } else if (command == "/load") {
      conversation_.Load(argument);
      Note("(loaded: " + std::to_string(conversation_.length()) + " tokens)");
    } else {
      Note("(" + command + " is no command; /help lists them)");
    }
    return true;
  }

  Conversation& conversation_;
  examples::InterruptWatcher& interrupts_;
  const bool stats_;
};

void AddSamplingFlags(CLI::App& app, llmcore::SamplingParams& sampling) {
  const std::string unset = "; without it the model's own choice";
  app.add_option("--temperature", sampling.temperature,
                 "0, always the most likely token, to 100" + unset)
      ->type_name("T")
      ->check(examples::Between(0, 100));
  app.add_option("--top-p", sampling.top_p,
                 "Only the most likely tokens that together have this probability, to 1")
      ->type_name("P")
      ->check(examples::Between(1e-6, 1));
  app.add_option("--top-k", sampling.top_k, "Only this many most likely tokens; 0: all")
      ->type_name("K");
  app.add_option("--seed", sampling.seed, "The same seed gives the same reply")
      ->type_name("S")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""));  // -1 would be 2^64 - 1
  app.add_option("--max-tokens", sampling.max_tokens, "End a reply after this many tokens")
      ->type_name("N")
      ->check(examples::AtLeastOne());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Talks with a language model: one reply to --prompt, or a conversation.", "chat");
  app.footer(std::string("In a conversation:\n") + kHelp);
  examples::ModelFlags flags;
  examples::ConversationOptions options;
  std::optional<std::string> prompt;
  uint32_t samples = 0;
  uint32_t beams = 0;
  bool stats = false;
  CLI::Option* prompt_flag =
      app.add_option("--prompt", prompt, "Print the reply to this message and end")
          ->type_name("TEXT");
  app.add_option("--system", options.system, "A message of the system to begin with")
      ->type_name("TEXT");
  examples::AddModelFlags(app, examples::ModelFlag::kBuiltinByDefault, flags);
  examples::AddSwapFlag(app, flags);
  AddSamplingFlags(app, options.sampling);
  CLI::Option* samples_flag =
      app.add_option("--samples", samples,
                     "Print this many replies to --prompt, the most likely first: for a "
                     "--temperature above 0")
          ->type_name("N")
          ->check(examples::Between(1, 256))
          ->needs(prompt_flag);
  app.add_option("--beams", beams,
                 "Print the best replies to --prompt that a beam search of this width finds")
      ->type_name("N")
      ->check(examples::Between(1, 256))
      ->needs(prompt_flag)
      ->excludes(samples_flag);
  app.add_flag("--raw", options.raw, "Complete text instead of replying to messages");
  app.add_flag("--stats", stats, "Say on standard error how long things took and what they hold");

  return examples::RunProgram(app, argc, argv, [&] {
    if (options.raw && !options.system.empty()) {
      throw examples::UsageError("--system needs a chat template, which --raw does without");
    }
    examples::InterruptWatcher interrupts;
    const examples::Stopwatch loading;
    const llmcore::Model model = examples::LoadModel(flags, interrupts);
    if (stats) PrintLoadStats(model, loading.seconds());
    // Said before the first word, not after: without a tokenizer there is no conversation.
    static_cast<void>(model.tokenizer().value());
    Conversation conversation(model, options, interrupts);
    Chat chat(conversation, interrupts, stats);
    if (samples > 0) {
      PrintAnswers(conversation.Samples(*prompt, samples));
    } else if (beams > 0) {
      PrintAnswers(conversation.Beams(*prompt, beams));
    } else if (prompt) {
      if (chat.Reply(*prompt) == Conversation::Ending::kInterrupted) examples::DieOfInterrupt();
    } else {
      if (examples::IsTerminal(STDIN_FILENO) && examples::IsTerminal(STDOUT_FILENO)) {
        Note("llmcore " + std::string(llmcore::Version()) + ", " +
             (flags.path.empty() ? "the built-in model" : flags.path) +
             ". /help lists the commands.");
      }
      chat.Run();
    }
  });
}
