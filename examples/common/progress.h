// A progress bar on standard error, on a terminal only.
#ifndef LLMCORE_EXAMPLES_COMMON_PROGRESS_H_
#define LLMCORE_EXAMPLES_COMMON_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace examples {

// loading  [##########..........]  50%  1.2 GiB of 2.4 GiB
//
// Nothing is drawn during the first moments, so that quick work leaves no trace, and what was drawn
// is wiped at the end. Thread rule: one thread at a time.
class ProgressBar {
 public:
  enum class Unit { kItems, kBytes };

  explicit ProgressBar(std::string label, Unit unit = Unit::kItems);
  ~ProgressBar() { Clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void Update(uint64_t done, uint64_t total) { Update(label_, done, total); }
  void Update(std::string_view label, uint64_t done, uint64_t total);

  // Wipes the bar, so that a line can be printed in its place.
  void Clear();

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  Unit unit_;
  bool enabled_;
  bool drawn_ = false;
  Clock::time_point next_;
};

}  // namespace examples

#endif  // LLMCORE_EXAMPLES_COMMON_PROGRESS_H_
