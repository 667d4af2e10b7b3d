#include "builtin_model.h"

#include <stdlib.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace examples {
namespace {

std::string TemporaryFolder() {
  const char* chosen = std::getenv("TMPDIR");
  return chosen != nullptr && *chosen != '\0' ? chosen : "/tmp";
}

[[noreturn]] void FailToWrite(const std::string& path) {
  throw std::system_error(errno, std::generic_category(),
                          "the built-in model cannot be written to " + path);
}

}  // namespace

BuiltinModelDirectory::BuiltinModelDirectory() : path_(TemporaryFolder() + "/llmcore-XXXXXX") {
  if (mkdtemp(path_.data()) == nullptr) FailToWrite(path_);
  for (const BuiltinFile& file : BuiltinModelFiles()) {
    std::ofstream out(path_ + "/" + file.name, std::ios::binary);
    out.write(file.bytes.data(), static_cast<std::streamsize>(file.bytes.size()));
    if (!out.flush()) {
      const int reason = errno;
      std::error_code ignored;
      std::filesystem::remove_all(path_, ignored);
      errno = reason;
      FailToWrite(path_);
    }
  }
}

BuiltinModelDirectory::~BuiltinModelDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace examples
