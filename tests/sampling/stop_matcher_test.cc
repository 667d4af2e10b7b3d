#include "lib/sampling/stop_matcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace llmcore::core {
namespace {

using Strings = std::vector<std::string>;

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

struct Found {
  bool matched = false;
  std::string released;  // without what is held back
  std::string all;       // once the text has ended
};

// The definition, tried at every byte.
Found Naive(const Strings& stops, const std::string& text) {
  for (size_t end = 1; end <= text.size(); ++end) {
    const std::string prefix = text.substr(0, end);
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (EndsWith(prefix, stop)) longest = std::max(longest, stop.size());
    }
    if (longest > 0) {
      const std::string before = text.substr(0, end - longest);
      return {true, before, before};
    }
  }
  size_t held = 0;
  for (const std::string& stop : stops) {
    for (size_t length = 1; length < stop.size(); ++length) {
      if (EndsWith(text, stop.substr(0, length))) held = std::max(held, length);
    }
  }
  return {false, text.substr(0, text.size() - held), text};
}

TEST(StopMatcherTest, WithoutStopsTextPassesThrough) {
  StopMatcher matcher({});
  std::string out;
  EXPECT_FALSE(matcher.Push("abc", &out));
  EXPECT_EQ(out, "abc");
  matcher.Finish(&out);
  EXPECT_EQ(out, "abc");
}

TEST(StopMatcherTest, AStopAcrossPiecesNeverLeaks) {
  StopMatcher matcher({"</end>"});
  std::string out;
  EXPECT_FALSE(matcher.Push("hi <", &out));
  EXPECT_EQ(out, "hi ");
  EXPECT_FALSE(matcher.Push("</e", &out));
  EXPECT_EQ(out, "hi <");
  EXPECT_EQ(matcher.held_bytes(), 3u);
  EXPECT_TRUE(matcher.Push("nd> more", &out));
  EXPECT_EQ(out, "hi <");
  EXPECT_TRUE(matcher.Push("more", &out));
  matcher.Finish(&out);
  EXPECT_EQ(out, "hi <");
  EXPECT_EQ(matcher.match(), 0u);
}

TEST(StopMatcherTest, WhatWasHeldBackIsReleasedAtTheEnd) {
  StopMatcher matcher({"STOP"});
  std::string out;
  EXPECT_FALSE(matcher.Push("x STO", &out));
  EXPECT_EQ(out, "x ");
  matcher.Finish(&out);
  EXPECT_EQ(out, "x STO");
  EXPECT_EQ(matcher.match(), std::nullopt);
}

TEST(StopMatcherTest, TheFirstToEndWinsThenTheLongest) {
  std::string out;
  StopMatcher inner({"abcd", "bc"});
  EXPECT_TRUE(inner.Push("xabcd", &out));
  EXPECT_EQ(out, "xa");
  EXPECT_EQ(inner.match(), 1u);
  out.clear();
  StopMatcher longest({"c", "abc", "bc"});
  EXPECT_TRUE(longest.Push("xabcd", &out));
  EXPECT_EQ(out, "x");
  EXPECT_EQ(longest.match(), 1u);
}

TEST(StopMatcherTest, AgreesWithTheDefinitionAtEverySplit) {
  for (uint32_t seed = 0; seed < 20000; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](uint32_t bound) { return static_cast<uint32_t>(random() % bound); };
    const uint32_t alphabet = 1 + below(4);
    const auto word = [&](uint32_t length) {
      std::string text;
      for (uint32_t i = 0; i < length; ++i)
        text.push_back(static_cast<char>('a' + below(alphabet)));
      return text;
    };
    Strings stops;
    for (uint32_t i = below(5); i > 0; --i) stops.push_back(word(1 + below(7)));
    const std::string text = word(below(40));

    StopMatcher matcher(stops);
    std::string released;
    size_t fed = 0;
    while (fed < text.size()) {
      const size_t piece = below(6);
      const bool matched = matcher.Push(text.substr(fed, piece), &released);
      fed = std::min(text.size(), fed + piece);
      const Found expected = Naive(stops, text.substr(0, fed));
      ASSERT_EQ(matched, expected.matched) << "seed " << seed << " text " << text;
      ASSERT_EQ(released, expected.released) << "seed " << seed << " text " << text;
      if (matched) {
        ASSERT_EQ(text.compare(expected.all.size(), stops[*matcher.match()].size(),
                               stops[*matcher.match()]),
                  0);
      }
    }
    matcher.Finish(&released);
    ASSERT_EQ(released, Naive(stops, text).all) << "seed " << seed << " text " << text;
  }
}

TEST(StopMatcherTest, RepeatedCharactersTakeLinearTime) {
  StopMatcher matcher({std::string(30000, 'a') + "b"});
  std::string out;
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(matcher.Push(std::string(10000, 'a'), &out));
  EXPECT_EQ(matcher.held_bytes(), 30000u);
  EXPECT_TRUE(matcher.Push("b", &out));
  EXPECT_EQ(out.size(), 970000u);
}

}  // namespace
}  // namespace llmcore::core
