// The headers in a second translation unit of one program: nothing may be defined twice.
#include <llmcore/experimental.hpp>
#include <llmcore/llmcore.hpp>

llmcore::Result<llmcore::Model> LoadElsewhere(std::string_view path) {
  return llmcore::Model::Load(path);
}
