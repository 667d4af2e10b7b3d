#include "lib/sampling/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace llmcore::core {

StopMatcher::StopMatcher(const std::vector<std::string>& stops) {
  stops_.reserve(stops.size());
  for (const std::string& text : stops) {
    // The borders of a string come from matching it against itself, one byte behind.
    Stop stop{text, std::vector<uint32_t>(text.size(), 0), 0};
    for (size_t i = 1; i < text.size(); ++i) {
      Advance(&stop, text[i]);
      stop.borders[i] = stop.matched;
    }
    stop.matched = 0;
    stops_.push_back(std::move(stop));
  }
}

// `matched` is less than the size of the text.
void StopMatcher::Advance(Stop* stop, char byte) {
  while (stop->matched > 0 && stop->text[stop->matched] != byte) {
    stop->matched = stop->borders[stop->matched - 1];
  }
  if (stop->text[stop->matched] == byte) ++stop->matched;
}

bool StopMatcher::Push(absl::string_view text, std::string* released) {
  if (match_.has_value()) return true;
  // Nothing below allocates, so that running out of memory leaves the matcher as it was.
  held_.reserve(held_.size() + text.size());
  released->reserve(released->size() + held_.size() + text.size());
  for (const char byte : text) {
    held_.push_back(byte);
    size_t match_length = 0;
    for (size_t i = 0; i < stops_.size(); ++i) {
      Stop& stop = stops_[i];
      Advance(&stop, byte);
      if (stop.matched == stop.text.size() && stop.matched > match_length) {
        match_length = stop.matched;
        match_ = i;
      }
    }
    if (match_.has_value()) {
      released->append(held_, 0, held_.size() - match_length);
      held_.clear();
      return true;
    }
  }
  uint32_t longest = 0;
  for (const Stop& stop : stops_) longest = std::max(longest, stop.matched);
  const size_t free_bytes = held_.size() - longest;
  released->append(held_, 0, free_bytes);
  held_.erase(0, free_bytes);
  return false;
}

void StopMatcher::Finish(std::string* released) {
  if (!match_.has_value()) released->append(held_);
  held_.clear();
}

}  // namespace llmcore::core
