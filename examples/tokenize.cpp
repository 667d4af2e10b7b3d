// Text to token ids, and back: needs the tokenizer's files of a model directory, not its weights.
#include <cstdio>
#include <llmcore/llmcore.hpp>
#include <optional>
#include <string>
#include <vector>

#include "common/model_flags.h"
#include "common/program.h"
#include "common/terminal.h"
#include "common/token_list.h"

int main(int argc, char** argv) {
  CLI::App app("Prints the token ids of a text on one line, or the text of token ids.", "tokenize");
  std::string model, text, file, decode;
  llmcore::EncodeOptions encode_options;
  llmcore::DecodeOptions decode_options;
  bool no_special = false;
  examples::AddModelFlag(app, examples::ModelFlag::kRequired, model);
  CLI::Option* text_flag = app.add_option("--text", text, "Text to encode");
  CLI::Option* file_flag =
      app.add_option("--file", file, "Or a file of text to encode; - is standard input")
          ->type_name("FILE");
  CLI::Option* decode_flag =
      app.add_option("--decode", decode,
                     "Or token ids to decode, parted by commas or spaces; - is standard input")
          ->type_name("IDS");
  app.add_flag("--no-special", no_special,
               "Encode without the tokens that the model expects around a text, such as BOS; "
               "decode without special tokens");
  app.add_flag("--parse-special", encode_options.parse_special,
               "Read names of special tokens in the text, such as <|im_end|>, as these tokens");

  return examples::RunProgram(app, argc, argv, [&] {
    if (text_flag->count() + file_flag->count() + decode_flag->count() != 1) {
      throw examples::UsageError("one of --text, --file and --decode is needed");
    }
    encode_options.add_special = !no_special;
    decode_options.skip_special = no_special;
    const auto tokenizer = llmcore::Tokenizer::Load(model).value();
    if (decode_flag->count() > 0) {
      if (decode == "-") decode = examples::ReadFile(decode);
      const auto ids = examples::ParseTokenList(decode);
      const std::string decoded = tokenizer.Decode(ids, decode_options).value();
      std::fwrite(decoded.data(), 1, decoded.size(), stdout);
      // The text and nothing else, except where a shell's prompt would follow on the same line.
      if (examples::IsTerminal(STDOUT_FILENO)) std::puts("");
      return;
    }
    if (file_flag->count() > 0) text = examples::ReadFile(file);
    const std::vector<llmcore::Token> ids = tokenizer.Encode(text, encode_options).value();
    const char* separator = "";
    for (const llmcore::Token id : ids) {
      std::printf("%s%d", separator, id);
      separator = " ";
    }
    std::puts("");
  });
}
