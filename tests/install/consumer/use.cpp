// use MODEL_DIRECTORY: prints the reply to one sum.
#include <iostream>
#include <llmcore/llmcore.hpp>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const llmcore::Result<llmcore::Model> model = llmcore::Model::Load(argv[1]);
  if (!model) {
    std::cerr << model.error().what() << '\n';
    return 1;
  }
  llmcore::Session chat(*model);
  chat.AddUser("1.1+2.3=?");
  for (std::string_view piece : chat.Generate()) std::cout << piece;
  std::cout << '\n';
}
