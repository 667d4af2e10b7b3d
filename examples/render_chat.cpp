// What a model's chat template makes of messages: needs no more of the model directory than
// tokenizer_config.json.
#include <cstdio>
#include <llmcore/llmcore.hpp>
#include <string>

#include "common/model_flags.h"
#include "common/program.h"

int main(int argc, char** argv) {
  CLI::App app(
      "Prints the text that the model's chat template makes of messages, and nothing else.",
      "render_chat");
  app.footer(
      "strftime_now in a template is the time of the call, or SOURCE_DATE_EPOCH (seconds, "
      "UTC) where that is set.");
  std::string model, messages;
  llmcore::RenderOptions options;
  options.add_generation_prompt = false;
  examples::AddModelFlag(app, examples::ModelFlag::kRequired, model);
  app.add_option("--messages", messages,
                 "File with a JSON array of messages, or an object with \"messages\", "
                 "\"add_generation_prompt\", \"tools\" and any further variables of the template; "
                 "- is standard input")
      ->type_name("FILE")
      ->required();
  app.add_flag("--add-generation-prompt", options.add_generation_prompt,
               "End with what begins a reply, unless the file says otherwise");

  return examples::RunProgram(app, argc, argv, [&] {
    const auto tokenizer = llmcore::Tokenizer::Load(model).value();
    const std::string text = tokenizer.RenderChat(examples::ReadFile(messages), options).value();
    std::fwrite(text.data(), 1, text.size(), stdout);
  });
}
