// Seconds since it was made.
#ifndef LLMCORE_EXAMPLES_COMMON_STOPWATCH_H_
#define LLMCORE_EXAMPLES_COMMON_STOPWATCH_H_

#include <chrono>

namespace examples {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  void Restart() { start_ = std::chrono::steady_clock::now(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_COMMON_STOPWATCH_H_
