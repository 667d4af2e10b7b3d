// The project's own model, inside the program.
#ifndef LLMCORE_EXAMPLES_COMMON_BUILTIN_MODEL_H_
#define LLMCORE_EXAMPLES_COMMON_BUILTIN_MODEL_H_

#include <string>
#include <string_view>
#include <vector>

namespace examples {

struct BuiltinFile {
  const char* name;
  std::string_view bytes;
};

// What examples/CMakeLists.txt embeds: the files of a model directory ...
const std::vector<BuiltinFile>& BuiltinModelFiles();
// ... and the 1,000 sums that its training never saw, a JSON object a line.
std::string_view BuiltinArithmetic();

// The model as a directory of its own, only for this user, which is gone with the object. A model
// that was loaded from it stays whole: its files are mapped or read by then.
class BuiltinModelDirectory {
 public:
  BuiltinModelDirectory();  // throws std::system_error
  ~BuiltinModelDirectory();
  BuiltinModelDirectory(const BuiltinModelDirectory&) = delete;
  BuiltinModelDirectory& operator=(const BuiltinModelDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_COMMON_BUILTIN_MODEL_H_
