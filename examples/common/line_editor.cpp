#include "line_editor.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "line_source.h"
#include "terminal.h"

namespace examples {

LineSource::LineSource() {
  if (pipe(wake_) != 0) wake_[0] = wake_[1] = -1;
  for (const int end : wake_) {
    if (end >= 0) fcntl(end, F_SETFL, O_NONBLOCK);
  }
}

LineSource::~LineSource() {
  for (const int end : wake_) {
    if (end >= 0) close(end);
  }
}

void LineSource::Interrupt() {
  if (write(wake_[1], "", 1) < 0) return;  // full: it wakes anyway
}

bool LineSource::WaitForInput() {
  pollfd waits[2] = {{STDIN_FILENO, POLLIN, 0}, {wake_[0], POLLIN, 0}};
  while (poll(waits, 2, -1) < 0 && errno == EINTR) {
  }
  if ((waits[1].revents & POLLIN) == 0) return true;
  char bytes[16];
  while (read(wake_[0], bytes, sizeof bytes) > 0) {
  }
  return false;
}

namespace {

class PlainSource : public LineSource {
 public:
  LineEditor::Outcome Read(const std::string& prompt, std::string* line) override {
    if (shows_prompt_) {
      for (const char c : prompt) {
        if (c != '\1') std::fputc(c, stdout);
      }
      std::fflush(stdout);
    }
    for (;;) {
      if (const size_t end = pending_.find('\n'); end != std::string::npos) {
        *line = pending_.substr(0, end);
        pending_.erase(0, end + 1);
        return LineEditor::Outcome::kLine;
      }
      if (ended_) {
        *line = std::exchange(pending_, {});
        return line->empty() ? LineEditor::Outcome::kEnd : LineEditor::Outcome::kLine;
      }
      if (!WaitForInput()) {
        pending_.clear();
        if (shows_prompt_) std::fputc('\n', stdout);
        return LineEditor::Outcome::kInterrupted;
      }
      char bytes[4096];
      const ssize_t count = read(STDIN_FILENO, bytes, sizeof bytes);
      if (count > 0) pending_.append(bytes, static_cast<size_t>(count));
      if (count == 0 || (count < 0 && errno != EINTR)) ended_ = true;
    }
  }

 private:
  const bool shows_prompt_ = IsTerminal(STDIN_FILENO) && IsTerminal(STDOUT_FILENO);
  bool ended_ = false;
  std::string pending_;
};

}  // namespace

std::unique_ptr<LineSource> MakePlainSource() {
  return std::make_unique<PlainSource>();
}

LineEditor::LineEditor(const std::string& program, const std::string& prompt,
                       const std::string& colour, const std::string& reset)
    : prompt_(colour.empty() ? prompt + " " : "\1" + colour + "\1" + prompt + "\1" + reset + "\1 "),
      source_(MakeEditingSource(program)) {
  if (source_ == nullptr) source_ = MakePlainSource();
}

LineEditor::~LineEditor() = default;

LineEditor::Outcome LineEditor::Read(std::string* line) {
  line->clear();
  for (;;) {
    std::string part;
    const Outcome outcome = source_->Read(line->empty() ? prompt_ : "... ", &part);
    if (outcome != Outcome::kLine) return outcome;
    const bool goes_on = !part.empty() && part.back() == '\\';
    if (goes_on) part.back() = '\n';
    *line += part;
    if (!goes_on) return Outcome::kLine;
  }
}

void LineEditor::Interrupt() {
  source_->Interrupt();
}

}  // namespace examples
