// What the other end of a file descriptor is, and what may be drawn on it.
#ifndef LLMCORE_EXAMPLES_COMMON_TERMINAL_H_
#define LLMCORE_EXAMPLES_COMMON_TERMINAL_H_

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace examples {

inline bool IsTerminal(int fd) {
  return isatty(fd) == 1;
}

// A terminal that moves its cursor: a bar or an edited line can be drawn again in place.
inline bool CanRedraw(int fd) {
  const char* type = std::getenv("TERM");
  return IsTerminal(fd) && type != nullptr && *type != '\0' && std::string_view(type) != "dumb";
}

// How many columns a line may take; 80 where it is no terminal.
inline int Columns(int fd) {
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

// Colours are for terminals whose user did not decline them (https://no-color.org).
inline bool WantsColour(int fd) {
  const char* declined = std::getenv("NO_COLOR");
  return CanRedraw(fd) && (declined == nullptr || *declined == '\0');
}

// Escape sequences, or empty strings where colour is not wanted.
struct Style {
  explicit Style(int fd) {
    if (!WantsColour(fd)) return;
    bold = "\x1b[1m";
    dim = "\x1b[2m";
    red = "\x1b[31m";
    cyan = "\x1b[36m";
    reset = "\x1b[0m";
  }

  const char* bold = "";
  const char* dim = "";
  const char* red = "";
  const char* cyan = "";
  const char* reset = "";
};

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_COMMON_TERMINAL_H_
