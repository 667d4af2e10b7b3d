// Asks a model one question: minimal MODEL_DIRECTORY QUESTION
#include <iostream>
#include <llmcore/llmcore.hpp>

int main(int argc, char** argv) try {
  auto model = llmcore::Model::Load(argc > 1 ? argv[1] : "examples/models/abacus").value();
  llmcore::Session chat(model);
  chat.AddUser(argc > 2 ? argv[2] : "1.1+2.3=?");
  for (std::string_view piece : chat.Generate({.temperature = 0, .max_tokens = 256}))
    std::cout << piece << std::flush;
  std::cout << '\n';
} catch (const llmcore::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
