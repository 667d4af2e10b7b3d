// Reads messages that a person types: with editing keys, history and paste of several lines through
// libedit where that is there, plainly otherwise or where input is no terminal.
#ifndef LLMCORE_EXAMPLES_COMMON_LINE_EDITOR_H_
#define LLMCORE_EXAMPLES_COMMON_LINE_EDITOR_H_

#include <memory>
#include <string>

namespace examples {

class LineSource;

class LineEditor {
 public:
  enum class Outcome {
    kLine,         // a message is there
    kInterrupted,  // what was typed is dropped
    kEnd,          // Ctrl-D or the end of the input
  };

  // `program` names the section of ~/.editrc that applies. `prompt` is shown on a terminal only, in
  // the colour that the escape sequence `colour` begins and `reset` ends (empty: none).
  LineEditor(const std::string& program, const std::string& prompt, const std::string& colour = {},
             const std::string& reset = {});
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  // A line that ends in a backslash goes on in the next one. The line has no newline at its end.
  Outcome Read(std::string* line);

  // From any thread: a Read that waits, or else the next one, returns kInterrupted.
  void Interrupt();

 private:
  std::string prompt_;
  std::unique_ptr<LineSource> source_;
};

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_COMMON_LINE_EDITOR_H_
