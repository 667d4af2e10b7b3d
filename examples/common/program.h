// What the example programs have in common: how they read their command line and how they end.
//
// Exit status: 0; 1 when the work failed, with one sentence on standard error; 2 when the command
// line was wrong.
#ifndef LLMCORE_EXAMPLES_COMMON_PROGRAM_H_
#define LLMCORE_EXAMPLES_COMMON_PROGRAM_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace examples {

// Thrown by the work for what can only be seen to be wrong usage later.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Parses the command line (also --help and --version), does the work and returns the exit status.
// Errors of llmcore, which Result::value() throws, end here like all others.
int RunProgram(CLI::App& app, int argc, char** argv, const std::function<void()>& work);

// Writes to standard output at once. Throws where that fails, so that nothing goes on working for a
// reader that has left or a disk that is full.
void Write(std::string_view text);

// The whole of a file, or of standard input for "-".
std::string ReadFile(const std::string& path);

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_COMMON_PROGRAM_H_
