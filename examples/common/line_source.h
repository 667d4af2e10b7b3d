// Where lines come from: the two ways in which LineEditor reads. Not for use by programs.
#ifndef LLMCORE_EXAMPLES_COMMON_LINE_SOURCE_H_
#define LLMCORE_EXAMPLES_COMMON_LINE_SOURCE_H_

#include <memory>
#include <string>

#include "line_editor.h"

namespace examples {

class LineSource {
 public:
  LineSource();
  virtual ~LineSource();
  LineSource(const LineSource&) = delete;
  LineSource& operator=(const LineSource&) = delete;

  // Escape sequences in the prompt stand between two bytes 1, and before something visible.
  virtual LineEditor::Outcome Read(const std::string& prompt, std::string* line) = 0;

  // From any thread: WaitForInput returns false.
  void Interrupt();

 protected:
  // Until standard input has something or has ended; false when Interrupt came instead.
  bool WaitForInput();

 private:
  int wake_[2];  // a pipe, so that one poll waits for both
};

// Lines from standard input as they come.
std::unique_ptr<LineSource> MakePlainSource();

// With editing keys; nullptr where the terminal or the build does not allow it.
std::unique_ptr<LineSource> MakeEditingSource(const std::string& program);

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_COMMON_LINE_SOURCE_H_
