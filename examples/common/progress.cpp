#include "progress.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "sizes.h"
#include "terminal.h"

namespace examples {
namespace {

constexpr int kBarWidth = 20;
constexpr auto kFirstDraw = std::chrono::milliseconds(300);
constexpr auto kRedraw = std::chrono::milliseconds(50);

}  // namespace

ProgressBar::ProgressBar(std::string label, Unit unit)
    : label_(std::move(label)),
      unit_(unit),
      enabled_(CanRedraw(STDERR_FILENO)),
      next_(Clock::now() + kFirstDraw) {}

void ProgressBar::Update(std::string_view label, uint64_t done, uint64_t total) {
  if (!enabled_ || total == 0) return;
  const Clock::time_point now = Clock::now();
  if (now < next_) return;
  next_ = now + kRedraw;
  drawn_ = true;

  const double fraction =
      std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
  const int filled = static_cast<int>(fraction * kBarWidth);
  const std::string bar = std::string(filled, '#') + std::string(kBarWidth - filled, '.');
  const std::string amount = unit_ == Unit::kBytes
                                 ? FormatBytes(done) + " of " + FormatBytes(total)
                                 : std::to_string(done) + " of " + std::to_string(total);
  // \r: to the first column. \x1b[K: wipes what an earlier, longer line left.
  std::fprintf(stderr, "\r%.*s  [%s] %3d%%  %s\x1b[K", static_cast<int>(label.size()), label.data(),
               bar.c_str(), static_cast<int>(fraction * 100), amount.c_str());
  std::fflush(stderr);
}

void ProgressBar::Clear() {
  if (!drawn_) return;
  drawn_ = false;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

}  // namespace examples
