#include "lib/tokenizer/split_patterns.h"

#include <gtest/gtest.h>

#include "tests/tokenizer/random_strings.h"

namespace llmcore::core {

// Found by argument-dependent lookup.
static bool operator==(const TextSpan& a, const TextSpan& b) {
  return a.begin == b.begin && a.end == b.end;
}

namespace {

TEST(SplitPatternsTest, MatchersFindWhatTheirRegularExpressionsFind) {
  for (const absl::string_view pattern : {kGpt2Pattern, kLlama3Pattern, kQwen2Pattern}) {
    const auto regex = Regex::Compile(pattern);
    ASSERT_TRUE(regex.ok()) << regex.status();
    const auto known = RecognizeSplitPattern(pattern);
    ASSERT_TRUE(known.has_value());
    constexpr uint64_t kSeed = 7;
    SplitMix random(kSeed);
    for (int i = 0; i < 20000; ++i) {
      const std::string text = RandomString(&random);
      std::vector<TextSpan> expected;
      std::vector<TextSpan> found;
      ASSERT_TRUE(regex->FindAll(text, &expected).ok());
      FindSplits(*known, text, {0, text.size()}, &found);
      ASSERT_TRUE(found == expected) << "seed " << kSeed << ", text " << i << ": " << text;
    }
  }
}

TEST(SplitPatternsTest, OtherPatternsAreNotRecognized) {
  EXPECT_FALSE(RecognizeSplitPattern("\\s+").has_value());
  EXPECT_FALSE(RecognizeSplitPattern("").has_value());
}

TEST(RegexTest, UnsupportedConstructsAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"(?<name>a)", "(?<"},     {"(a)\\1", "\\1"},       {"[a&&b]", "intersection"},
      {"[^[:alpha:]]", "class"}, {"\\h", "\\h"},          {"\\bword", "\\b"},
      {"a{2}+", "{}+"},          {"\\p{Alpha}", "Alpha"}, {"(?m:a)", "(?m"},
      {"\\xC3", "\\xC3"},        {"(*UTF)", "(*U"},       {"\\K", "\\K"}};
  for (const auto& [pattern, name] : cases) {
    const auto regex = Regex::Compile(pattern);
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_EQ(regex.status().code(), absl::StatusCode::kUnimplemented) << regex.status();
    EXPECT_NE(regex.status().message().find(name), absl::string_view::npos) << regex.status();
  }
  for (const char* const pattern : {"(", "[a", "*a", "a)", "\\p{Nonsense}"}) {
    EXPECT_FALSE(Regex::Compile(pattern).ok()) << pattern;
  }
  EXPECT_FALSE(Regex::Compile(std::string(20000, 'a')).ok());
  EXPECT_FALSE(Regex::Compile(std::string(1000, '(') + std::string(1000, ')')).ok());
}

TEST(RegexTest, BacktrackingWithoutEndIsAnError) {
  const auto regex = Regex::Compile("(?:(?:a+)+)+b(?=c)");
  ASSERT_TRUE(regex.ok()) << regex.status();
  std::vector<TextSpan> matches;
  const absl::Status status = regex->FindAll(std::string(60, 'a') + "bx", &matches);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
}

TEST(RegexTest, EmptyMatchesAdvanceByWholeCharacters) {
  const auto regex = Regex::Compile("x*");
  ASSERT_TRUE(regex.ok());
  std::vector<TextSpan> matches;
  ASSERT_TRUE(regex->FindAll("\xC3\xA9x", &matches).ok());
  EXPECT_TRUE((matches == std::vector<TextSpan>{{0, 0}, {2, 3}}));
}

}  // namespace
}  // namespace llmcore::core
