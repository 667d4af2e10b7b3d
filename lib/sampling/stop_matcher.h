// Finds stop strings in streamed text without letting a part of one through.
#ifndef LLMCORE_LIB_SAMPLING_STOP_MATCHER_H_
#define LLMCORE_LIB_SAMPLING_STOP_MATCHER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace llmcore::core {

// The match is the stop string that is complete first, and of several that end at one byte the
// longest; it does not depend on how the text is cut into pieces. Held back is the longest end of
// the text that starts a stop string, and no more. Stop strings and text are UTF-8, so what is
// released never ends inside a character that the text did not cut.
//
// Each stop string keeps the length of its longest prefix that ends the text (Knuth, Morris, Pratt
// 1977): a byte costs O(stop strings), amortised.
class StopMatcher {
 public:
  explicit StopMatcher(const std::vector<std::string>& stops);  // none empty

  // Takes the next piece of text and appends to `released` what can no longer be part of a match.
  // True once a stop string was found: what stood before it has been released, it and what follows
  // it are dropped, and so is all further text.
  bool Push(absl::string_view text, std::string* released);

  // The text ends here: releases what was held back, unless a stop string was found.
  void Finish(std::string* released);

  // Index of the stop string that was found.
  std::optional<size_t> match() const { return match_; }
  size_t held_bytes() const { return held_.size(); }

 private:
  struct Stop {
    std::string text;
    std::vector<uint32_t> borders;  // [i]: longest proper border of the first i + 1 bytes
    uint32_t matched = 0;           // bytes of it that end the text
  };

  static void Advance(Stop* stop, char byte);

  std::vector<Stop> stops_;
  std::string held_;
  std::optional<size_t> match_;
};

}  // namespace llmcore::core

#endif  // LLMCORE_LIB_SAMPLING_STOP_MATCHER_H_
