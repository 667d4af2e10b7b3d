#include "program.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <llmcore/llmcore.hpp>
#include <memory>
#include <new>
#include <sstream>
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

[[noreturn]] void ThrowWriteError() {
  throw std::system_error(errno, std::generic_category(), "the output cannot be written");
}

// Takes the places of standard streams that the caller closed: the next file that is opened, of a
// model perhaps, would take them otherwise, and be what is read or written. Input is empty then,
// and output fails.
void OccupyStandardStreams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) != fd) std::_Exit(1);
  }
}

// --help in lines of 100 columns.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(28); }

  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string text = "  " + make_option_name(option, is_positional) + make_option_opts(option);
    const size_t indent = get_column_width();
    size_t column = text.size();
    if (column + 2 > indent) {
      text += '\n';
      column = 0;
    }
    text.append(indent - column, ' ');
    column = indent;
    std::istringstream words(make_option_desc(option));
    for (std::string word; words >> word;) {
      if (column > indent && column + 1 + word.size() > kColumns) {
        text.append("\n").append(indent, ' ');
        column = indent;
      }
      if (column > indent) {
        text += ' ';
        ++column;
      }
      text += word;
      column += word.size();
    }
    return text + '\n';
  }

 private:
  static constexpr size_t kColumns = 100;
};

}  // namespace

int RunProgram(CLI::App& app, int argc, char** argv, const std::function<void()>& work) {
  OccupyStandardStreams();
  app.set_version_flag("--version", "llmcore " + std::string(llmcore::Version()));
  app.formatter(std::make_shared<HelpFormatter>());
  for (CLI::App* command : app.get_subcommands(nullptr)) command->formatter(app.get_formatter());
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
    if (!std::cout) ThrowWriteError();
    Write("");
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

void Write(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    ThrowWriteError();
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
