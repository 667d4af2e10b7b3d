#include "program.h"

#include <cerrno>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <llmcore/llmcore.hpp>
#include <new>
#include <system_error>

#include "interrupt.h"

namespace examples {
namespace {

// One line, whatever the message holds.
int Fail(const CLI::App& app, std::string sentence, int status) {
  for (char& c : sentence) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  std::fflush(stdout);
  std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), sentence.c_str());
  return status;
}

}  // namespace

int RunProgram(CLI::App& app, int argc, char** argv, const std::function<void()>& work) {
  app.set_version_flag("--version", "llmcore " + std::string(llmcore::Version()));
  app.get_formatter()->column_width(34);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    return Fail(app, std::string(error.what()) + " (see --help)", 2);
  }
  try {
    work();
    std::cout.flush();
    if (!std::cout || std::fflush(stdout) != 0) {
      throw std::system_error(errno, std::generic_category(), "the output cannot be written");
    }
    return 0;
  } catch (const UsageError& error) {
    return Fail(app, std::string(error.what()) + " (see --help)", 2);
  } catch (const llmcore::Error& error) {
    if (error.code() == llmcore::ErrorCode::kCancelled) DieOfInterrupt();
    return Fail(app, error.message(), 1);
  } catch (const std::bad_alloc&) {
    return Fail(app, "out of memory", 1);
  } catch (const std::exception& error) {
    return Fail(app, error.what(), 1);
  }
}

std::string ReadFile(const std::string& path) {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) throw std::system_error(errno, std::generic_category(), path);
  }
  std::istream& in = path == "-" ? std::cin : file;
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (in.bad()) throw std::system_error(errno, std::generic_category(), path);
  return text;
}

}  // namespace examples
