// One level of the interpreter's recursion.
#ifndef LLMCORE_LIB_CHAT_INTERPRETER_LEVEL_H_
#define LLMCORE_LIB_CHAT_INTERPRETER_LEVEL_H_

#include "lib/chat/interpreter.h"

namespace llmcore::core::chat {

class Interpreter::Level {
 public:
  explicit Level(Interpreter* interpreter) : interpreter_(*interpreter) { ++interpreter_.depth_; }
  ~Level() { --interpreter_.depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

  // Counts a step, and refuses to go deeper than the limit.
  absl::Status Enter() const {
    if (interpreter_.depth_ > interpreter_.template_.limits.max_depth) [[unlikely]] {
      return absl::ResourceExhaustedError(
          absl::StrCat("the template's macros or loops recurse deeper than ",
                       interpreter_.template_.limits.max_depth, " levels"));
    }
    return interpreter_.runtime_.Spend(1);
  }

 private:
  Interpreter& interpreter_;
};

}  // namespace llmcore::core::chat

#endif  // LLMCORE_LIB_CHAT_INTERPRETER_LEVEL_H_
